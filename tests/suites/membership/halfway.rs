//! A leader that is deposed between the two steps of a change: the voters of both sets are agreed on, the new set alone is
//! not yet.

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::postgres::free_port;
use tests::sluice::Sluice;
use tests::wait::{PATIENCE, until};
use tests::web;

use super::{member, member_is, voters_are};

/// Three nodes, and a fourth that is not started, all behind a sluice; those at `slow` stand for election late.
async fn behind(sluice: &Sluice, slow: &[usize]) -> Cluster {
    let mut cluster = Cluster::prepare(3, &[]);
    let _ = cluster.prepare_node(4, &["--join-only"]);
    for place in slow {
        cluster.nodes[*place].stands_after(1_500, 1_600);
    }
    for node in &mut cluster.nodes {
        let own = format!("127.0.0.1:{}", free_port());
        sluice.stand(&node.raft_addr(), &own).await;
        node.launch_mut().set("--raft-addr", &own);
    }
    cluster.start_at_once(&[0, 1, 2]).await;
    cluster.ready().await;
    cluster
}

/// As the log has the second step.
fn alone(voters: &[u64]) -> String {
    format!("\"voters\":[{}]", json!(voters))
}

/// Another node than `old` leads, and the others say so.
async fn successor(admin: &Admin, old: u64) {
    until("another one leads", PATIENCE, async || {
        let status = admin.try_get("/cluster/status").await.map_err(|error| error.to_string())?;
        match status.json["leader_id"].as_u64() {
            Some(leader) if leader != old => Ok(()),
            leader => Err(format!("{leader:?}")),
        }
    })
    .await;
}

/// What is on record of changes of the members, as action and node, once all of `wanted` is; sorted, since what two leaders
/// have to tell comes as it comes.
async fn changes_with(admin: &Admin, wanted: &[(&str, u64)]) -> Vec<(String, u64)> {
    until(&format!("{wanted:?} are on record"), PATIENCE, async || {
        let request = admin.request(Method::GET, "/audit/logs?order=oldest").header("accept", "application/x-ndjson");
        let text = web::try_send(request).await.map_err(|error| error.to_string())?.expect(200).text;
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record is JSON"));
        let changes = records.filter(|record| record["action"] == "cluster.membership_changed").map(|record| {
            let (action, node) = (&record["note"]["action"], &record["note"]["node"]);
            (action.as_str().expect("a text").to_owned(), node.as_u64().unwrap_or(0))
        });
        let mut changes: Vec<_> = changes.collect();
        changes.sort();
        let is_there = |one: &(&str, u64)| changes.iter().any(|(action, node)| (action.as_str(), *node) == *one);
        if wanted.iter().all(is_there) { Ok(changes) } else { Err(format!("{changes:?}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_whose_leader_is_deposed_halfway_is_finished_and_noted_once() {
    let sluice = Sluice::default();
    // Who is to go is the first that stands for election: it finishes the change, and takes its own vote with it.
    let mut cluster = behind(&sluice, &[0, 1, 3]).await;
    let (leader, replaced, expected) = (0, 3, [1, 2, 4]);
    let (admin, elsewhere) = (cluster.admin(leader).await, cluster.admin(1).await);
    let _ = elsewhere.post("/cluster/transfer-leader", &json!({ "to": 1 })).await.expect(200);
    sluice.hold_at(&alone(&expected));
    let address = cluster.nodes[3].raft_addr();
    let body = json!({ "id": 4, "peer_addr": address, "role": "voter", "replaces": replaced });
    let _ = admin.post("/cluster/members", &body).await.expect(201);
    cluster.nodes[3].start().await;
    // By itself, once it has caught up.
    sluice.holds().await;
    cluster.nodes[leader].process().pause();
    sluice.open();
    successor(&elsewhere, 1).await;
    voters_are(&elsewhere, &expected).await;
    until("the replaced one is gone", PATIENCE, async || match member(&elsewhere, replaced).await {
        None => Ok(()),
        Some(still) => Err(still.to_string()),
    })
    .await;
    member_is(&elsewhere, 4, "asked for no more", |it| it["promotion_pending"] == false).await;
    cluster.nodes[leader].process().resume();
    cluster.nodes[leader].ready().await;

    let _ = elsewhere.patch("/cluster/members/4", &json!({ "role": "learner" })).await.expect(200);
    let wanted = [("add", 4), ("demote", 4), ("promote", 4)];
    let changes = changes_with(&elsewhere, &wanted).await;
    let changes: Vec<_> = changes.iter().filter(|(action, _)| action != "transfer_leader").collect();
    assert_eq!(changes.len(), wanted.len(), "each once: {changes:?}");
}
