//! Every way to write, once by who may and once by who may not: each leaves one record, under the id of its request.

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::writes::{self, Write};

use super::{FLAGS, TOKEN, export};

/// The request's id, its method and its path.
type Sent = (String, Method, String);

/// One under each id, and everybody else's under none of them.
fn check(records: &[Value], sent: &[Sent], credential: &str, is_as_expected: impl Fn(&Value, &Sent) -> bool) {
    for request in sent {
        let (id, method, path) = request;
        let found: Vec<&Value> = records.iter().filter(|record| record["request_id"] == **id).collect();
        let [record] = found.as_slice() else { panic!("{method} {path}: {found:#?}") };
        assert_eq!(record["credential"], credential, "{method} {path}: {record:#}");
        assert_eq!((&record["actor"]["kind"], &record["source_address"]), (&json!("admin"), &json!("127.0.0.1")));
        assert!(record["time"].is_string() && is_as_expected(record, request), "{method} {path}: {record:#}");
    }
}

#[tokio::test]
async fn every_write_leaves_one_record_whether_it_was_done_or_refused() {
    let cluster = Cluster::start_with(1, FLAGS).await;
    let owner = cluster.admin(0).await;
    let auditor = owner.create_admin("auditor", json!("auditor")).await;
    let auditor = Admin::sign_in(&cluster.nodes[0].admin_url(), &auditor).await.expect("a fresh credential");
    let administrators = owner.get("/admins").await.expect(200).json;
    let id_of = |role: &str| {
        let mut items = administrators["items"].as_array().expect("items").iter();
        items.find(|item| item["role"] == role).and_then(|item| item["id"].as_str()).expect("an administrator")
    };

    let mut refused: Vec<Sent> = Vec::new();
    for (place, (method, route)) in writes::routes().enumerate() {
        let (id, path) = (format!("refused-{place}"), route.replace(['{', '}'], ""));
        let write = Write { method: method.parse().expect("a method"), path, body: json!({}) };
        let _ = web::send(write.request(&auditor, "").header("x-request-id", &id)).await.expect(403);
        refused.push((id, write.method, write.path));
    }
    let mut written: Vec<Sent> = Vec::new();
    writes::each(&owner, "acme", async |write: &Write| {
        let id = format!("written-{}", written.len());
        written.push((id.clone(), write.method.clone(), write.path.clone()));
        web::send(write.request(&owner, "").header("x-request-id", id)).await
    })
    .await;

    // Refusals are put on record together, a moment later.
    let text = until("all of them are on record", PATIENCE, async || {
        let text = export(&owner, TOKEN).await?;
        let missing = refused.iter().chain(&written).find(|(id, ..)| !text.contains(&format!("\"{id}\"")));
        missing.map_or(Ok(text), |missing| Err(format!("{missing:?}")))
    })
    .await;
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect();
    check(&records, &refused, id_of("auditor"), |record, (_, method, path)| {
        let note = &record["note"];
        (&record["action"], &record["code"]) == (&json!("request.refused"), &json!("forbidden"))
            && note["method"] == method.as_str()
            && note["path"] == format!("/api/v1{path}")
            && note["count"] == 1
    });
    check(&records, &written, id_of("owner"), |record, (_, _, path)| {
        let tenant = if path.starts_with("/tenants") { json!("acme") } else { record["tenant"].clone() };
        record["action"].is_string() && record["resource"].is_string() && record["tenant"] == tenant
    });
}
