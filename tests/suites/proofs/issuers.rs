//! Issuers of JWT grants (RFC 7523 §2.1) that publish their keys instead of registering them.

use serde_json::{Value, json};
use tests::relying_party::RelyingParty;

use super::assertions::document::Document;
use super::keys::{Key, claims, now, random};
use super::shared;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[tokio::test]
async fn an_issuers_published_keys_are_fetched_kept_and_followed() {
    let setting = shared().await;
    let tenant = setting.tenant("issuers").await;
    let alice = tenant.user("alice").await;
    let (first, second, stranger) = (Key::new("1"), Key::new("2"), Key::new("1"));
    let document = Document::serve(&json!({ "keys": [first.jwk] }).to_string()).await;
    let trusted = |uri: &str| {
        json!({ "settings": { "oauth": { "trusted_jwt_issuers": [{
            "issuer": "https://partner.example", "jwks_uri": uri, "subject": "user_id", "scopes": ["openid"],
        }] } } })
    };
    tenant.patch(&trusted(&document.url)).await;
    let client = json!({ "client_id": "desk", "name": "Desk", "grant_types": [GRANT], "scopes": ["openid"] });
    let secret = tenant.admin.create_client(&tenant.slug, &client).await.secret;
    let desk = RelyingParty::new(&tenant.issuer, "desk", secret, "");
    let ask = async |key: &Key| {
        let said: Value = json!({
            "iss": "https://partner.example", "sub": alice.id, "aud": tenant.issuer, "exp": now() + 60, "jti": random(),
        });
        let assertion = key.sign(&json!({ "alg": "ES256", "kid": key.jwk["kid"] }), &said);
        desk.token(&[("grant_type", GRANT), ("assertion", &assertion)]).await
    };
    for _ in 0..3 {
        let answer = ask(&first).await.expect(200);
        assert_eq!(claims(&answer.text_of("access_token"))["sub"], json!(alice.id));
    }
    assert_eq!(document.requests(), 1, "fetched once");
    assert_eq!(ask(&stranger).await.expect(400).text_of("error"), "invalid_grant");
    // An unreachable one grants nothing; its neighbours are not told why.
    tenant.patch(&trusted("http://127.0.0.1:9/jwks")).await;
    assert_eq!(ask(&first).await.expect(400).text_of("error"), "invalid_grant");
    // A key that was published since is looked for.
    let document = Document::serve(&json!({ "keys": [second.jwk] }).to_string()).await;
    tenant.patch(&trusted(&document.url)).await;
    assert_eq!(ask(&second).await.status, 200);
    assert_eq!(ask(&first).await.expect(400).text_of("error"), "invalid_grant");
}
