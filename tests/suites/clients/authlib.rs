//! PyPI's `Authlib`, with `requests` and with `httpx`.

use serde_json::json;
use tests::tenant::{BACKEND_REDIRECT, Tenant};
use tests::world;

use super::{open, script};

#[tokio::test]
async fn pypis_authlib_signs_in_renews_introspects_and_revokes() {
    let world = world::shared().await;
    let settings = json!({ "oauth": { "registration": open() } });
    let tenant = Tenant::create_with(&world, "authlib", settings).await;
    let alice = tenant.user("alice").await;
    tenant.patch_client("app", &json!({ "redirect_uris": [BACKEND_REDIRECT] })).await;
    let clients = [
        json!({ "client_id": "app", "client_secret": null }),
        json!({ "client_id": "backend", "client_secret": tenant.backend.secret }),
    ];
    let arguments = json!({ "issuer": tenant.issuer, "redirectUri": BACKEND_REDIRECT, "clients": clients });
    let mut python = script::python("flows.py", &[&arguments.to_string()]);
    // The issuer is on loopback, without TLS.
    python.env("AUTHLIB_INSECURE_TRANSPORT", "1");
    let outcome = script::run(python, &alice).await;
    for client in outcome["clients"].as_array().expect("two") {
        assert_eq!(client["sub"], json!(alice.id), "{outcome:#}");
        assert_eq!(client["userinfo"]["email"], json!(alice.email), "{outcome:#}");
        assert_eq!((&client["renewed"], &client["revoked"]), (&json!(true), &json!(200)), "{outcome:#}");
        assert_eq!(client["afterwards"], "invalid_grant", "{outcome:#}");
    }
    assert_eq!(outcome["clients"][1]["introspected"], json!([true, alice.id]), "{outcome:#}");
    let methods = ["private_key_jwt", "client_secret_jwt", "client_secret_post"];
    let machines = json!(methods.map(|method| json!([method, true, true])));
    assert_eq!(outcome["machines"], machines, "{outcome:#}");
}
