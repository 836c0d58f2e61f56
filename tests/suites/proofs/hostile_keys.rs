//! Addresses of keys that answer without an end, one byte after the other, packed, from elsewhere, or not at all: their
//! client is refused in time, and nobody else feels it.

use std::time::Duration;

use serde_json::json;
use tests::listener::{Answer, Listener};
use tests::web;
use tokio::time::timeout;

use super::assertions::document::Document;
use super::assertions::{register, request};
use super::keys::Key;
use super::shared;

/// A document may take 5 seconds, which `fetch.rs` sees to. Here the machine may be busy.
const BOUND: Duration = Duration::from_secs(10);
/// The 512 KiB that are read, and more than what both ends of a connection keep for one another.
const MUCH: usize = 64 << 20;

#[tokio::test]
async fn a_client_whose_keys_cannot_be_had_is_refused_in_time_and_nobody_else_waits() {
    let setting = shared().await;
    let tenant = setting.tenant("hostile-keys").await;
    let key = Key::new("1");
    let keys = json!({ "keys": [key.jwk] }).to_string();
    let good = Document::serve(&keys).await;
    register(&tenant, "good", json!({ "jwks_uri": good.url })).await;
    let inside = Listener::start().await;
    let padded = format!("{keys}{}", " ".repeat(512 << 10));
    let mut under_way = Vec::new();
    for (client_id, answer) in [
        ("endless", Answer::Endless("")),
        ("a-gibibyte", Answer::Endless("Content-Length: 1073741824\r\n")),
        ("trickle", Answer::Trickle),
        ("silent", Answer::Silence),
        ("packed", Answer::Document("Content-Encoding: gzip\r\n", keys.clone())),
        ("padded", Answer::Document("", padded)),
        ("elsewhere", Answer::Redirect(inside.url("/jwks"))),
    ] {
        let listener = Listener::start().await;
        listener.answers(answer);
        register(&tenant, client_id, json!({ "jwks_uri": listener.url("/jwks") })).await;
        let assertion = key.assertion(client_id, &tenant.issuer, &json!({}));
        let refusal = tokio::spawn(timeout(BOUND, web::send(request(&tenant.issuer, &assertion))));
        under_way.push((client_id, listener, refusal));
    }
    for (_, listener, _) in &under_way {
        listener.got(1).await;
    }
    for _ in 0..10 {
        tenant.service.client_credentials("hj:users.read").await;
        let _ =
            web::send(request(&tenant.issuer, &key.assertion("good", &tenant.issuer, &json!({})))).await.expect(200);
    }
    for (client_id, listener, refusal) in under_way {
        let answer = refusal.await.expect("nothing panics").unwrap_or_else(|_| panic!("{client_id} is still asked"));
        assert_eq!(answer.expect(401).text_of("error"), "invalid_client", "{client_id}");
        let sent = listener.sent();
        assert!(sent < MUCH, "{client_id} could send {sent} bytes");
        assert_eq!(listener.requests().len(), 1, "{client_id}");
    }
    assert_eq!(inside.requests().len(), 0, "nobody goes where it was sent");
    // As large as a document may be.
    let largest = Listener::start().await;
    largest.answers(Answer::Document("", format!("{keys}{}", " ".repeat((512 << 10) - keys.len()))));
    register(&tenant, "largest", json!({ "jwks_uri": largest.url("/jwks") })).await;
    let assertion = key.assertion("largest", &tenant.issuer, &json!({}));
    let _ = web::send(request(&tenant.issuer, &assertion)).await.expect(200);
}
