//! npm's `oauth4webapi`: each flow by a client that forgives nothing.

use serde_json::json;
use tests::tenant::{BACKEND_REDIRECT, Tenant};
use tests::world;

use super::{client, open, script};

#[tokio::test]
async fn npms_oauth4webapi_goes_through_every_flow() {
    let world = world::shared().await;
    // A strict issuer: proofs need its nonces.
    let oauth = json!({ "require_dpop_nonce": true, "registration": open() });
    let tenant = Tenant::create_with(&world, "oauth4webapi", json!({ "oauth": oauth })).await;
    let alice = tenant.user("alice").await;
    let bank = json!({
        "name": "The Bank", "grant_types": ["urn:openid:params:grant-type:ciba"], "scopes": ["openid"],
        "backchannel_token_delivery_mode": "poll",
    });
    let gateway = json!({
        "name": "Gateway", "grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange"],
        "scopes": ["openid", "profile"],
        "token_exchange": {
            "subject_clients": ["backend"], "audiences": ["https://orders.example"], "modes": ["impersonation"],
        },
    });
    let arguments = json!({
        "issuer": tenant.issuer, "redirectUri": BACKEND_REDIRECT, "email": alice.email,
        "backend": { "client_id": "backend", "client_secret": tenant.backend.secret },
        "bank": client(&tenant, &bank).await, "gateway": client(&tenant, &gateway).await,
    });
    let outcome = script::run(script::node("oauth4webapi.mjs", &[&arguments.to_string()]), &alice).await;

    let (sub, email) = (json!(alice.id), json!(alice.email));
    for flow in ["single_page", "web", "strict"] {
        let userinfo = &outcome[flow]["userinfo"];
        assert_eq!((&userinfo["sub"], &userinfo["email"]), (&sub, &email), "{flow}: {outcome:#}");
    }
    for (pointer, expected) in [
        ("/same", json!(true)),
        ("/single_page/audience", json!(tenant.issuer)),
        ("/web/introspected", json!([true, sub, true, sub])),
        ("/web/revoked", json!({ "active": false })),
        ("/web/replayed", json!("invalid_grant")),
        ("/web/exchanged", json!("profile")),
        ("/strict/types", json!(["dpop", "dpop", "dpop"])),
        ("/strict/bound", json!(true)),
        ("/strict/introspected", json!([true, "DPoP", true])),
        ("/strict/not_pushed", json!("invalid_request")),
        ("/strict/other", json!("invalid_token")),
        ("/posted", json!(true)),
        ("/hmac", json!([true, true, true, "ECDH-ES", "A256GCM", "JWT"])),
        ("/device", sub.clone()),
        ("/ciba", sub.clone()),
        ("/resource", json!([tenant.issuer])),
    ] {
        assert_eq!(outcome.pointer(pointer), Some(&expected), "{pointer}: {outcome:#}");
    }
    assert!(outcome["nonces"].as_u64() >= Some(1), "the server's nonce was asked for: {outcome:#}");
}
