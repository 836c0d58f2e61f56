//! A protected resource that asks for a later or better sign-in, and a client that gets one (RFC 9470).

use serde_json::json;
use tests::browser::Browser;
use tests::relying_party::{Tokens, parameters};
use tests::web;
use tests::world;

#[tokio::test]
async fn the_user_api_asks_for_a_fresh_sign_in_and_takes_it() {
    let world = world::shared().await;
    let tenant = world.tenant("stepup").await;
    let alice = tenant.user("alice").await;
    tenant.patch_client("backend", &json!({ "scopes": ["openid", "hj:users.read"] })).await;
    let scope = ("scope", Some("openid hj:users.read"));
    let browser = Browser::new();
    let users = |token: &str| tenant.service.http.get(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(token);

    browser.authorize(&tenant.backend.attempt_with(&[scope]).url, &alice).await;
    let age = "update sessions set auth_time = auth_time - interval '1 hour'";
    tenant.database.connect().await.execute(age, &[]).await.expect("a table");
    let attempt = tenant.backend.attempt_with(&[scope]);
    let callback = browser.open(&attempt.url).await.expect_callback();
    let stale = Tokens::read(tenant.backend.redeem(&parameters(&callback)["code"], &attempt.verifier).await);
    let _ = web::send(users(&stale.access)).await.expect(200);

    let step_up = json!({ "max_age": 60, "acr_values": ["urn:hellojohn:acr:1fa"] });
    tenant.patch(&json!({ "settings": { "oauth": { "user_api_step_up": step_up } } })).await;
    let refused = web::send(users(&stale.access)).await.expect(401);
    assert_eq!(refused.code(), "insufficient_user_authentication");
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Bearer ") && challenge.contains("error=\"insufficient_user_authentication\""));
    assert!(challenge.contains("max_age=\"60\"") && challenge.contains("acr_values=\"urn:hellojohn:acr:1fa\""));

    // The client asks for what the challenge said, and the user signs in anew.
    let attempt = tenant.backend.attempt_with(&[scope, ("max_age", Some("60"))]);
    let login = browser.open_page(&attempt.url).await.expect_form();
    let callback = browser.sign_in(&login, &alice.email, &alice.password).await.expect_callback();
    let fresh = Tokens::read(tenant.backend.redeem(&parameters(&callback)["code"], &attempt.verifier).await);
    let _ = web::send(users(&fresh.access)).await.expect(200);
    // A client on its own behalf has nobody to ask.
    let own = tenant.service.client_credentials("hj:users.read").await;
    let _ = web::send(users(&own)).await.expect(200);

    let second_factor = json!({ "acr_values": ["urn:hellojohn:acr:2fa"], "max_age": null });
    tenant.patch(&json!({ "settings": { "oauth": { "user_api_step_up": second_factor } } })).await;
    let _ = web::send(users(&fresh.access)).await.expect(401);
}
