//! Rules of answers that are encrypted to a client (OIDC Registration §2, RFC 9701 §6).

use vocab::Violations;

use crate::model::ClientSpec;

pub(super) fn check(violations: &mut Violations, spec: &ClientSpec) {
    let kinds = [
        ("id_token", spec.id_token_encrypted_response_alg, spec.id_token_encrypted_response_enc),
        ("userinfo", spec.userinfo_encrypted_response_alg, spec.userinfo_encrypted_response_enc),
        ("introspection", spec.introspection_encrypted_response_alg, spec.introspection_encrypted_response_enc),
    ];
    for (what, alg, enc) in kinds {
        // What the specification takes for granted without one is CBC, which is not to be had.
        violations.require(alg.is_some() == enc.is_some(), &format!("/{what}_encrypted_response_enc"), || {
            format!("stands beside {what}_encrypted_response_alg, and must be A256GCM")
        });
        let Some(alg) = alg else { continue };
        let fits = match (&spec.jwks, &spec.jwks_uri) {
            (Some(jwks), _) => jwks.keys.iter().any(|key| alg.fits(key)),
            (None, published) => published.is_some(),
        };
        violations.require(fits, &format!("/{what}_encrypted_response_alg"), || {
            format!("needs a key for {} in jwks, or jwks_uri", alg.as_str())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_and_a_key() {
        const EC: &str = r#""jwks":{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc"}]}"#;
        const BOTH: &str = r#""id_token_encrypted_response_alg":"ECDH-ES","id_token_encrypted_response_enc":"A256GCM""#;
        let rows = [
            ("{}".to_owned(), None),
            (format!("{{{EC},{BOTH}}}"), None),
            (format!(r#"{{"jwks_uri":"https://rp.example/jwks",{BOTH}}}"#), None),
            (format!("{{{BOTH}}}"), Some("/id_token_encrypted_response_alg")),
            (format!("{{{EC},{}}}", BOTH.replace("ECDH-ES", "RSA-OAEP-256")), Some("/id_token_encrypted_response_alg")),
            (
                format!(r#"{{{EC},"userinfo_encrypted_response_alg":"ECDH-ES"}}"#),
                Some("/userinfo_encrypted_response_enc"),
            ),
            (
                format!(r#"{{{EC},"introspection_encrypted_response_alg":"ECDH-ES"}}"#),
                Some("/introspection_encrypted_response_enc"),
            ),
            (r#"{"userinfo_encrypted_response_enc":"A256GCM"}"#.to_owned(), Some("/userinfo_encrypted_response_enc")),
        ];
        for (json, expected) in rows {
            let spec: ClientSpec = serde_json::from_str(&json).unwrap();
            let mut violations = Violations::new();
            check(&mut violations, &spec);
            let pointers: Vec<_> = violations.iter().map(|violation| violation.pointer.as_str()).collect();
            assert_eq!(pointers, expected.into_iter().collect::<Vec<_>>(), "{json}");
        }
    }
}
