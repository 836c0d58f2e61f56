//! Rules of a tenant's OAuth settings.

use std::collections::BTreeMap;

use vocab::Violations;
use vocab::claims::ClaimSource;
use vocab::oauth::OAuthSettings;

use super::client::check_acr_values;
use super::{authorization_details, identity_provider, registration, uri};
use crate::limits;

pub(super) fn problems(settings: &OAuthSettings) -> Violations {
    let mut violations = Violations::new();
    for (pointer, value, most) in [
        ("/device_code_secs", settings.device_code_secs, 3600),
        ("/polling_interval_secs", settings.polling_interval_secs, 60),
        ("/ciba_request_secs", settings.ciba_request_secs, 3600),
    ] {
        violations
            .require(value.is_none_or(|value| (1..=most).contains(&value)), pointer, || format!("must be 1 to {most}"));
    }
    // NIST SP 800-63B-4 §3.1.1.2: not fewer than 8; who asks for more than 64 asks for what people cannot type.
    let length = settings.password_min_length;
    violations.require(length.is_none_or(|it| (8..=64).contains(&it)), "/password_min_length", || {
        "must be 8 to 64".to_owned()
    });
    let issuers = &settings.trusted_jwt_issuers;
    violations.require(issuers.len() <= limits::TRUSTED_ISSUERS, "/trusted_jwt_issuers", || {
        format!("at most {}, has {}", limits::TRUSTED_ISSUERS, issuers.len())
    });
    for (index, trusted) in issuers.iter().enumerate() {
        let at = |member: &str| format!("/trusted_jwt_issuers/{index}/{member}");
        let named = (1..=limits::URI_BYTES).contains(&trusted.issuer.len());
        violations.require(named, &at("issuer"), || format!("must have 1 to {} bytes", limits::URI_BYTES));
        let twice = issuers.iter().take(index).any(|other| other.issuer == trusted.issuer);
        violations.require(!twice, &at("issuer"), || "stands here twice".to_owned());
        violations.require(trusted.jwks.is_empty() == trusted.jwks_uri.is_some(), &at("jwks"), || {
            "an issuer has jwks with a key, or jwks_uri, not both".to_owned()
        });
        if let Some(problem) = trusted.jwks_uri.as_deref().and_then(uri::web_problem) {
            violations.add(at("jwks_uri"), problem);
        }
        let by_value = Some(&trusted.jwks).filter(|jwks| !jwks.is_empty());
        for (key, problem) in by_value.into_iter().flat_map(vocab::jwk::Jwks::problems) {
            let key = key.map(|key| format!("/keys/{key}")).unwrap_or_default();
            violations.add(at(&format!("jwks{key}")), problem);
        }
    }
    let grace = settings.refresh_token_grace_secs.unwrap_or_default();
    violations.require(grace <= limits::REFRESH_GRACE_SECS, "/refresh_token_grace_secs", || {
        format!("must be at most {}, is {grace}", limits::REFRESH_GRACE_SECS)
    });
    violations.nest("/claims", claims_problems(&settings.claims));
    violations.nest("/registration", registration::policy_problems(&settings.registration));
    violations.nest("/identity_providers", identity_provider::problems(&settings.identity_providers));
    let types = authorization_details::types_problems(&settings.authorization_details_types);
    violations.nest("/authorization_details_types", types);
    // FAPI 2.0 Security Profile §5.3.2.2.
    violations.require(settings.fapi.is_none() || !settings.allow_plain_pkce, "/allow_plain_pkce", || {
        "FAPI 2.0 allows S256 alone".to_owned()
    });
    if let Some(step_up) = &settings.user_api_step_up {
        check_acr_values(&mut violations, "/user_api_step_up/acr_values", &step_up.acr_values);
    }
    violations
}

fn claims_problems(claims: &BTreeMap<String, ClaimSource>) -> Violations {
    let mut violations = Violations::new();
    violations.require(claims.len() <= limits::CLAIMS_PER_SCOPE, "", || {
        format!("must be at most {}", limits::CLAIMS_PER_SCOPE)
    });
    let is_name = |name: &str| (1..=limits::CLAIM_BYTES).contains(&name.len()) && !name.contains(char::is_control);
    for (name, source) in claims {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        violations
            .require(is_name(name), &pointer, || format!("must have a name of 1 to {} bytes", limits::CLAIM_BYTES));
        violations.require(!vocab::claims::RESERVED.contains(&name.as_str()), &pointer, || {
            "is set by the server itself".to_owned()
        });
        let fits = match source {
            ClaimSource::Field(field) | ClaimSource::Aggregated(field) => is_name(field),
            ClaimSource::Value(value) => !value.is_null() && value.to_string().len() <= limits::URI_BYTES,
        };
        violations.require(fits, &pointer, || {
            format!(
                "must have a field of 1 to {} bytes, or a value of at most {}",
                limits::CLAIM_BYTES,
                limits::URI_BYTES
            )
        });
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_have_names_of_their_own_and_sources() {
        let with = |json: &str| problems(&serde_json::from_str(json).unwrap()).is_empty();
        assert!(with(r#"{"claims":{"employee":{"field":"staff_no"},"org":{"value":{"name":"Acme"}}}}"#));
        for wrong in [
            r#"{"claims":{"sub":{"field":"x"}}}"#,
            r#"{"claims":{"email":{"value":"x"}}}"#,
            r#"{"claims":{"":{"field":"x"}}}"#,
            r#"{"claims":{"a":{"field":""}}}"#,
            r#"{"claims":{"a":{"value":null}}}"#,
        ] {
            assert!(!with(wrong), "{wrong}");
        }
    }

    #[test]
    fn an_issuers_keys_are_at_one_place() {
        let key =
            r#""jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let with = |keys: &str| {
            let json = format!(r#"{{"trusted_jwt_issuers":[{{"issuer":"https://a.example"{keys}}}]}}"#);
            problems(&serde_json::from_str(&json).unwrap()).iter().map(|it| it.pointer.clone()).collect::<Vec<_>>()
        };
        let there = r#""jwks_uri":"https://a.example/jwks""#;
        assert!(with(&format!(",{key}")).is_empty());
        assert!(with(&format!(",{there}")).is_empty());
        for wrong in [String::new(), format!(",{key},{there}"), r#","jwks":{"keys":[]}"#.to_owned()] {
            assert_eq!(with(&wrong), ["/trusted_jwt_issuers/0/jwks"], "{wrong}");
        }
        assert_eq!(with(r#","jwks_uri":"ftp://a.example/jwks""#), ["/trusted_jwt_issuers/0/jwks_uri"]);
    }

    #[test]
    fn waiting_has_an_end() {
        let with = |secs| OAuthSettings {
            device_code_secs: Some(secs),
            polling_interval_secs: Some(secs),
            ciba_request_secs: Some(secs),
            ..OAuthSettings::default()
        };
        let pointers = |settings: &OAuthSettings| serde_json::to_value(problems(settings)).unwrap();
        assert!(problems(&OAuthSettings::default()).is_empty());
        assert!(problems(&with(60)).is_empty());
        assert_eq!(pointers(&with(0)).as_array().unwrap().len(), 3);
        assert_eq!(pointers(&with(3601)).as_array().unwrap().len(), 3);
    }
}
