//! Opaque access tokens: they open what JWTs open, and nothing of them is stored.

use serde_json::json;
use tests::web;
use tests::world;

#[tokio::test]
async fn they_open_what_jwts_open_until_they_are_revoked() {
    let world = world::shared().await;
    let tenant = world.tenant("opaque").await;
    let alice = tenant.user("alice").await;
    for client in ["app", "backend", "service"] {
        tenant.patch_client(client, &json!({ "access_token_format": "opaque" })).await;
    }
    let tokens = tenant.backend.sign_in(&alice).await;
    assert_eq!(tokens.access.len(), 43, "{tokens:?}");
    let userinfo = tenant.backend.userinfo(&tokens.access).await.expect(200);
    assert_eq!(userinfo.json["sub"], alice.id);
    let told = tenant.backend.introspect(&tokens.access).await.expect(200).json;
    for (name, value) in [
        ("active", json!(true)),
        ("token_type", json!("Bearer")),
        ("sub", json!(alice.id)),
        ("client_id", json!("backend")),
        ("iss", json!(tenant.issuer)),
        ("aud", json!(tenant.issuer)),
    ] {
        assert_eq!(told[name], value, "{name}: {told:#}");
    }
    assert_eq!(tenant.service.introspect(&tokens.access).await.expect(200).json, json!({ "active": false }));

    // Of a client on its own behalf, with the same rules of audience and scope.
    let own = tenant.service.client_credentials("hj:users.read").await;
    assert_eq!(own.len(), 43);
    let users =
        |token: &str| web::send(tenant.service.http.get(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(token));
    let _ = users(&own).await.expect(200);
    let _ = users(&tokens.access).await.expect(403);
    let _ = tenant.service.userinfo(&own).await.expect_one_of(&[401, 403]);
    for other in [tokens.refresh(), &"x".repeat(43)] {
        let _ = tenant.backend.userinfo(other).await.expect(401);
    }

    // At every pod at once, for all ask the database.
    let elsewhere = format!("{}/t/{}", world.pods[1].url(), tenant.slug);
    assert_eq!(tenant.backend.revoke(&own).await.expect(400).code(), "invalid_grant", "another client's");
    let _ = users(&own).await.expect(200);
    let _ = tenant.service.revoke(&own).await.expect(200);
    assert_eq!(tenant.service.at(&elsewhere).introspect(&own).await.expect(200).json, json!({ "active": false }));
    let _ = users(&own).await.expect(401);

    // A refresh gives another; the family ends both.
    let next = tenant.backend.refresh(tokens.refresh()).await.expect(200);
    let _ = tenant.backend.userinfo(&next.text_of("access_token")).await.expect(200);
    assert!(!tenant.database.dump().await.contains(&next.text_of("access_token")));
    let _ = tenant.backend.refresh(tokens.refresh()).await.expect(400);
    for access in [&tokens.access, &next.text_of("access_token")] {
        let _ = tenant.backend.at(&elsewhere).userinfo(access).await.expect(401);
    }

    // And their time ends them.
    let tokens = tenant.app.sign_in(&alice).await;
    let connection = tenant.database.connect().await;
    let _ = tenant.app.userinfo(&tokens.access).await.expect(200);
    connection.batch_execute("update access_tokens set expires_at = now()").await.expect("it is there");
    let _ = tenant.app.userinfo(&tokens.access).await.expect(401);
}
