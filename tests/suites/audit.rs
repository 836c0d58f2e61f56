//! What is on record: who did what, alike on every node, whatever happens to the nodes.

#[path = "audit/nodes.rs"]
mod nodes;
#[path = "audit/refused.rs"]
mod refused;
#[path = "audit/retention.rs"]
mod retention;
#[path = "audit/sinks.rs"]
mod sinks;
#[path = "audit/successor.rs"]
mod successor;
#[path = "audit/writes.rs"]
mod writes;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::web;

/// Of one's own programs' exit codes: something is not as it should be.
const DIFFERENT: Option<i32> = Some(1);
const TOKEN: &str = "the-token-of-the-audit";
const FLAGS: &[&str] = &["--audit-api-token", TOKEN];

async fn export(admin: &Admin, token: &str) -> Result<String, String> {
    let request = admin.with_token(token).request(Method::GET, "/audit/logs?order=oldest");
    let answer = web::send(request.header("accept", "application/x-ndjson")).await;
    if answer.status == 200 { Ok(answer.text) } else { Err(answer.text) }
}

/// Waits until every node exports the same bytes, of which some line contains `word`; those lines.
async fn alike(admins: &[Admin], word: &str) -> Vec<Value> {
    let found = std::sync::Mutex::new(String::new());
    until(&format!("every node has the same records, with {word}"), PATIENCE, async || {
        let mut all = Vec::new();
        for admin in admins {
            all.push(export(admin, TOKEN).await?);
        }
        let first = all.swap_remove(0);
        if !first.contains(word) || all.iter().any(|other| *other != first) {
            return Err(format!("{} lines", first.lines().count()));
        }
        *found.lock().expect("no panic") = first;
        Ok(())
    })
    .await;
    let text = found.into_inner().expect("no panic");
    text.lines().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect()
}

async fn verified(admin: &Admin) -> Value {
    admin.with_token(TOKEN).get("/audit/verify").await.expect(200).json
}

async fn admins(cluster: &Cluster) -> Vec<Admin> {
    let mut admins = Vec::new();
    for place in 0..3 {
        admins.push(cluster.admin(place).await);
    }
    admins
}

#[tokio::test]
async fn what_was_done_and_refused_is_on_record_on_every_node_alike_also_when_the_leader_dies() {
    let mut cluster = Cluster::start_with(3, FLAGS).await;
    let leader = cluster.leader().await;
    let all = admins(&cluster).await;
    let body = json!({"slug": "acme", "display_name": "Acme"});
    let request = all[1].request(Method::POST, "/tenants").header("x-request-id", "build-7").json(&body);
    let created = web::send(request).await.expect(201);
    let _ = all[2].patch("/tenants/acme", &json!({"display_name": "Acme Inc."})).await.expect(200);
    let _ = all[0].create_tenant("other", json!({})).await;
    // An administrator of one tenant tries another's.
    let credential = all[0].create_admin("theirs", json!({"tenant-admin": "acme"})).await;
    let theirs = Admin::sign_in(&cluster.nodes[0].admin_url(), &credential).await.expect("it signs in");
    let _ = theirs.delete("/tenants/other").await.expect(403);
    let _ = theirs.with_token("made-up").get("/tenants").await.expect(401);

    let records = alike(&all, "request.refused").await;
    let of = |action: &str| records.iter().find(|record| record["action"] == action).expect(action);
    let create = of("tenant.create");
    assert_eq!((&create["request_id"], &create["tenant"]), (&"build-7".into(), &"acme".into()));
    assert_eq!(create["revision"], created.revision());
    assert_eq!(create["source_address"], "127.0.0.1");
    assert!(create["credential"].is_string() && create["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    let update = of("tenant.update");
    let expected = json!([{"field": "/display_name", "before": "Acme", "after": "Acme Inc."}]);
    assert_eq!(update["changes"][0]["fields"], expected);
    let refused = records.iter().find(|record| record["code"] == "forbidden").expect("the attempt is on record");
    assert_eq!(refused["note"]["path"], "/api/v1/tenants/other");
    assert_eq!(refused["actor"]["kind"], "admin");
    assert!(!credential.split('_').next_back().is_some_and(|secret| format!("{records:?}").contains(secret)));

    // A tenant's administrator is shown its own tenant and nothing else.
    let own = theirs.get("/audit/logs").await.expect(200).json;
    let items = own["items"].as_array().expect("items");
    assert!(items.len() >= 2 && items.iter().all(|item| item["tenant"] == "acme"), "{own:#}");
    let _ = theirs.get("/audit/logs?tenant=other").await.expect(403);
    let _ = theirs.get("/audit/verify").await.expect(403);
    // It is read, whoever asks.
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        for (admin, path) in [(&all[0], "/audit/logs"), (&all[0], "/audit/logs/1"), (&theirs, "/audit/logs")] {
            let request = admin.request(method.clone(), path).json(&json!({}));
            let _ = web::send(request).await.expect_one_of(&[404, 405]);
        }
    }
    // The token of the audit reads the audit and nothing else.
    let _ = all[0].with_token(TOKEN).get("/tenants").await.expect(401);
    let _ = all[0].with_token("the-token-of-the-audiT").get("/audit/logs").await.expect(401);

    // Filters and pages.
    let found =
        all[0].get("/audit/logs?action=tenant.*&resource=tenants/acme&order=oldest&limit=1").await.expect(200).json;
    assert_eq!(found["items"][0]["action"], "tenant.create");
    let next = found["next_cursor"].as_str().expect("there is more");
    let path = format!("/audit/logs?action=tenant.*&resource=tenants/acme&order=oldest&limit=1&cursor={next}");
    assert_eq!(all[0].get(&path).await.expect(200).json["items"][0]["action"], "tenant.update");
    assert_eq!(all[0].get("/audit/logs?actor=nobody").await.expect(200).json["items"], json!([]));
    let _ = all[0].get("/audit/logs?since=yesterday").await.expect(400);

    cluster.nodes[leader].kill();
    let survivor = (leader + 1) % 3;
    until("writes go on", PATIENCE, async || {
        let request = all[survivor].request(Method::PATCH, "/tenants/acme").header("idempotency-key", "after");
        match web::try_send(request.json(&json!({"display_name": "Later"})).timeout(Duration::from_secs(5))).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    cluster.nodes[leader].start().await;
    cluster.nodes[leader].ready().await;
    let records = alike(&admins(&cluster).await, "Later").await;
    for admin in admins(&cluster).await {
        let report = verified(&admin).await;
        assert_eq!((&report["valid"], &report["complete"]), (&true.into(), &true.into()), "{report:#}");
        assert!(report["records"].as_u64() >= Some(records.len() as u64), "{report:#}");
    }
}

#[tokio::test]
async fn a_node_without_its_records_fetches_them_and_says_so_until_then() {
    let flags = [FLAGS, &["--snapshot-every", "20"]].concat();
    let mut cluster = Cluster::start_with(3, &flags).await;
    cluster.leader().await;
    let all = admins(&cluster).await;
    let _ = all[0].create_tenant("acme", json!({})).await;
    for n in 0..70 {
        let _ = all[0].patch("/tenants/acme", &json!({"display_name": format!("Acme {n}")})).await.expect(200);
    }
    let before = alike(&all, "Acme 69").await;
    let records = cluster.nodes[2].data_dir().join("audit");
    assert!(cluster.nodes[2].data_dir().join("snapshots").read_dir().expect("a folder").next().is_some());
    cluster.nodes[2].kill();
    std::fs::remove_dir_all(records).expect("the records are there");
    cluster.nodes[2].start().await;
    cluster.nodes[2].ready().await;
    let after = alike(&admins(&cluster).await, "Acme 69").await;
    assert_eq!(after[..before.len()], before[..]);
    let report = verified(&cluster.admin(2).await).await;
    assert_eq!((&report["valid"], &report["complete"], &report["first_seq"]), (&true.into(), &true.into(), &1.into()));
}
