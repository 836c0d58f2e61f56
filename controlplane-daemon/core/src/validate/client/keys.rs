//! Rules of the keys that a client proves itself with, or is encrypted to.

use vocab::Violations;

use crate::model::ClientSpec;
use crate::validate::uri;

pub(super) fn check(violations: &mut Violations, spec: &ClientSpec) {
    // RFC 7591 §2: "The jwks_uri and jwks parameters MUST NOT both be present".
    violations.require(spec.jwks.is_none() || spec.jwks_uri.is_none(), "/jwks_uri", || {
        "a client has jwks or jwks_uri, not both".to_owned()
    });
    if let Some(problem) = spec.jwks_uri.as_deref().and_then(uri::web_problem) {
        violations.add("/jwks_uri", problem);
    }
    for (place, problem) in spec.jwks.iter().flat_map(vocab::jwk::Jwks::problems) {
        let pointer = place.map_or_else(|| "/jwks/keys".to_owned(), |place| format!("/jwks/keys/{place}"));
        violations.add(pointer, problem);
    }
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
        assert_eq!(pointers(&set(&format!(r#"{GOOD},{{"kty":"oct","k":"AAAA"}}"#))), ["/jwks/keys/1"]);
        assert_eq!(pointers(&set(&GOOD.replace('}', r#","d":"AAAA"}"#))), ["/jwks/keys/0"]);
        assert_eq!(pointers(&uri("https://rp.example/jwks.json")), none);
        for bad in ["http://rp.example/jwks", "file:///etc/passwd", "gopher://127.0.0.1/", "data:,x", "jwks.json"] {
            assert_eq!(pointers(&uri(bad)), ["/jwks_uri"], "{bad}");
        }
        let both = format!(r#"{{"jwks":{{"keys":[{GOOD}]}},"jwks_uri":"https://rp.example/jwks"}}"#);
        assert_eq!(pointers(&both), ["/jwks_uri"]);
    }
}
