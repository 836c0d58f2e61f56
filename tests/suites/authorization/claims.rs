//! The `claims` parameter (OIDC Core §5.5), at userinfo, in the ID token, and on the consent page.

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::table::Table;
use tests::tenant::User;
use tests::tokens;
use tests::world;

async fn tokens(party: &RelyingParty, user: &User, scope: &str, claims: &Value) -> Tokens {
    let claims = claims.to_string();
    let attempt = party.attempt_with(&[("scope", Some(scope)), ("claims", Some(&claims))]);
    let callback = Browser::new().authorize(&attempt.url, user).await;
    Tokens::read(party.redeem(&parameters(&callback)["code"], &attempt.verifier).await)
}

#[tokio::test]
async fn single_claims_are_released_where_they_were_asked_for() {
    let world = world::shared().await;
    let tenant = world.tenant("claims").await;
    let alice = tenant.user("alice").await;
    let asked = json!({
        "userinfo": { "name": { "essential": true }, "phone_number": null, "unknown": null },
        "id_token": { "email": null, "email_verified": { "value": false }, "auth_time": { "essential": true },
                      "acr": { "values": ["urn:hellojohn:acr:1fa"] }, "phone_number": null },
    });
    let first = tokens(&tenant.backend, &alice, "openid offline_access", &asked).await;
    let jwks = tenant.backend.jwks().await.json;
    for round in ["code", "refresh"] {
        let now =
            if round == "code" { first.clone() } else { Tokens::read(tenant.backend.refresh(first.refresh()).await) };
        let id = tokens::verify(now.id(), &jwks).expect("verifies");
        assert_eq!(id["email"], alice.email.as_str(), "{round}: {id:#}");
        assert_eq!(id["acr"], "urn:hellojohn:acr:1fa", "{round}: {id:#}");
        assert!(id["auth_time"].is_i64() && id.get("name").is_none(), "{round}: {id:#}");
        assert!(id.get("email_verified").is_none(), "another value was asked for: {id:#}");
        let userinfo = tenant.backend.userinfo(&now.access).await.expect(200).json;
        assert_eq!(userinfo, json!({ "sub": alice.id, "name": "alice" }), "{round}");
    }
    // Nothing of it for the next one, who asks for nothing.
    let plain = tokens(&tenant.backend, &alice, "openid", &json!({})).await;
    assert_eq!(tenant.backend.userinfo(&plain.access).await.expect(200).json, json!({ "sub": alice.id }));
}

#[tokio::test]
async fn a_client_gets_no_claim_that_none_of_its_scopes_releases() {
    let world = world::shared().await;
    let tenant = world.tenant("reach").await;
    let alice = tenant.user("alice").await;
    tenant.patch_client("backend", &json!({ "scopes": ["openid", "profile"] })).await;
    let asked = json!({ "userinfo": { "email": { "essential": true }, "name": null }, "id_token": { "email": null } });
    let tokens = tokens(&tenant.backend, &alice, "openid", &asked).await;
    let userinfo = tenant.backend.userinfo(&tokens.access).await.expect(200).json;
    assert_eq!(userinfo, json!({ "sub": alice.id, "name": "alice" }));
    assert!(tests::tokens::Jwt::parse(tokens.id()).claims.get("email").is_none());
}

#[tokio::test]
async fn the_user_is_asked_for_them() {
    let world = world::shared().await;
    let tenant = world.tenant("ask").await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    browser.authorize(&tenant.app.attempt_with(&[("scope", Some("openid"))]).url, &alice).await;
    let claims = json!({ "id_token": { "email": null } }).to_string();
    let attempt = tenant.app.attempt_with(&[("scope", Some("openid")), ("claims", Some(&claims))]);
    let page = browser.open_page(&attempt.url).await;
    assert!(page.text().contains("email address"), "{page:#?}");
    let callback = browser.consent(&page.expect_form()).await.expect_callback();
    let tokens = Tokens::read(tenant.app.redeem(&parameters(&callback)["code"], &attempt.verifier).await);
    assert_eq!(tests::tokens::Jwt::parse(tokens.id()).claims["email"], alice.email.as_str());
}

#[tokio::test]
async fn a_subject_or_class_that_is_not_to_be_had_is_an_error() {
    let world = world::shared().await;
    let tenant = world.tenant("subject").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let browser = Browser::new();
    browser.authorize(&tenant.backend.attempt().url, &alice).await;
    let acr =
        |essential: bool, class: &str| json!({ "id_token": { "acr": { "essential": essential, "values": [class] } } });
    let mut table = Table::new();
    for (what, claims, expected) in [
        ("herself", json!({ "id_token": { "sub": { "value": alice.id } } }), "code"),
        ("one of several", json!({ "userinfo": { "sub": { "values": [bob.id, alice.id] } } }), "code"),
        ("somebody else", json!({ "id_token": { "sub": { "value": bob.id } } }), "login_required"),
        ("essential second factor", acr(true, "urn:hellojohn:acr:2fa"), "login_required"),
        ("wished second factor", acr(false, "urn:hellojohn:acr:2fa"), "login_required"),
        ("essential class of nobody", acr(true, "gold"), "unmet_authentication_requirements"),
        ("wished class of nobody", acr(false, "gold"), "code"),
        ("essential password", acr(true, "urn:hellojohn:acr:1fa"), "code"),
        ("not of the form", json!({ "id_token": { "sub": 1 } }), "invalid_request"),
        ("not an object", json!([]), "invalid_request"),
    ] {
        let claims = claims.to_string();
        let attempt = tenant.backend.attempt_with(&[("prompt", Some("none")), ("claims", Some(&claims))]);
        let mut answer = parameters(&browser.open(&attempt.url).await.expect_callback());
        let told =
            answer.remove("error").unwrap_or_else(|| answer.into_keys().find(|key| key == "code").unwrap_or_default());
        table.check(what, told == expected, || format!("want {expected}, got {told}"));
    }
    table.finish(&world).await;
}
