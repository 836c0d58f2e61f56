//! What becomes of a client's tokens: their form, their grace, and who may exchange or introspect them.

use vocab::Violations;

use super::check_each;
use crate::limits;
use crate::model::{AuthMethod, ClientSpec, GrantType};
use crate::validate::{text, uri};

pub(super) fn check(violations: &mut Violations, spec: &ClientSpec) {
    let grace = spec.refresh_token_grace_secs.unwrap_or_default();
    violations.require(grace <= limits::REFRESH_GRACE_SECS, "/refresh_token_grace_secs", || {
        format!("must be at most {}, is {grace}", limits::REFRESH_GRACE_SECS)
    });
    check_each(violations, "/resource_server_for", &spec.resource_server_for, limits::AUDIENCES, uri::audience_problem);
    // RFC 7662 §2.1: the endpoint is for callers that prove who they are.
    let public = spec.token_endpoint_auth_method == AuthMethod::None;
    violations.require(!public || spec.resource_server_for.is_empty(), "/resource_server_for", || {
        "needs a client that authenticates".to_owned()
    });
    let exchanges = spec.grant_types.contains(&GrantType::TokenExchange);
    violations.require(!exchanges || (spec.token_exchange.is_some() && !public), "/token_exchange", || {
        "the grant needs a policy, and a client that authenticates".to_owned()
    });
    if let Some(policy) = &spec.token_exchange {
        let at = |member: &str| format!("/token_exchange/{member}");
        text::check_list(violations, &at("subject_clients"), &policy.subject_clients, limits::SUBJECT_CLIENTS);
        check_each(violations, &at("audiences"), &policy.audiences, limits::AUDIENCES, uri::audience_problem);
        text::check_list(violations, &at("modes"), &policy.modes, 2);
        violations.require(!policy.modes.is_empty(), &at("modes"), || "at least one".to_owned());
    }
}
