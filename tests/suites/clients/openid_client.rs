//! npm's `openid-client`.

use serde_json::json;
use tests::tenant::{APP_REDIRECT, BACKEND_REDIRECT};
use tests::world;

use super::script;

#[tokio::test]
async fn npms_openid_client_signs_in() {
    let world = world::shared().await;
    let tenant = world.tenant("openid-client").await;
    let alice = tenant.user("alice").await;
    let secret = tenant.backend.secret.clone().expect("a confidential client");
    for (id, secret, redirect) in [("app", "", APP_REDIRECT), ("backend", secret.as_str(), BACKEND_REDIRECT)] {
        let node = script::node("openid-client.mjs", &[&tenant.issuer, id, secret, redirect]);
        let outcome = script::run(node, &alice).await;
        assert_eq!(outcome["claims"]["sub"], alice.id.as_str(), "{outcome:#}");
        assert_eq!(outcome["userinfo"]["email"], alice.email.as_str(), "{outcome:#}");
        let refreshed = outcome["refreshed"].as_array().expect("member names");
        for member in ["access_token", "refresh_token"] {
            assert!(refreshed.contains(&json!(member)), "{outcome:#}");
        }
    }
}
