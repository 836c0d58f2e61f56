//! Bad input: always a problem document that names it, never a 500.

use super::*;

async fn post(node: &Node, content_type: &'static str, body: impl Into<web::Bytes>) -> Answer {
    let request = Node::request(&node.owner, Method::POST, "/tenants").insert_header(("content-type", content_type));
    node.send(request.set_payload(body)).await
}

#[actix_web::test]
async fn bodies_that_cannot_be_read() {
    let node = Node::start().await;
    for bad in ["", "{", "[]x", "{\"slug\":\"a\",\"slug\":\"b\"}", "NaN", "{\"n\":1e400}", "\"\\ud800\""] {
        let answer = post(&node, "application/json", bad).await.expect(400);
        assert_eq!(answer.code(), "invalid_request", "{bad}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    post(&node, "application/json", "[".repeat(500_000)).await.expect(400);
    post(&node, "application/json", vec![0xff_u8; 10]).await.expect(400);
    let large = format!("{{\"slug\":\"{}\"}}", "a".repeat(1024 * 1024));
    assert_eq!(post(&node, "application/json", large).await.expect(413).code(), "payload_too_large");
    let announced = Node::request(&node.owner, Method::POST, "/tenants")
        .insert_header(("content-type", "application/json"))
        .insert_header(("content-length", "10485760"));
    node.send(announced).await.expect(413);
    for other in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        assert_eq!(post(&node, other, "{}").await.expect(415).code(), "unsupported_media_type");
    }
    post(&node, "Application/JSON; charset=utf-8", "{}").await.expect(422);
}

/// All problems of a document at once, each at its place.
#[actix_web::test]
async fn documents_that_break_rules() {
    let node = Node::start().await;
    let pointers = |answer: &Answer| -> Vec<String> {
        let errors = answer.body["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    };
    let body = json!({"slug": "Not A Slug", "display_name": 5, "status": "asleep", "is_admin": true,
        "settings": {"hosts": "x", "lifetimes": {"access_token_secs": -1, "forever": 1}, "database": {"dsn": 1}}});
    let answer = node.call(Method::POST, "/tenants", body).await.expect(422);
    assert_eq!(answer.code(), "validation_failed");
    let mut found = pointers(&answer);
    found.sort();
    assert_eq!(
        found,
        [
            "/display_name",
            "/is_admin",
            "/settings/database/dsn",
            "/settings/hosts",
            "/settings/lifetimes/access_token_secs",
            "/settings/lifetimes/forever",
            "/slug",
            "/status"
        ]
    );
    for not_an_object in [json!([]), json!("x"), json!(7)] {
        node.call(Method::POST, "/tenants", not_an_object).await.expect(422);
    }
    node.tenant("acme").await;
    // Mass assignment.
    for (name, value) in
        [("id", json!(Uuid::nil())), ("created_at", json!("2020-01-01T00:00:00Z")), ("revision", json!(1))]
    {
        let answer = node.call(Method::PATCH, "/tenants/acme", json!({name: value})).await.expect(422);
        assert_eq!(pointers(&answer), [format!("/{name}")]);
    }
    let secret = json!({"name": "x", "secrets": [{"id": Uuid::nil()}], "secret_hash": "x", "tenant_id": Uuid::nil()});
    let answer = node.call(Method::POST, "/tenants/acme/clients", secret).await.expect(422);
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 3, "{}", answer.body);
    node.call(Method::POST, "/admins", json!({"name": "x", "role": "root"})).await.expect(422);
    node.call(Method::POST, "/tenants/acme/keys/rotate", json!({"step": "back"})).await.expect(422);
    // A DSN is never repeated.
    let dsn = json!({"settings": {"database": {"dsn": "mysql://root:hunter2@x"}}});
    let answer = node.call(Method::PATCH, "/tenants/acme", dsn).await.expect(422);
    assert!(!answer.body.to_string().contains("hunter2"));
}

#[actix_web::test]
async fn paths_queries_and_methods_that_are_not_there() {
    let node = Node::start().await;
    for path in [
        "/",
        "/nowhere",
        "/tenants/acme/nowhere",
        "/tenants/..%2f..",
        "/tenants/Acme",
        "/tenants/acme/clients/%00",
        "/admins/1",
        "/keys/%ff",
        "/tenants//clients",
    ] {
        let answer = node.get(path).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{path}");
    }
    for query in [
        "limit=1000000000",
        "limit=-1",
        "cursor=!!",
        "cursor=AAAA",
        "order_by=1;drop",
        "q=%27&x=1",
        "consistency=eventual",
        "limit=1&limit=2",
    ] {
        let answer = node.get(&format!("/tenants?{query}")).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{query}");
    }
    node.get("/tenants?q=%27%20OR%201=1--").await.expect(200);
    let answer = node.call(Method::PUT, "/tenants", json!({})).await.expect(405);
    assert_eq!(answer.header("allow"), "GET, POST");
    assert_eq!(answer.code(), "method_not_allowed");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.header("x-revision").is_empty());
    // No other origin is let in.
    let preflight = TestRequest::with_uri("/api/v1/tenants")
        .method(Method::OPTIONS)
        .insert_header(("origin", "https://evil.example"))
        .insert_header(("access-control-request-method", "POST"));
    let answer = node.send(preflight).await.expect(405);
    assert!(answer.headers.get("access-control-allow-origin").is_none());
}

#[actix_web::test]
async fn who_fails_to_sign_in_too_often_has_to_wait() {
    let node = Node::start().await;
    let try_with = async |credential: &str| {
        let request = TestRequest::post().uri("/api/v1/auth/token").set_json(json!({"credential": credential}));
        node.send(request.peer_addr("192.0.2.1:1".parse().unwrap())).await
    };
    let wrong = format!("hja_{}_{}", Uuid::from_u128(1).simple(), "x".repeat(43));
    let mut refused = try_with(&wrong).await;
    for _ in 0..100 {
        if refused.status != 401 {
            break;
        }
        refused = try_with(&wrong).await;
    }
    assert_eq!((refused.status, refused.code()), (429, "too_many_requests"));
    assert_eq!(refused.header("retry-after"), "1");
    // Others are not held up.
    node.hire(json!("auditor")).await;

    // Behind a trusted proxy each client has its own tries; to others' claims nobody listens.
    let forwarded = async |peer: &str, client: &str| {
        let request = TestRequest::post().uri("/api/v1/auth/token").set_json(json!({"credential": wrong}));
        let request = request.insert_header(("forwarded", format!("for={client}")));
        node.send(request.peer_addr(peer.parse().unwrap())).await.status
    };
    assert_eq!(forwarded("10.0.0.1:1", "192.0.2.1").await, 429);
    assert_eq!(forwarded("10.0.0.1:1", "192.0.2.2").await, 401);
    assert_eq!(forwarded("192.0.2.1:1", "192.0.2.3").await, 429);
}

#[actix_web::test]
async fn a_request_is_found_by_its_id() {
    let node = Node::start().await;
    let ask = async |id: &'static str| {
        let request = TestRequest::with_uri("/api/v1/tenants").insert_header(("x-request-id", id));
        node.send(request).await.expect(401).header("x-request-id").to_owned()
    };
    assert_eq!(ask("build-7.deploy_3").await, "build-7.deploy_3");
    for bad in ["", "a b", "x\"y", "<script>"] {
        let made = ask(bad).await;
        assert!(Uuid::parse_str(&made).is_ok(), "{bad:?} became {made}");
    }
}
