//! A leader that is deposed between the two steps of a change: the voters of both sets are agreed on, the new set alone is
//! not yet.

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::postgres::free_port;
use tests::sluice::Sluice;
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};
use tokio::task::JoinHandle;

use super::{is_written, member, member_is, voters_are};

/// So many nodes, and one more that is not started, all behind a sluice; those at `slow` stand for election late.
async fn behind(sluice: &Sluice, nodes: u64, slow: &[usize]) -> Cluster {
    let mut cluster = Cluster::prepare(nodes, &[]);
    let _ = cluster.prepare_node(nodes + 1, &["--join-only"]);
    for place in slow {
        cluster.nodes[*place].stands_after(1_500, 1_600);
    }
    start_behind(sluice, &mut cluster).await;
    cluster
}

/// All but the newcomer, which is the last.
async fn start_behind(sluice: &Sluice, cluster: &mut Cluster) {
    for node in &mut cluster.nodes {
        let own = format!("127.0.0.1:{}", free_port());
        sluice.stand(&node.raft_addr(), &own).await;
        node.launch_mut().set("--raft-addr", &own);
    }
    let founders: Vec<usize> = (0..cluster.nodes.len() - 1).collect();
    cluster.start_at_once(&founders).await;
    cluster.ready().await;
}

/// The node is a learner that lacks nothing.
async fn learns(cluster: &mut Cluster, place: usize) {
    let (id, address) = (cluster.nodes[place].id, cluster.nodes[place].raft_addr());
    cluster.nodes[place].start().await;
    let admin = cluster.admin(0).await;
    let _ = admin.post("/cluster/members", &json!({ "id": id, "peer_addr": address })).await.expect(201);
    let leader = cluster.leader().await;
    let has_all = |it: &Value| it["answers"] == true && it["lag"] == 0;
    member_is(&cluster.admin(leader).await, id, "caught up", has_all).await;
}

async fn is_gone(admin: &Admin, id: u64) {
    until(&format!("node {id} is gone"), PATIENCE, async || match member(admin, id).await {
        None => Ok(()),
        Some(still) => Err(still.to_string()),
    })
    .await;
}

/// What an administrator is told who asks for a vote for node 4, some time.
fn promotion(admin: &Admin) -> JoinHandle<Answer> {
    tokio::spawn(admin.patch("/cluster/members/4", &json!({ "role": "voter" })))
}

/// Neither done nor not done, as far as whoever was asked knows.
async fn is_unknown(promotion: JoinHandle<Answer>) {
    let answer = tokio::time::timeout(PATIENCE, promotion).await.expect("there is an answer in time");
    let answer = answer.expect("nobody panics").expect(504);
    assert_eq!(answer.code(), "outcome_unknown", "{answer:#?}");
}

/// As the log has the second step.
fn alone(voters: &[u64]) -> String {
    format!("\"voters\":[{}]", json!(voters))
}

/// As the log has the first.
fn both(before: &[u64], after: &[u64]) -> String {
    format!("\"voters\":[{},{}]", json!(before), json!(after))
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
    let mut cluster = behind(&sluice, 3, &[0, 1, 3]).await;
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
    is_gone(&elsewhere, replaced).await;
    member_is(&elsewhere, 4, "asked for no more", |it| it["promotion_pending"] == false).await;
    cluster.nodes[leader].process().resume();
    cluster.nodes[leader].ready().await;

    let _ = elsewhere.patch("/cluster/members/4", &json!({ "role": "learner" })).await.expect(200);
    let wanted = [("add", 4), ("demote", 4), ("promote", 4)];
    let changes = changes_with(&elsewhere, &wanted).await;
    let changes: Vec<_> = changes.iter().filter(|(action, _)| action != "transfer_leader").collect();
    assert_eq!(changes.len(), wanted.len(), "each once: {changes:?}");
}

/// Its successor makes the first step, with which it goes on until its second is refused, since it leads no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_whose_leader_is_deposed_halfway_has_an_unknown_outcome_and_can_be_repeated() {
    let sluice = Sluice::default();
    let mut cluster = behind(&sluice, 3, &[0, 1, 3]).await;
    let (leader, newcomer, expected) = (0, 3, [1, 2, 3, 4]);
    let followers = [cluster.admin(1).await, cluster.admin(2).await];
    let elsewhere = &followers[0];
    let _ = elsewhere.post("/cluster/transfer-leader", &json!({ "to": 1 })).await.expect(200);
    learns(&mut cluster, newcomer).await;
    let admin = cluster.admin(leader).await;
    sluice.hold_answers_to(&both(&[1, 2, 3], &expected));
    let asked = promotion(&admin);
    // Whoever is elected has it in its log.
    for follower in &followers {
        voters_are(follower, &expected).await;
    }
    cluster.nodes[leader].process().pause();
    sluice.open();
    successor(elsewhere, 1).await;
    is_written(elsewhere, "by-the-successor").await;
    cluster.nodes[leader].process().resume();
    is_unknown(asked).await;

    cluster.nodes[leader].ready().await;
    for place in 0..3 {
        let admin = cluster.admin(place).await;
        let again = admin.patch("/cluster/members/4", &json!({ "role": "voter" })).await.expect(200);
        assert_eq!(again.text_of("role"), "voter");
        voters_are(&admin, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_is_held_up_halfway_has_an_unknown_outcome_and_is_finished_later() {
    let sluice = Sluice::default();
    let mut cluster = Cluster::prepare(3, &[]);
    let newcomer = cluster.prepare_node(4, &["--join-only"]);
    // Nobody else is elected for as long as it is held up.
    for node in &mut cluster.nodes {
        node.stands_after(30_000, 40_000);
    }
    start_behind(&sluice, &mut cluster).await;
    let leader = cluster.leader().await;
    learns(&mut cluster, newcomer).await;
    let expected = [1, 2, 3, 4];
    sluice.hold_at(&alone(&expected));
    // Told by a node that has asked the leader for it.
    let admin = cluster.admin((leader + 1) % 3).await;
    let asked = promotion(&admin);
    sluice.holds().await;
    is_unknown(asked).await;
    // Nor does it count as done for whoever asks again.
    is_unknown(promotion(&admin)).await;
    sluice.open();
    until("a repetition goes through", PATIENCE, async || {
        let again = admin.patch("/cluster/members/4", &json!({ "role": "voter" })).await;
        if again.status == 200 { Ok(()) } else { Err(again.text) }
    })
    .await;
    voters_are(&admin, &expected).await;
    cluster.nodes[newcomer].ready().await;
}

/// It votes, and is dead before it is known to have everything: what is left of its promotion does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_by_a_node_that_votes_is_finished_though_that_is_silent_by_then() {
    let sluice = Sluice::default();
    let (leader, replaced, newcomer) = (0, 5, 5);
    let mut cluster = behind(&sluice, 5, &[leader, 4, newcomer]).await;
    let (elsewhere, expected) = (cluster.admin(1).await, [1, 2, 3, 4, 6]);
    let _ = elsewhere.post("/cluster/transfer-leader", &json!({ "to": 1 })).await.expect(200);
    sluice.hold_at(&alone(&expected));
    let address = cluster.nodes[newcomer].raft_addr();
    let body = json!({ "id": 6, "peer_addr": address, "role": "voter", "replaces": replaced });
    let _ = elsewhere.post("/cluster/members", &body).await.expect(201);
    cluster.nodes[newcomer].start().await;
    sluice.holds().await;
    // Three are left of either five.
    for place in [newcomer, leader] {
        cluster.nodes[place].kill();
    }
    sluice.open();
    successor(&elsewhere, 1).await;
    voters_are(&elsewhere, &expected).await;
    is_gone(&elsewhere, replaced).await;
    member_is(&elsewhere, 6, "asked for no more", |it| it["promotion_pending"] == false).await;

    for place in [newcomer, leader] {
        cluster.nodes[place].start().await;
        cluster.nodes[place].ready().await;
    }
    voters_are(&elsewhere, &expected).await;
}
