//! Rules of the OpenID providers that a tenant's people may sign in at.

use vocab::claims::RESERVED;
use vocab::identity_provider::IdentityProvider;
use vocab::{Slug, Violations};

use super::uri;
use crate::limits;

/// Names, scopes and claims.
const NAME_BYTES: usize = 100;
const NAMES: usize = 20;

pub(super) fn problems(providers: &[IdentityProvider]) -> Violations {
    let mut violations = Violations::new();
    violations.require(providers.len() <= limits::IDENTITY_PROVIDERS, "", || {
        format!("at most {}, has {}", limits::IDENTITY_PROVIDERS, providers.len())
    });
    for (index, provider) in providers.iter().enumerate() {
        violations.nest(&format!("/{index}"), of_one(provider));
        let twice = providers.iter().take(index).any(|other| other.id == provider.id);
        violations.require(!twice, &format!("/{index}/id"), || "stands here twice".to_owned());
    }
    violations
}

fn of_one(provider: &IdentityProvider) -> Violations {
    let mut violations = Violations::new();
    violations.require(provider.id.parse::<Slug>().is_ok(), "/id", || {
        "must be a name as tenants have: lower-case letters, digits and hyphens".to_owned()
    });
    for (pointer, text) in [("/display_name", &provider.display_name), ("/client_id", &provider.client_id)] {
        let fits = (1..=NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        violations.require(fits, pointer, || format!("must have 1 to {NAME_BYTES} bytes"));
    }
    // OIDC Discovery §3: no query or fragment; compared byte by byte, so the path may end as it likes.
    if provider.issuer.contains(['?', '#']) {
        violations.add("/issuer", "must have no query or fragment");
    } else if let Some(problem) = uri::web_problem(&provider.issuer) {
        violations.add("/issuer", problem);
    }
    let token = |text: &String| {
        (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
    };
    let scopes = provider.scopes.len() <= NAMES && provider.scopes.iter().all(token);
    violations.require(scopes, "/scopes", || format!("must be at most {NAMES} scopes"));
    violations.require(provider.claims.len() <= NAMES, "/claims", || format!("must be at most {NAMES}"));
    for (ours, theirs) in &provider.claims {
        let fits = token(ours) && token(theirs) && !RESERVED.contains(&ours.as_str());
        violations.require(fits, "/claims", || format!("{ours}: is no claim that a person may have"));
    }
    let verified = provider.email_verified_claim.as_ref().is_none_or(token);
    violations.require(verified, "/email_verified_claim", || "must be the name of a claim".to_owned());
    let fits = match &provider.client_secret {
        Some(secret) => {
            provider.token_endpoint_auth_method.needs_secret() && secret.to_string().len() <= limits::SEALED_BYTES
        }
        None => !provider.token_endpoint_auth_method.needs_secret(),
    };
    violations.require(fits, "/client_secret", || {
        "belongs to client_secret_basic and client_secret_post, and may not be too long".to_owned()
    });
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_provider_is_whole_and_its_name_its_own() {
        let good = json!({
            "id": "corp", "display_name": "Corp", "issuer": "https://id.corp.example/", "client_id": "us",
            "scopes": ["email"], "claims": { "name": "name" },
        });
        let problems_of = |changes: Value| {
            let mut provider = good.clone();
            for (name, value) in changes.as_object().unwrap() {
                provider[name] = value.clone();
            }
            let provider: IdentityProvider = serde_json::from_value(provider).unwrap();
            problems(&[provider]).iter().map(|it| it.pointer.clone()).collect::<Vec<_>>()
        };
        assert!(problems_of(json!({})).is_empty());
        for (name, wrong) in [
            ("id", json!("a/b")),
            ("display_name", json!("")),
            ("issuer", json!("http://id.corp.example")),
            ("issuer", json!("https://id.corp.example/?a=b")),
            ("client_id", json!("")),
            ("scopes", json!(["a b"])),
            ("claims", json!({ "sub": "sub" })),
            ("email_verified_claim", json!("")),
            ("client_secret", json!(format!("hjs1.0a1b2c3d.{}", "A".repeat(64)))),
        ] {
            assert_eq!(problems_of(json!({ name: wrong })), [format!("/0/{name}")], "{name}: {wrong}");
        }
        for method in ["client_secret_basic", "client_secret_post"] {
            let without = json!({ "token_endpoint_auth_method": method });
            assert_eq!(problems_of(without), ["/0/client_secret"]);
            let sealed = format!("hjs1.0a1b2c3d.{}", "A".repeat(64));
            assert!(problems_of(json!({ "token_endpoint_auth_method": method, "client_secret": sealed })).is_empty());
        }
        let provider: IdentityProvider = serde_json::from_value(good.clone()).unwrap();
        assert!(!problems(&[provider.clone(), provider]).is_empty(), "one name, two providers");
    }
}
