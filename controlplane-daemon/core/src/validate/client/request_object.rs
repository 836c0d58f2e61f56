//! Rules of what a client is registered with for signed authorization requests (RFC 9101).

use vocab::Violations;

use super::check_each;
use crate::limits;
use crate::model::ClientSpec;
use crate::validate::uri;

pub(super) fn check(violations: &mut Violations, spec: &ClientSpec) {
    let has_keys = spec.jwks.is_some() || spec.jwks_uri.is_some();
    violations.require(!spec.require_signed_request_object || has_keys, "/require_signed_request_object", || {
        "needs jwks or jwks_uri, which the requests are signed with".to_owned()
    });
    // RFC 8725 §3.1: an HMAC would make a secret of a public key.
    let fits = spec.request_object_signing_alg.is_none_or(|algorithm| has_keys && !algorithm.is_symmetric());
    violations.require(fits, "/request_object_signing_alg", || {
        "is the algorithm of a signature, and needs jwks or jwks_uri".to_owned()
    });
    // They are signed, then encrypted (RFC 9101 §6.1). What is meant where one half is missing is CBC.
    let (alg, enc) = (spec.request_object_encryption_alg, spec.request_object_encryption_enc);
    violations.require(alg.is_some() == enc.is_some(), "/request_object_encryption_enc", || {
        "stands beside request_object_encryption_alg, and must be A256GCM".to_owned()
    });
    violations.require(alg.is_none() || has_keys, "/request_object_encryption_alg", || {
        "needs jwks or jwks_uri, which the requests are signed with".to_owned()
    });
    violations.require(spec.request_uris.is_empty() || has_keys, "/request_uris", || {
        "needs jwks or jwks_uri, which the requests are signed with".to_owned()
    });
    check_each(violations, "/request_uris", &spec.request_uris, limits::REQUEST_URIS, problem);
}

/// The fragment, which nobody fetches, may tell versions apart (OIDC Core §6.2).
fn problem(request_uri: &str) -> Option<&'static str> {
    uri::web_problem(request_uri.split_once('#').map_or(request_uri, |(address, _)| address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_signs_requests_has_keys() {
        const KEYS: &str = r#""jwks_uri":"https://rp.example/jwks""#;
        let rows = [
            ("{}".to_owned(), None),
            (format!(r#"{{{KEYS},"require_signed_request_object":true,"request_object_signing_alg":"ES256"}}"#), None),
            (r#"{"require_signed_request_object":true}"#.to_owned(), Some("/require_signed_request_object")),
            (r#"{"request_object_signing_alg":"ES256"}"#.to_owned(), Some("/request_object_signing_alg")),
            (format!(r#"{{{KEYS},"request_object_signing_alg":"HS256"}}"#), Some("/request_object_signing_alg")),
            (
                format!(
                    r#"{{{KEYS},"request_object_encryption_alg":"ECDH-ES","request_object_encryption_enc":"A256GCM"}}"#
                ),
                None,
            ),
            (
                format!(r#"{{{KEYS},"request_object_encryption_alg":"ECDH-ES"}}"#),
                Some("/request_object_encryption_enc"),
            ),
            (
                r#"{"request_object_encryption_alg":"ECDH-ES","request_object_encryption_enc":"A256GCM"}"#.to_owned(),
                Some("/request_object_encryption_alg"),
            ),
            (format!(r#"{{{KEYS},"request_uris":["https://rp.example/r#abc","http://127.0.0.1:7/r"]}}"#), None),
            (r#"{"request_uris":["https://rp.example/r"]}"#.to_owned(), Some("/request_uris")),
            (format!(r#"{{{KEYS},"request_uris":["http://rp.example/r"]}}"#), Some("/request_uris/0")),
            (format!(r#"{{{KEYS},"request_uris":["file:///etc/passwd"]}}"#), Some("/request_uris/0")),
        ];
        for (json, expected) in rows {
            let spec: ClientSpec = serde_json::from_str(&json).unwrap();
            let mut violations = Violations::new();
            check(&mut violations, &spec);
            let pointers: Vec<_> = violations.iter().map(|violation| violation.pointer.as_str()).collect();
            assert_eq!(pointers, expected.into_iter().collect::<Vec<_>>(), "{json}");
        }
        let unsigned = format!(r#"{{{KEYS},"request_object_signing_alg":"none"}}"#);
        assert!(serde_json::from_str::<ClientSpec>(&unsigned).is_err());
    }
}
