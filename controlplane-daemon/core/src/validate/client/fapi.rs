//! What a client cannot be registered with under the FAPI 2.0 Security Profile. What the profile demands beside, the switch
//! turns on by itself.

use vocab::Violations;
use vocab::client::ApplicationType;
use vocab::fapi::Fapi;

use crate::model::{AuthMethod, ClientSpec, TenantSettings};

pub(super) fn check(violations: &mut Violations, spec: &ClientSpec) {
    if let Some(fapi) = spec.fapi {
        check_under(violations, spec, fapi);
    }
    // RFC 9700 §2.2.2: a public client's are rotated, or bound to a key.
    let kept = spec.rotate_refresh_tokens == Some(false);
    let bound = spec.token_endpoint_auth_method != AuthMethod::None || spec.dpop_bound_access_tokens;
    violations.require(!kept || bound, "/rotate_refresh_tokens", || {
        "a public client's are replaced, or bound to a key: see dpop_bound_access_tokens".to_owned()
    });
}

/// The same where the tenant has the switch, and what the tenant's own settings contradict.
pub(crate) fn check_against(violations: &mut Violations, spec: &ClientSpec, tenant: &TenantSettings) {
    match (spec.fapi, tenant.oauth.fapi) {
        (None, Some(fapi)) => check_under(violations, spec, fapi),
        (Some(fapi), _) => {
            let algorithm = tenant.signing_algorithm;
            violations.require(fapi.allows_signing(algorithm), "/fapi", || {
                format!("FAPI 2.0 allows PS256, ES256 and EdDSA; the tenant signs with {}", algorithm.as_str())
            });
        }
        (None, None) => {}
    }
}

fn check_under(violations: &mut Violations, spec: &ClientSpec, fapi: Fapi) {
    let method = spec.token_endpoint_auth_method;
    violations.require(fapi.allows_method(method), "/token_endpoint_auth_method", || {
        format!(
            "FAPI 2.0 allows private_key_jwt, tls_client_auth and self_signed_tls_client_auth, not {}",
            method.as_str()
        )
    });
    let registered = spec.token_endpoint_auth_signing_alg;
    violations.require(
        registered.is_none_or(|algorithm| fapi.allows_algorithm(algorithm)),
        "/token_endpoint_auth_signing_alg",
        || "FAPI 2.0 allows PS256, ES256 and EdDSA".to_owned(),
    );
    for (pointer, algorithm) in [
        ("/id_token_signed_response_alg", spec.id_token_signed_response_alg),
        ("/userinfo_signed_response_alg", spec.userinfo_signed_response_alg),
    ] {
        violations.require(algorithm.is_none_or(|algorithm| fapi.allows_signing(algorithm)), pointer, || {
            "FAPI 2.0 allows PS256, ES256 and EdDSA".to_owned()
        });
    }
    let is_native = spec.application_type == ApplicationType::Native;
    for (index, uri) in spec.redirect_uris.iter().enumerate() {
        violations.require(fapi.allows_redirect(uri, is_native), &format!("/redirect_uris/{index}"), || {
            "FAPI 2.0 allows http only for native clients, on loopback: see application_type".to_owned()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocab::SigningAlgorithm;

    const GOOD: &str = r#""name":"Bank","fapi":"2.0","redirect_uris":["https://bank.example/cb"],"token_endpoint_auth_method":"private_key_jwt""#;

    fn pointers(json: &str, tenant: &TenantSettings) -> Vec<String> {
        let mut members: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&format!("{{{GOOD}}}")).unwrap();
        members.extend(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).unwrap());
        let spec: ClientSpec = serde_json::from_value(members.into()).unwrap();
        let mut violations = Violations::new();
        check(&mut violations, &spec);
        check_against(&mut violations, &spec, tenant);
        violations.iter().map(|violation| violation.pointer.clone()).collect()
    }

    #[test]
    fn a_client_that_contradicts_the_profile_is_told_where() {
        let tenant = TenantSettings::default();
        for (json, pointer) in [
            (r#"{"token_endpoint_auth_method":"none"}"#, "/token_endpoint_auth_method"),
            (r#"{"token_endpoint_auth_method":"client_secret_basic"}"#, "/token_endpoint_auth_method"),
            (r#"{"token_endpoint_auth_signing_alg":"RS256"}"#, "/token_endpoint_auth_signing_alg"),
            (r#"{"id_token_signed_response_alg":"RS256"}"#, "/id_token_signed_response_alg"),
            (r#"{"userinfo_signed_response_alg":"ES384"}"#, "/userinfo_signed_response_alg"),
            (r#"{"redirect_uris":["https://a.example/","http://127.0.0.1/cb"]}"#, "/redirect_uris/1"),
        ] {
            assert_eq!(pointers(json, &tenant), [pointer], "{json}");
        }
        for good in [
            "{}",
            r#"{"token_endpoint_auth_method":"tls_client_auth"}"#,
            r#"{"token_endpoint_auth_signing_alg":"PS256","id_token_signed_response_alg":"EdDSA"}"#,
            r#"{"redirect_uris":["http://127.0.0.1/cb"],"application_type":"native"}"#,
            r#"{"rotate_refresh_tokens":true}"#,
            r#"{"fapi":null,"token_endpoint_auth_method":"none"}"#,
        ] {
            assert!(pointers(good, &tenant).is_empty(), "{good}");
        }
    }

    #[test]
    fn the_tenant_has_a_word_in_it() {
        let mut tenant = TenantSettings { signing_algorithm: SigningAlgorithm::Rs256, ..TenantSettings::default() };
        assert_eq!(pointers("{}", &tenant), ["/fapi"]);
        tenant.signing_algorithm = SigningAlgorithm::Es256;
        tenant.oauth.fapi = Some(Fapi::Security2);
        let public = r#"{"fapi":null,"token_endpoint_auth_method":"none"}"#;
        assert_eq!(pointers(public, &tenant), ["/token_endpoint_auth_method"]);
    }

    #[test]
    fn a_public_clients_refresh_tokens_are_replaced_or_bound() {
        let tenant = TenantSettings::default();
        let public = |more: &str| {
            format!(r#"{{"fapi":null,"token_endpoint_auth_method":"none","rotate_refresh_tokens":false{more}}}"#)
        };
        assert_eq!(pointers(&public(""), &tenant), ["/rotate_refresh_tokens"]);
        assert!(pointers(&public(r#","dpop_bound_access_tokens":true"#), &tenant).is_empty());
    }
}
