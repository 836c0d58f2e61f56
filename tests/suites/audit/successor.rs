//! A slug may be given to another customer: what is on record of the one before is not the next one's to read.

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::web;

#[tokio::test]
async fn who_gets_a_slug_reads_nothing_of_who_had_it_before() {
    let cluster = Cluster::start(1).await;
    let owner = cluster.admin(0).await;
    let _ = owner.create_tenant("acme", json!({})).await;
    let _ = owner.patch("/tenants/acme", &json!({"display_name": "The first customer"})).await.expect(200);
    let _ = owner.delete("/tenants/acme").await.expect(204);
    let created = owner.create_tenant("acme", json!({})).await.revision();
    let renamed = owner.patch("/tenants/acme", &json!({"display_name": "The second"})).await.expect(200).revision();
    let credential = owner.create_admin("theirs", json!({"tenant-admin": "acme"})).await;
    let theirs = Admin::sign_in(&cluster.nodes[0].admin_url(), &credential).await.expect("it signs in");

    let own = [created, renamed].map(Value::from);
    // However it asks: its own time begins with its tenant, one that it asks for may be later.
    for (query, revisions) in [
        ("", &own[..]),
        ("&since=2020-01-01T00:00:00Z", &own[..]),
        ("&since_seq=1&tenant=acme", &own[..]),
        ("&since=2999-01-01T00:00:00Z", &own[..0]),
    ] {
        let page = theirs.get(&format!("/audit/logs?order=oldest{query}")).await.expect(200).json;
        let found: Vec<Value> =
            page["items"].as_array().expect("items").iter().map(|it| it["revision"].clone()).collect();
        assert_eq!(found, revisions, "{query}: {page:#}");
    }
    let export = theirs.request(Method::GET, "/audit/logs?order=oldest").header("accept", "application/x-ndjson");
    let export = web::send(export).await.expect(200).text;
    assert_eq!((export.lines().count(), export.contains("The first customer")), (2, false), "{export}");
    let all = owner.get("/audit/logs?tenant=acme").await.expect(200).json;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(5), "who may read all of it does: {all:#}");

    let mut events = theirs.request(Method::GET, "/events?since=0").send().await.expect("an answer");
    let mut heard = String::new();
    while !heard.contains("The second") {
        let piece = tokio::time::timeout(tests::wait::PATIENCE, events.chunk()).await.expect("something comes");
        heard.push_str(&String::from_utf8_lossy(&piece.expect("it is open").expect("it has no end")));
    }
    assert_eq!((heard.matches("event: tenant").count(), heard.contains("The first customer")), (2, false), "{heard}");
}
