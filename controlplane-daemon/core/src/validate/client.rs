//! Rules of a client's document.

mod about;
mod authorization;
mod backchannel;
mod encryption;
mod fapi;
mod keys;
mod request_object;
mod subject;
mod tokens;

use vocab::{ScopeName, Violations};

pub(crate) use self::authorization::check_acr_values;
pub(crate) use self::fapi::check_against as check_fapi;

use super::scope::STANDARD_SCOPES;
use super::{text, uri};
use crate::limits;
use crate::model::{AuthMethod, ClientSpec, GrantType};

/// `is_tenant_scope` says which scopes the tenant defines beside the standard ones.
pub(crate) fn check(spec: &ClientSpec, is_tenant_scope: impl Fn(&ScopeName) -> bool) -> Violations {
    let mut violations = Violations::new();
    text::check_name(&mut violations, "/name", &spec.name);
    check_grants(&mut violations, spec);
    backchannel::check(&mut violations, spec);
    keys::check(&mut violations, spec);
    encryption::check(&mut violations, spec);
    subject::check(&mut violations, spec);
    authorization::check(&mut violations, spec);
    request_object::check(&mut violations, spec);

    let redirects =
        [("/redirect_uris", &spec.redirect_uris), ("/post_logout_redirect_uris", &spec.post_logout_redirect_uris)];
    for (pointer, uris) in redirects {
        check_each(&mut violations, pointer, uris, limits::REDIRECT_URIS, uri::redirect_problem);
    }
    check_each(&mut violations, "/audiences", &spec.audiences, limits::AUDIENCES, uri::audience_problem);
    tokens::check(&mut violations, spec);
    check_each(&mut violations, "/allowed_origins", &spec.allowed_origins, limits::ORIGINS, uri::origin_problem);

    about::check(&mut violations, spec);
    fapi::check(&mut violations, spec);

    text::check_list(&mut violations, "/scopes", &spec.scopes, limits::CLIENT_SCOPES);
    for (index, name) in spec.scopes.iter().enumerate() {
        let known = STANDARD_SCOPES.contains(&name.as_str()) || is_tenant_scope(name);
        violations.require(known, &format!("/scopes/{index}"), || format!("the tenant has no scope {name}"));
    }
    violations
}

fn check_grants(violations: &mut Violations, spec: &ClientSpec) {
    let has = |grant| spec.grant_types.contains(&grant);
    text::check_list(violations, "/grant_types", &spec.grant_types, GrantType::ALL.len());
    violations.require(!spec.grant_types.is_empty(), "/grant_types", || "at least one".to_owned());
    // RFC 6749 §4.4: "MUST only be used by confidential clients".
    let public = spec.token_endpoint_auth_method == AuthMethod::None;
    violations.require(!public || !has(GrantType::ClientCredentials), "/grant_types", || {
        "client_credentials needs a client that authenticates".to_owned()
    });
    let of_users = [GrantType::AuthorizationCode, GrantType::DeviceCode, GrantType::Ciba];
    violations.require(!has(GrantType::RefreshToken) || of_users.into_iter().any(has), "/grant_types", || {
        "refresh_token needs authorization_code, or another grant of users".to_owned()
    });
    // OIDC CIBA Core 1.0 §4, §7.1.
    let rings = !public && spec.backchannel_token_delivery_mode.is_some();
    violations.require(!has(GrantType::Ciba) || rings, "/grant_types", || {
        "urn:openid:params:grant-type:ciba needs a client that authenticates, and backchannel_token_delivery_mode"
            .to_owned()
    });
    // RFC 9700 §2.1: only registered URIs are redirected to, so a client without one could not finish.
    violations.require(!has(GrantType::AuthorizationCode) || !spec.redirect_uris.is_empty(), "/redirect_uris", || {
        "authorization_code needs at least one".to_owned()
    });
}

fn check_each(
    violations: &mut Violations,
    pointer: &str,
    items: &[String],
    limit: usize,
    problem: fn(&str) -> Option<&'static str>,
) {
    text::check_list(violations, pointer, items, limit);
    for (index, item) in items.iter().enumerate() {
        if let Some(problem) = problem(item) {
            violations.add(format!("{pointer}/{index}"), problem);
        }
    }
}
