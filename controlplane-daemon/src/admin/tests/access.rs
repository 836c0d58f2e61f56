//! Who may do what: every row of the table, and what a token is worth.

use std::time::Duration;

use super::super::routes::{Access, ROUTES, Row};
use super::*;

/// Every row: 401 without a token and with garbage, 403 with a role that has no business there, something else with one.
#[actix_web::test]
async fn every_route_asks_for_a_token_and_the_right_role() {
    let node = Node::start().await;
    node.tenant("acme").await;
    let (operator, _) = node.hire(json!("operator")).await;
    let (auditor, _) = node.hire(json!("auditor")).await;
    let (stranger, _) = node.hire(json!({"tenant-admin": "acme"})).await;
    let roles = [
        (operator, controlplane_core::Role::Operator),
        (auditor, controlplane_core::Role::Auditor),
        (stranger, controlplane_core::Role::TenantAdmin("acme".parse().unwrap())),
    ];
    for row in ROUTES.iter().filter(|row| !matches!(row.access, Access::Anyone | Access::Nodes)) {
        let path = row
            .path
            // An answer without end is none to wait for.
            .replace("/events", "/events?since=x")
            .replace("{slug}", "other")
            .replace("{client_id}", "c")
            .replace("{secret_id}", &Uuid::nil().to_string())
            .replace("{name}", "n")
            .replace("{pod_id}", "p")
            .replace("{kid}", "k")
            .replace("{id}", &Uuid::nil().to_string());
        let bare = TestRequest::with_uri(&format!("/api/v1{path}")).method(row.method.clone());
        let answer = node.send(bare).await.expect(401);
        assert_eq!(answer.code(), "unauthenticated");
        assert!(answer.header("www-authenticate").starts_with("Bearer "), "{path}");
        for garbage in ["", "x", "a.b.c"] {
            node.call_as(garbage, row.method.clone(), &path, Value::Null).await.expect(401);
        }
        for (token, role) in &roles {
            let answer = node.call_as(token, row.method.clone(), &path, Value::Null).await;
            let allowed = row.access.allows(role, row.path.contains("{slug}").then_some("other"));
            assert_eq!(answer.status == 403, !allowed, "{} {path} as {role:?}: {}", row.method, answer.status);
            assert_ne!(answer.status, 401);
            assert!(answer.status < 500, "{} {path}: {}", row.method, answer.body);
        }
    }
}

#[actix_web::test]
async fn a_tenants_administrator_sees_and_changes_its_tenant_only() {
    let node = Node::start().await;
    node.tenant("acme").await;
    node.tenant("other").await;
    let (token, _) = node.hire(json!({"tenant-admin": "acme"})).await;
    let list = node.call_as(&token, Method::GET, "/tenants", Value::Null).await.expect(200);
    assert_eq!(list.body["items"].as_array().unwrap().len(), 1);
    let patch = json!({"display_name": "Acme Inc."});
    node.call_as(&token, Method::PATCH, "/tenants/acme", patch.clone()).await.expect(200);
    node.call_as(&token, Method::PATCH, "/tenants/other", patch).await.expect(403);
    node.call_as(&token, Method::DELETE, "/tenants/acme", Value::Null).await.expect(403);
    // Neither by a patch nor by sending the whole document.
    for patch in [json!({"status": "suspended"}), json!({"settings": {"hosts": ["login.acme.example"]}})] {
        node.call_as(&token, Method::PATCH, "/tenants/acme", patch).await.expect(403);
    }
    node.call(Method::PATCH, "/tenants/acme", json!({"status": "suspended"})).await.expect(200);
    let whole = json!({"display_name": "Acme", "status": "active"});
    node.call_as(&token, Method::PUT, "/tenants/acme", whole).await.expect(403);
    let whole = json!({"display_name": "Acme", "status": "suspended"});
    node.call_as(&token, Method::PUT, "/tenants/acme", whole).await.expect(200);
}

#[actix_web::test]
async fn a_token_ends_with_its_time_and_with_its_credential() {
    let node = Node::start().await;
    let (token, id) = node.hire(json!("operator")).await;
    node.call_as(&token, Method::GET, "/tenants", Value::Null).await.expect(200);
    node.call(Method::DELETE, &format!("/admins/{id}"), Value::Null).await.expect(204);
    let answer = node.call_as(&token, Method::GET, "/tenants", Value::Null).await.expect(401);
    assert!(answer.header("www-authenticate").contains("invalid_token"));
    node.get("/tenants").await.expect(200);
    node.clock.advance(Duration::from_secs(601));
    node.get("/tenants").await.expect(401);
}

#[actix_web::test]
async fn a_credential_ends_at_its_time() {
    let node = Node::start().await;
    let end = super::super::view::rfc3339(vocab::Clock::now(&*node.clock).plus_secs(60));
    let body = json!({"name": "short", "role": "auditor", "expires_at": end});
    let made = node.call(Method::POST, "/admins", body).await.expect(201);
    let credential = made.body["credential"].as_str().unwrap();
    let token = node.sign_in(credential).await;
    node.clock.advance(Duration::from_secs(61));
    node.call_as(&token, Method::GET, "/tenants", Value::Null).await.expect(401);
    let again = TestRequest::post().uri("/api/v1/auth/token").set_json(json!({"credential": credential}));
    node.send(again).await.expect(401);
}

#[actix_web::test]
async fn wrong_credentials_are_all_refused_alike() {
    let node = Node::start().await;
    let unknown = Credential::generate(AdminId::from_uuid(Uuid::from_u128(99)));
    let wrong = Credential::generate(AdminId::from_uuid(Uuid::from_u128(1)));
    let mut details = Vec::new();
    for credential in [unknown.reveal().expose().as_str(), wrong.reveal().expose(), "hja_", "", "x"] {
        let request = TestRequest::post().uri("/api/v1/auth/token").set_json(json!({"credential": credential}));
        let answer = node.send(request).await.expect(401);
        details.push(answer.body["detail"].clone());
    }
    assert!(details.windows(2).all(|pair| pair[0] == pair[1]));
}

/// RFC 8725: forged headers, other keys, other kinds.
#[actix_web::test]
async fn forged_tokens_are_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let node = Node::start().await;
    let parts: Vec<&str> = node.owner.split('.').collect();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
    let jwk = node.get("/keys").await.expect(200).body["items"][0]["public_jwk"].to_string();
    let with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        header
    };
    let hs256 = {
        let (typ, kid) = (Some("hj-admin+jwt".to_owned()), header["kid"].as_str().map(ToOwned::to_owned));
        let header = jsonwebtoken::Header { typ, kid, ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256) };
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(jwk.as_bytes())).unwrap()
    };
    let other_subject = part(
        &json!({"iss": "hellojohn-control-plane", "aud": "hellojohn-admin", "sub": Uuid::nil(), "iat": 0, "exp": 4_000_000_000_u64, "jti": Uuid::nil()}),
    );
    for forged in [
        format!("{}.{}.", part(&with("alg", json!("none"))), parts[1]),
        format!("{}.{}.{}", part(&with("alg", json!("none"))), parts[1], parts[2]),
        format!("{}.{}.{}", part(&with("typ", json!("at+jwt"))), parts[1], parts[2]),
        format!("{}.{}.{}", part(&with("kid", json!("elsewhere"))), parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], other_subject, parts[2]),
        hs256,
    ] {
        node.call_as(&forged, Method::GET, "/tenants", Value::Null).await.expect(401);
    }
}

#[actix_web::test]
async fn the_last_owner_cannot_lock_everybody_out() {
    let node = Node::start().await;
    let id = Uuid::from_u128(1);
    let answer = node.call(Method::DELETE, &format!("/admins/{id}"), Value::Null).await;
    assert!((400..500).contains(&answer.status), "{}", answer.body);
    node.get("/admins").await.expect(200);
}

/// The key that signed goes on verifying until it is revoked.
#[actix_web::test]
async fn tokens_survive_a_rotation_of_the_global_key_but_not_its_revocation() {
    let node = Node::start().await;
    let old = node.get("/keys").await.body["items"][0]["kid"].as_str().unwrap().to_owned();
    let rotated = node.call(Method::POST, "/keys/rotate", Value::Null).await.expect(200);
    assert_eq!(rotated.body["status"], "active");
    node.get("/keys").await.expect(200);
    node.call(Method::POST, &format!("/keys/{old}/revoke"), json!({})).await.expect(200);
    node.get("/keys").await.expect(401);
}

/// Whatever pods are told of can wait for the fleet: a route that did not read `wait` would not refuse a wrong one. What is
/// of the nodes alone refuses any.
#[actix_web::test]
async fn every_write_takes_a_wait_for_the_fleet() {
    let node = Node::start().await;
    let mut writes = 0;
    for (row, path) in writes_to_x() {
        let answer = node.call(row.method.clone(), &format!("{path}?wait=everything"), json!({})).await;
        let of_nodes = OF_THE_NODES.contains(&row.path);
        let told = if of_nodes { "unknown query parameters: wait" } else { "wait must be fleet" };
        assert_eq!(answer.status, 400, "{} {}: {}", row.method, row.path, answer.body);
        assert_eq!(answer.body["detail"], told, "{} {}", row.method, row.path);
        writes += 1;
    }
    assert!(writes > 20);
}

/// A route that reads `If-Match` refuses one that is none: those are the routes that the contract promises it for.
#[actix_web::test]
async fn a_write_is_tied_to_a_revision_where_the_contract_says_so() {
    let node = Node::start().await;
    let contract = node.get("/openapi.json").await.expect(200).body;
    let mut wrong = Vec::new();
    let mut tied = 0;
    for (row, path) in writes_to_x() {
        let answer = node.call_with(("if-match", "none"), row.method.clone(), &path, json!({})).await;
        let is_read = answer.body["detail"].as_str().is_some_and(|told| told.starts_with("If-Match must be"));
        let parameters = &contract["paths"][row.path][row.method.as_str().to_ascii_lowercase()]["parameters"];
        let mut promised = parameters.as_array().into_iter().flatten().filter_map(|it| it["$ref"].as_str());
        let is_promised = promised.any(|it| it.ends_with("/if_match"));
        if is_read != is_promised {
            wrong.push((&row.method, row.path, is_promised, answer.body));
        }
        tied += usize::from(is_read);
    }
    assert!(wrong.is_empty() && tied > 10, "{wrong:#?}");
}

/// The administrators' routes that are not there to read, each with a path of which nothing is there.
fn writes_to_x() -> impl Iterator<Item = (&'static Row, String)> {
    let writing = |row: &&Row| row.method != Method::GET && !matches!(row.access, Access::Anyone | Access::Nodes);
    ROUTES.iter().filter(writing).map(|row| {
        let parts = row.path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
        (row, parts.collect::<Vec<_>>().join("/"))
    })
}

/// Routes that change nothing that pods are told.
const OF_THE_NODES: &[&str] =
    &["/cluster/members", "/cluster/members/{id}", "/cluster/transfer-leader", "/cluster/snapshot"];
