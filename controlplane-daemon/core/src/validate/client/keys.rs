//! Rules of the keys that a client proves itself with, or is encrypted to.

use vocab::Violations;

use crate::model::{AuthMethod, ClientSpec};
use crate::validate::uri;

pub(super) fn check(violations: &mut Violations, spec: &ClientSpec) {
    // RFC 7591 §2: "The jwks_uri and jwks parameters MUST NOT both be present".
    violations.require(spec.jwks.is_none() || spec.jwks_uri.is_none(), "/jwks_uri", || {
        "a client has jwks or jwks_uri, not both".to_owned()
    });
    if let Some(problem) = spec.jwks_uri.as_deref().and_then(uri::web_problem) {
        violations.add("/jwks_uri", problem);
    }
    check_method(violations, spec);
    for (place, problem) in spec.jwks.iter().flat_map(vocab::jwk::Jwks::problems) {
        let pointer = place.map_or_else(|| "/jwks/keys".to_owned(), |place| format!("/jwks/keys/{place}"));
        violations.add(pointer, problem);
    }
}

/// What each way to prove oneself needs, and what is of no use with it.
fn check_method(violations: &mut Violations, spec: &ClientSpec) {
    let method = spec.token_endpoint_auth_method;
    let by_keys = matches!(method, AuthMethod::PrivateKeyJwt | AuthMethod::SelfSignedTlsClientAuth);
    violations.require(!by_keys || spec.jwks.is_some() || spec.jwks_uri.is_some(), "/jwks", || {
        format!("needed for {}, or jwks_uri", method.as_str())
    });
    // RFC 8725 §3.1: a mac for which the public key is the secret is what this keeps out.
    let algorithm = spec.token_endpoint_auth_signing_alg;
    let fits = algorithm.is_none_or(|it| match method {
        AuthMethod::PrivateKeyJwt => !it.is_symmetric(),
        AuthMethod::ClientSecretJwt => it.is_symmetric(),
        _ => false,
    });
    violations.require(fits, "/token_endpoint_auth_signing_alg", || {
        "is the algorithm of a signature for private_key_jwt, of an HMAC for client_secret_jwt".to_owned()
    });
    let names = [
        ("/tls_client_auth_subject_dn", &spec.tls_client_auth_subject_dn),
        ("/tls_client_auth_san_dns", &spec.tls_client_auth_san_dns),
        ("/tls_client_auth_san_uri", &spec.tls_client_auth_san_uri),
        ("/tls_client_auth_san_ip", &spec.tls_client_auth_san_ip),
        ("/tls_client_auth_san_email", &spec.tls_client_auth_san_email),
    ];
    // RFC 8705 §2.1.2: "exactly one of the below metadata parameters".
    let named = names.iter().filter(|(_, name)| name.is_some()).count();
    let wanted = usize::from(method == AuthMethod::TlsClientAuth);
    violations.require(named == wanted, "/token_endpoint_auth_method", || {
        "tls_client_auth needs exactly one of the tls_client_auth_ names, and nothing else has any".to_owned()
    });
    for (pointer, name) in names {
        let fits = name.as_ref().is_none_or(|name| (1..=1024).contains(&name.len()));
        violations.require(fits, pointer, || "must have 1 to 1024 bytes".to_owned());
    }
    let address = spec.tls_client_auth_san_ip.as_ref();
    violations.require(
        address.is_none_or(|address| address.parse::<std::net::IpAddr>().is_ok()),
        "/tls_client_auth_san_ip",
        || "must be an IP address".to_owned(),
    );
    let twice = spec.dpop_bound_access_tokens && spec.tls_client_certificate_bound_access_tokens;
    violations.require(!twice, "/dpop_bound_access_tokens", || {
        "tokens are bound to a key of DPoP or to a certificate, not to both".to_owned()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    fn pointers(json: &str) -> Vec<String> {
        let spec: ClientSpec = serde_json::from_str(json).unwrap();
        let mut violations = Violations::new();
        check(&mut violations, &spec);
        violations.iter().map(|violation| violation.pointer.clone()).collect()
    }

    #[test]
    fn keys_are_public_strong_and_in_one_place() {
        let set = |keys: &str| format!(r#"{{"jwks":{{"keys":[{keys}]}}}}"#);
        let uri = |uri: &str| format!(r#"{{"jwks_uri":"{uri}"}}"#);
        let none: [&str; 0] = [];
        assert_eq!(pointers("{}"), none);
        assert_eq!(pointers(&set(GOOD)), none);
        assert_eq!(pointers(&set("")), ["/jwks/keys"]);
        assert_eq!(pointers(&set(&format!(r#"{GOOD},{{"kty":"oct"}}"#))), ["/jwks/keys/1"]);
        let private = set(&GOOD.replace('}', r#","d":"AAAA"}"#));
        assert!(serde_json::from_str::<ClientSpec>(&private).is_err(), "it must not get into the log");
        assert_eq!(pointers(&uri("https://rp.example/jwks.json")), none);
        for bad in ["http://rp.example/jwks", "file:///etc/passwd", "gopher://127.0.0.1/", "data:,x", "jwks.json"] {
            assert_eq!(pointers(&uri(bad)), ["/jwks_uri"], "{bad}");
        }
        let both = format!(r#"{{"jwks":{{"keys":[{GOOD}]}},"jwks_uri":"https://rp.example/jwks"}}"#);
        assert_eq!(pointers(&both), ["/jwks_uri"]);
    }

    #[test]
    fn each_method_has_what_it_needs_and_nothing_of_another() {
        let rows = [
            (r#"{"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://rp.example/jwks"}"#, None),
            (r#"{"token_endpoint_auth_method":"private_key_jwt"}"#, Some("/jwks")),
            (r#"{"token_endpoint_auth_method":"self_signed_tls_client_auth"}"#, Some("/jwks")),
            (
                r#"{"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://rp.example/jwks",
                   "token_endpoint_auth_signing_alg":"HS256"}"#,
                Some("/token_endpoint_auth_signing_alg"),
            ),
            (r#"{"token_endpoint_auth_method":"client_secret_jwt","token_endpoint_auth_signing_alg":"HS384"}"#, None),
            (
                r#"{"token_endpoint_auth_method":"client_secret_jwt","token_endpoint_auth_signing_alg":"ES256"}"#,
                Some("/token_endpoint_auth_signing_alg"),
            ),
            (r#"{"token_endpoint_auth_signing_alg":"ES256"}"#, Some("/token_endpoint_auth_signing_alg")),
            (r#"{"token_endpoint_auth_method":"tls_client_auth","tls_client_auth_san_dns":"rp.example"}"#, None),
            (r#"{"token_endpoint_auth_method":"tls_client_auth"}"#, Some("/token_endpoint_auth_method")),
            (
                r#"{"token_endpoint_auth_method":"tls_client_auth","tls_client_auth_san_dns":"rp.example",
                   "tls_client_auth_subject_dn":"CN=rp"}"#,
                Some("/token_endpoint_auth_method"),
            ),
            (r#"{"tls_client_auth_san_dns":"rp.example"}"#, Some("/token_endpoint_auth_method")),
            (
                r#"{"token_endpoint_auth_method":"tls_client_auth","tls_client_auth_san_ip":"rp.example"}"#,
                Some("/tls_client_auth_san_ip"),
            ),
            (
                r#"{"dpop_bound_access_tokens":true,"tls_client_certificate_bound_access_tokens":true}"#,
                Some("/dpop_bound_access_tokens"),
            ),
        ];
        for (json, expected) in rows {
            assert_eq!(pointers(json), expected.into_iter().collect::<Vec<_>>(), "{json}");
        }
    }
}
