//! Each resource through its life, conditions and replays included.

use super::*;

#[actix_web::test]
async fn a_tenants_life() {
    let node = Node::start().await;
    let body = json!({"slug": "acme", "display_name": "Acme", "settings": {"database": {"dsn": "postgres://u:hunter2@db/acme"}}});
    let made = node.call(Method::POST, "/tenants", body).await.expect(201);
    assert_eq!(made.header("location"), "/api/v1/tenants/acme");
    assert_eq!(made.header("etag"), format!("\"{}\"", made.body["revision"]));
    assert_eq!(made.header("x-revision"), made.body["revision"].to_string());
    assert_eq!(made.body["settings"]["database"], json!({"configured": true, "max_connections": 10}));
    assert!(made.body["created_at"].as_str().unwrap().ends_with('Z'));
    let sealed = |node: &Node| {
        node.api
            .control
            .read(|s| s.tenant(&"acme".parse().unwrap()).unwrap().spec.settings.database.clone().unwrap().dsn)
    };
    let dsn = sealed(&node);
    assert_eq!(node.api.keyring.open(&dsn).unwrap().expose(), b"postgres://u:hunter2@db/acme");

    // What was read can be sent again, and keeps the DSN that it does not show.
    let shown = node.get("/tenants/acme").await.expect(200);
    assert!(!shown.body.to_string().contains("hunter2"));
    let put = node.call(Method::PUT, "/tenants/acme", shown.body).await.expect(200);
    assert_eq!(sealed(&node), dsn);

    let patch = json!({"status": "suspended", "settings": {"lifetimes": {"access_token_secs": 300}}});
    let patched = node.call(Method::PATCH, "/tenants/acme", patch).await.expect(200);
    assert_eq!(patched.body["status"], "suspended");
    assert_eq!(patched.body["display_name"], "Acme");
    assert_eq!(patched.body["settings"]["lifetimes"]["access_token_secs"], 300);
    assert_eq!(sealed(&node), dsn);
    let gone = node.call(Method::PATCH, "/tenants/acme", json!({"settings": {"database": null}})).await.expect(200);
    assert_eq!(gone.body["settings"]["database"], Value::Null);

    // A lost update.
    let etag = put.header("etag").to_owned();
    let stale = node.call_with(("if-match", &etag), Method::PATCH, "/tenants/acme", json!({"status": "active"})).await;
    assert_eq!(stale.expect(412).code(), "precondition_failed");
    node.call_with(("if-match", gone.header("etag")), Method::DELETE, "/tenants/acme", Value::Null).await.expect(204);
    node.get("/tenants/acme").await.expect(404);
}

#[actix_web::test]
async fn pages_and_searches_of_tenants() {
    let node = Node::start().await;
    for slug in ["a1", "a2", "a3", "b1"] {
        node.tenant(slug).await;
    }
    let first = node.get("/tenants?limit=3").await.expect(200);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = node.get(&format!("/tenants?limit=3&cursor={cursor}")).await.expect(200);
    assert_eq!(second.body["items"][0]["slug"], "b1");
    assert_eq!(second.body["next_cursor"], Value::Null);
    let found = node.get("/tenants?q=a").await.expect(200);
    assert_eq!(found.body["items"].as_array().unwrap().len(), 3);
}

#[actix_web::test]
async fn a_clients_secret_is_shown_once_and_again_to_the_same_request() {
    let node = Node::start().await;
    node.tenant("acme").await;
    let body = json!({"name": "api", "grant_types": ["client_credentials"]});
    let key = ("idempotency-key", "first");
    let made = node.call_with(key, Method::POST, "/tenants/acme/clients", body.clone()).await.expect(201);
    let secret = made.body["client_secret"].as_str().unwrap();
    assert!(secret.len() >= 43);
    let again = node.call_with(key, Method::POST, "/tenants/acme/clients", body.clone()).await.expect(201);
    assert_eq!(again.body["client_secret"], made.body["client_secret"]);
    assert_eq!(again.body["client_id"], made.body["client_id"]);
    let other = json!({"name": "other", "grant_types": ["client_credentials"]});
    let mismatch = node.call_with(key, Method::POST, "/tenants/acme/clients", other).await.expect(422);
    assert_eq!(mismatch.code(), "idempotency_mismatch");

    let id = made.body["client_id"].as_str().unwrap();
    let path = format!("/tenants/acme/clients/{id}");
    let shown = node.get(&path).await.expect(200);
    assert!(!shown.body.to_string().contains(secret));
    assert!(shown.body.get("client_secret").is_none());
    assert_eq!(shown.body["secrets"].as_array().unwrap().len(), 1);

    let second = node
        .call_with(("idempotency-key", "second"), Method::POST, &format!("{path}/secrets"), Value::Null)
        .await
        .expect(201);
    assert_ne!(second.body["client_secret"], made.body["client_secret"]);
    let replay = node
        .call_with(("idempotency-key", "second"), Method::POST, &format!("{path}/secrets"), Value::Null)
        .await
        .expect(201);
    assert_eq!(replay.body, second.body);
    let third = node.call(Method::POST, &format!("{path}/secrets"), json!({})).await;
    assert!((400..500).contains(&third.status), "{}", third.body);
    let old = made.body["secret_id"].as_str().unwrap();
    node.call(Method::DELETE, &format!("{path}/secrets/{old}"), Value::Null).await.expect(204);

    node.call(Method::PUT, &path, shown.body).await.expect(422); // its `secrets` are old
    node.call(Method::PATCH, &path, json!({"enabled": false})).await.expect(200);
    assert_eq!(node.get(&path).await.body["enabled"], false);
    let list = node.get("/tenants/acme/clients").await.expect(200);
    assert_eq!(list.body["items"][0]["client_id"], id);
    node.call(Method::DELETE, &path, Value::Null).await.expect(204);
}

#[actix_web::test]
async fn a_public_client_has_no_secret() {
    let node = Node::start().await;
    node.tenant("acme").await;
    let body = json!({"client_id": "spa", "name": "SPA", "token_endpoint_auth_method": "none", "redirect_uris": ["https://app.example/cb"]});
    let made = node.call(Method::POST, "/tenants/acme/clients", body.clone()).await.expect(201);
    assert!(made.body.get("client_secret").is_none());
    assert_eq!(made.header("location"), "/api/v1/tenants/acme/clients/spa");
    node.call(Method::POST, "/tenants/acme/clients", body).await.expect(409);
}

#[actix_web::test]
async fn a_scopes_life() {
    let node = Node::start().await;
    node.tenant("acme").await;
    let body = json!({"name": "https://acme.example/read", "description": "Read", "claims": ["department"]});
    let made = node.call(Method::POST, "/tenants/acme/scopes", body).await.expect(201);
    let path = made.header("location").strip_prefix("/api/v1").unwrap().to_owned();
    assert_eq!(node.get(&path).await.expect(200).body["claims"], json!(["department"]));
    node.call(Method::PUT, &path, json!({"description": "Look"})).await.expect(200);
    assert_eq!(node.get("/tenants/acme/scopes").await.expect(200).body["items"][0]["description"], "Look");
    node.call(Method::DELETE, &path, Value::Null).await.expect(204);
    node.get(&path).await.expect(404);
}

#[actix_web::test]
async fn a_tenants_keys() {
    let node = Node::start().await;
    node.tenant("acme").await;
    let keys = node.get("/tenants/acme/keys").await.expect(200);
    let first = keys.body["items"][0].clone();
    assert_eq!((first["algorithm"].as_str(), first["status"].as_str()), (Some("ES256"), Some("active")));
    assert!(first["public_jwk"].get("d").is_none() && first.get("private_key").is_none());
    let path = "/tenants/acme/keys/rotate";
    let next = node.call(Method::POST, path, json!({"step": "publish"})).await.expect(200);
    assert_eq!(next.body["status"], "next");
    node.call(Method::POST, path, json!({"step": "publish"})).await.expect(409);
    node.call(Method::POST, path, json!({"step": "activate"})).await.expect(200);
    let kid = first["kid"].as_str().unwrap();
    let one = node.get(&format!("/tenants/acme/keys/{kid}")).await.expect(200);
    assert_eq!(one.body["status"], "retiring");
    let revoked = node.call(Method::POST, &format!("/tenants/acme/keys/{kid}/revoke"), Value::Null).await.expect(200);
    assert_eq!(revoked.body["status"], "revoked");
}

#[actix_web::test]
async fn a_replayed_admin_create_shows_the_same_credential() {
    let node = Node::start().await;
    let body = json!({"name": "ci", "role": {"tenant-admin": "acme"}});
    node.tenant("acme").await;
    let made = node.call_with(("idempotency-key", "k"), Method::POST, "/admins", body.clone()).await.expect(201);
    let again = node.call_with(("idempotency-key", "k"), Method::POST, "/admins", body).await.expect(201);
    assert_eq!(made.body, again.body);
    node.sign_in(again.body["credential"].as_str().unwrap()).await;
    let path = format!("/admins/{}", made.body["id"].as_str().unwrap());
    assert!(node.get(&path).await.expect(200).body.get("credential").is_none());
    node.call(Method::PATCH, &path, json!({"role": "auditor"})).await.expect(200);
    assert_eq!(node.get("/admins").await.expect(200).body["items"].as_array().unwrap().len(), 2);
}

/// The same key with the same request is one change, with another request it is refused.
#[actix_web::test]
async fn replays_of_documents_with_a_dsn_and_of_patches_are_the_same_request() {
    let node = Node::start().await;
    let body =
        json!({"slug": "acme", "display_name": "Acme", "settings": {"database": {"dsn": "postgres://u@db/acme"}}});
    let made = node.call_with(("idempotency-key", "k1"), Method::POST, "/tenants", body.clone()).await.expect(201);
    let again = node.call_with(("idempotency-key", "k1"), Method::POST, "/tenants", body).await.expect(201);
    assert_eq!(made.body, again.body);
    let patch = json!({"display_name": "Acme Inc.", "settings": {"database": {"dsn": "postgres://u@db2/acme"}}});
    let once =
        node.call_with(("idempotency-key", "k2"), Method::PATCH, "/tenants/acme", patch.clone()).await.expect(200);
    let twice = node.call_with(("idempotency-key", "k2"), Method::PATCH, "/tenants/acme", patch).await.expect(200);
    assert_eq!(once.body, twice.body);
    let other = json!({"display_name": "Else"});
    node.call_with(("idempotency-key", "k2"), Method::PATCH, "/tenants/acme", other).await.expect(422);
}

#[actix_web::test]
async fn status_fleet_and_fresh_reads() {
    let node = Node::start().await;
    let made = node.tenant("acme").await;
    let status = node.get("/cluster/status?consistency=linearizable").await.expect(200);
    assert_eq!((status.body["node_id"].as_u64(), status.body["role"].as_str()), (Some(1), Some("leader")));
    let fleet = node.get("/fleet").await.expect(200);
    assert_eq!(fleet.body["pods"], json!([]));
    let revision = made.header("x-revision");
    node.get(&format!("/tenants/acme?min_revision={revision}")).await.expect(200);
    let far = node.get("/tenants/acme?min_revision=999999999&timeout=10ms").await.expect(503);
    assert_eq!(far.code(), "revision_not_reached");
    let waited = node.call(Method::PATCH, "/tenants/acme?wait=fleet&timeout=1s", json!({"display_name": "B"})).await;
    assert_eq!(waited.expect(200).header("x-fleet"), "complete");
}
