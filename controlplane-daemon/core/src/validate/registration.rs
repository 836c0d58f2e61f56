//! Rules of registration by the clients themselves: of the policy, of its tokens, and of what the policy lets in.

use serde_json::Value;
use vocab::Violations;
use vocab::registration::{RegistrationPolicy, StatementIssuer};

use super::{text, uri};
use crate::limits;
use crate::model::{ClientSpec, RegistrationTokenSpec};

/// Members of a JWK that are no business of a verifier's (RFC 7518 §6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

pub(crate) fn policy_problems(policy: &RegistrationPolicy) -> Violations {
    let mut violations = Violations::new();
    text::check_list(&mut violations, "/grant_types", &policy.grant_types, limits::CLIENT_SCOPES);
    text::check_list(&mut violations, "/scopes", &policy.scopes, limits::CLIENT_SCOPES);
    for (index, scope) in policy.scopes.iter().enumerate() {
        let own = scope.as_str().starts_with("hj:");
        violations.require(!own, &format!("/scopes/{index}"), || {
            "opens the platform's own API: only administrators give it to a client".to_owned()
        });
    }
    let issuers: Vec<&String> = policy.statement_issuers.iter().map(|it| &it.issuer).collect();
    text::check_list(&mut violations, "/statement_issuers", &issuers, limits::STATEMENT_ISSUERS);
    for (index, issuer) in policy.statement_issuers.iter().enumerate() {
        check_issuer(&mut violations, &format!("/statement_issuers/{index}"), issuer);
    }
    let believes_somebody = !policy.statement_issuers.is_empty();
    violations.require(!policy.require_statement || believes_somebody, "/require_statement", || {
        "needs at least one of statement_issuers".to_owned()
    });
    violations.require(policy.client_secret_lifetime_secs != Some(0), "/client_secret_lifetime_secs", || {
        "must be at least 1, or null".to_owned()
    });
    let allowed = 1..=limits::REGISTRATIONS_PER_MINUTE;
    violations.require(allowed.contains(&policy.per_minute), "/per_minute", || {
        format!("must be 1 to {}, is {}", limits::REGISTRATIONS_PER_MINUTE, policy.per_minute)
    });
    violations
}

fn check_issuer(violations: &mut Violations, pointer: &str, issuer: &StatementIssuer) {
    let fits = (1..=limits::URI_BYTES).contains(&issuer.issuer.len());
    violations.require(fits, &format!("{pointer}/issuer"), || "must have 1 to 2048 bytes".to_owned());
    let at = format!("{pointer}/jwks");
    violations.require(issuer.jwks.to_string().len() <= limits::JWKS_BYTES, &at, || "is too long".to_owned());
    let Some(keys) = issuer.jwks.get("keys").and_then(Value::as_array).filter(|keys| !keys.is_empty()) else {
        violations.add(at, "must be a JWK Set with at least one key");
        return;
    };
    for (index, key) in keys.iter().enumerate() {
        let at = format!("{at}/keys/{index}");
        violations.require(key.get("kty").is_some_and(Value::is_string), &at, || "must be a JWK".to_owned());
        let public = !PRIVATE_MEMBERS.iter().any(|member| key.get(member).is_some());
        violations.require(public, &at, || "must be a public key, without private members".to_owned());
    }
}

pub(crate) fn token_problems(spec: &RegistrationTokenSpec) -> Violations {
    let mut violations = Violations::new();
    text::check_name(&mut violations, "/name", &spec.name);
    violations.require(spec.max_uses != Some(0), "/max_uses", || "must be at least 1, or null".to_owned());
    violations
}

/// What `policy` does not let a client be, however good it is otherwise.
pub(crate) fn beyond_policy(policy: &RegistrationPolicy, spec: &ClientSpec) -> Violations {
    let mut violations = Violations::new();
    for (index, grant) in spec.grant_types.iter().enumerate() {
        violations.require(policy.allows_grant(*grant), &format!("/grant_types/{index}"), || {
            format!("{} may not be registered here", grant.as_str())
        });
    }
    let method = spec.token_endpoint_auth_method;
    violations.require(policy.allows_auth_method(method), "/token_endpoint_auth_method", || {
        format!("{} may not be registered here", method.as_str())
    });
    for (index, scope) in spec.scopes.iter().enumerate() {
        violations.require(policy.allows_scope(scope.as_str()), &format!("/scopes/{index}"), || {
            format!("{scope} may not be registered here")
        });
    }
    check_addresses(&mut violations, spec);
    violations
}

/// Whatever is fetched or shown must be public. Found by the names of the fields, so that none is forgotten; where
/// browsers are sent back to is the client's own business and has rules of its own.
fn check_addresses(violations: &mut Violations, spec: &ClientSpec) {
    const OWN: [&str; 2] = ["redirect_uris", "post_logout_redirect_uris"];
    let document = serde_json::to_value(spec).expect("a client's spec has string keys and serializes");
    let localized = document.get("localized").and_then(Value::as_object).into_iter().flatten();
    for (name, value) in document.as_object().into_iter().flatten().chain(localized) {
        let member = name.split_once('#').map_or(name.as_str(), |(member, _)| member);
        let is_address = ["_uri", "_uris", "_endpoint"].iter().any(|end| member.ends_with(end));
        if !is_address || OWN.contains(&member) {
            continue;
        }
        let texts = value.as_array().map_or_else(|| vec![value], |items| items.iter().collect());
        for problem in texts.into_iter().filter_map(Value::as_str).filter_map(uri::public_problem) {
            violations.add(format!("/{}", name.replace('/', "~1")), problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strangers_name_public_hosts() {
        for (url, expected) in [
            ("https://keys.example/jwks.json", true),
            ("https://keys.example:8443/jwks.json", true),
            ("http://keys.example/jwks.json", false),
            ("http://169.254.169.254/", false),
            ("https://169.254.169.254/", false),
            ("http://127.0.0.1:5432/", false),
            ("https://127.0.0.1/", false),
            ("https://[::1]/", false),
            ("https://[::ffff:127.0.0.1]/", false),
            ("https://0x7f000001/", false),
            ("https://127.0x1/", false),
            ("https://2130706433/", false),
            ("https://0177.1/", false),
            ("https://localhost/", false),
            ("https://a.localhost/", false),
            ("https://db.internal/", false),
            ("https://intranet/", false),
            ("https://user@keys.example/", false),
            ("https://keys.example./", false),
            ("file:///etc/passwd", false),
            ("gopher://keys.example/", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
        ] {
            let spec = ClientSpec { logo_uri: Some(url.to_owned()), ..ClientSpec::default() };
            let found = beyond_policy(&RegistrationPolicy::default(), &spec);
            assert_eq!(found.is_empty(), expected, "{url}: {found}");
        }
    }

    #[test]
    fn a_policy_is_checked_as_a_whole() {
        let good: RegistrationPolicy = serde_json::from_value(json!({
            "mode": "token",
            "require_statement": true,
            "statement_issuers": [{"issuer": "https://vouch.example", "jwks": {"keys": [{"kty": "EC"}]}}],
        }))
        .unwrap();
        assert!(policy_problems(&good).is_empty());
        for (name, value) in [
            ("per_minute", json!(0)),
            ("statement_issuers", json!([])),
            ("statement_issuers", json!([{"issuer": "", "jwks": {"keys": [{"kty": "EC"}]}}])),
            ("statement_issuers", json!([{"issuer": "a", "jwks": {"keys": []}}])),
            ("statement_issuers", json!([{"issuer": "a", "jwks": {"keys": [{"kty": "oct", "k": "AA"}]}}])),
            ("statement_issuers", json!([{"issuer": "a", "jwks": {"keys": [{"kty": "RSA", "d": "AA"}]}}])),
            ("scopes", json!(["openid", "openid"])),
            ("scopes", json!(["hj:users.read"])),
        ] {
            let mut document = serde_json::to_value(&good).unwrap();
            document[name] = value;
            let policy = serde_json::from_value(document.clone()).unwrap();
            assert!(!policy_problems(&policy).is_empty(), "{document}");
        }
    }
}
