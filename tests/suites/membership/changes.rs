//! Members that an administrator adds and takes away.

use std::time::Duration;

use serde_json::json;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};

use super::{Cli, is_written, member, member_is, not_ready_because, tenant, voters, voters_are};

#[tokio::test]
async fn a_node_is_added_promoted_demoted_and_removed_and_then_keeps_quiet() {
    let mut cluster = Cluster::start_with(1, &["--snapshot-every", "20"]).await;
    let admin = cluster.admin(0).await;
    for number in 0..30 {
        let _ = admin.post("/tenants", &tenant(&format!("before-{number}"))).await.expect(201);
    }
    let place = cluster.prepare_node(2, &["--join-only"]);
    let cli = Cli::new(&cluster, 0);
    let address = cluster.nodes[place].raft_addr();

    let body = json!({ "id": 2, "peer_addr": address });
    let added = admin.post("/cluster/members", &body).await.expect(201);
    assert_eq!((added.text_of("role"), added.text_of("source")), ("learner".to_owned(), "manual".to_owned()));
    assert_eq!(added.header("location"), Some("/api/v1/cluster/members/2"));
    assert_eq!(admin.post("/cluster/members", &body).await.expect(409).code(), "conflict");
    // Nobody is there yet: it must not vote.
    let refused = admin.patch("/cluster/members/2", &json!({ "role": "voter" })).await.expect(409);
    assert!(refused.text_of("detail").contains("does not answer"), "{refused:#?}");

    cluster.nodes[place].start().await;
    // It comes by snapshot: the log begins later.
    member_is(&admin, 2, "caught up", |it| it["answers"] == true && it["lag"].as_u64().is_some_and(|lag| lag < 64))
        .await;
    member_is(&admin, 2, "known by what it says of itself", |it| it["version"].is_string()).await;
    cli.text(&["cluster", "promote", "2"]);
    voters_are(&admin, &[1, 2]).await;
    let shown = cli.text(&["cluster", "members"]);
    assert!(shown.contains("voter") && shown.contains(&address), "{shown}");
    cluster.nodes[place].ready().await;
    let _ = cluster.admin(place).await.get("/tenants/before-7").await.expect(200);
    let _ = cluster.admin(place).await.post("/tenants", &tenant("with-two")).await.expect(201);

    cli.text(&["cluster", "demote", "2"]);
    voters_are(&admin, &[1]).await;
    assert_eq!(member(&admin, 2).await.expect("it is a member")["role"], "learner");
    let _ = admin.patch("/cluster/members/2", &json!({ "role": "voter" })).await.expect(200);

    let term = admin.get("/cluster/status").await.expect(200).json["term"].clone();
    cli.text(&["cluster", "remove", "2"]);
    assert!(member(&admin, 2).await.is_none());
    not_ready_because(&cluster, place, "was removed from the cluster").await;
    assert!(cluster.nodes[place].process_mut().log().contains("stands for no election"));
    assert_eq!(admin.get("/cluster/status").await.expect(200).json["term"], term, "nobody stood for election");
    // Neither does it come back by itself, nor with a restart.
    cluster.nodes[place].kill();
    cluster.nodes[place].start().await;
    not_ready_because(&cluster, place, "was removed from the cluster").await;
    assert!(member(&admin, 2).await.is_none());
    assert_eq!(admin.get("/cluster/status").await.expect(200).json["term"], term);
    // Added again, it is.
    cli.text(&["cluster", "add", "2", &address]);
    cluster.nodes[place].ready().await;
}

#[tokio::test]
async fn what_would_cost_the_quorum_is_refused_with_the_figures_unless_forced() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let (living, dead) = ((leader + 1) % 3, (leader + 2) % 3);
    let admin = cluster.admin(leader).await;
    let (living_id, dead_id) = (cluster.nodes[living].id, cluster.nodes[dead].id);
    cluster.nodes[dead].kill();
    member_is(&admin, dead_id, "silent", |it| it["answers"] == false).await;

    for refused in [
        admin.delete(&format!("/cluster/members/{living_id}")).await,
        admin.patch(&format!("/cluster/members/{living_id}"), &json!({ "role": "learner" })).await,
    ] {
        let refused = refused.expect(409);
        assert_eq!(refused.code(), "quorum_at_risk");
        let detail = refused.text_of("detail");
        assert!(detail.contains("of the 2 voters") && detail.contains("1 answer and 2 are needed"), "{detail}");
    }
    let output = Cli::new(&cluster, leader).run(&["cluster", "remove", &living_id.to_string()]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 are needed"), "{output:?}");
    assert_eq!(voters(&admin).await.len(), 3);

    // Forced, it is proposed, and waits for the one that is silent.
    let answer = admin.delete(&format!("/cluster/members/{living_id}?force=true")).await;
    assert_eq!(answer.expect(504).code(), "outcome_unknown");
    cluster.nodes[dead].start().await;
    let at_dead = cluster.admin(dead).await;
    until("the forced change takes effect", PATIENCE, async || {
        let now = voters(&at_dead).await;
        if now.contains(&living_id) { Err(format!("{now:?}")) } else { Ok(()) }
    })
    .await;
    is_written(&at_dead, "goes-on").await;
    // Whoever leads by now goes on to take it out.
    until("the removed one is gone", PATIENCE, async || match member(&at_dead, living_id).await {
        None => Ok(()),
        Some(still) => Err(still.to_string()),
    })
    .await;
    not_ready_because(&cluster, living, "was removed from the cluster").await;
}

#[tokio::test]
async fn without_a_majority_nothing_is_forced() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let admin = cluster.admin(leader).await;
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    let ids = others.map(|place| cluster.nodes[place].id);
    for place in others {
        cluster.nodes[place].kill();
    }
    until("nobody leads", PATIENCE, async || {
        let status = admin.try_get("/cluster/status").await.map_err(|error| error.to_string())?.json;
        if status["leader_id"].is_null() { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let refused = admin.delete(&format!("/cluster/members/{}?force=true", ids[0])).await.expect(503);
    assert_eq!(refused.code(), "no_leader");

    for place in others {
        cluster.nodes[place].start().await;
    }
    cluster.ready().await;
    is_written(&admin, "goes-on").await;
    assert_eq!(voters(&admin).await, [1, 2, 3]);
    for id in ids {
        member_is(&admin, id, "in the table", |it| it["joined_at"].is_string()).await;
    }
}

#[tokio::test]
async fn a_dead_node_is_removed_or_replaced() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let admin = cluster.admin(leader).await;
    let dead = (leader + 1) % 3;
    let dead_id = cluster.nodes[dead].id;
    cluster.nodes[dead].kill();
    let place = cluster.prepare_node(4, &["--join-only"]);
    cluster.nodes[place].start().await;
    let address = cluster.nodes[place].raft_addr();
    let cli = Cli::new(&cluster, leader);
    cli.text(&["cluster", "replace", &dead_id.to_string(), "4", &address]);
    let mut expected: Vec<u64> = (1..=3).filter(|id| *id != dead_id).collect();
    expected.push(4);
    voters_are(&admin, &expected).await;
    until("the dead one is gone", PATIENCE, async || match member(&admin, dead_id).await {
        None => Ok(()),
        Some(still) => Err(still.to_string()),
    })
    .await;
    is_written(&admin, "replaced").await;
    cluster.nodes[place].ready().await;
    let _ = cluster.admin(place).await.get("/tenants/replaced?consistency=linearizable").await.expect(200);

    // The dead one comes back, and is told.
    cluster.nodes[dead].start().await;
    not_ready_because(&cluster, dead, "was removed from the cluster").await;
    cluster.nodes[dead].kill();
    // Another one dies: four would bear one, three bear one; it is simply taken out.
    let next = (leader + 2) % 3;
    cluster.nodes[next].kill();
    let next_id = cluster.nodes[next].id;
    member_is(&admin, next_id, "silent", |it| it["answers"] == false).await;
    let _ = admin.delete(&format!("/cluster/members/{next_id}")).await.expect(204);
    is_written(&admin, "two-left").await;
}

#[tokio::test]
async fn who_is_to_be_replaced_may_go_before_its_successor_votes() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let admin = cluster.admin(leader).await;
    let old = cluster.nodes[(leader + 1) % 3].id;
    let place = cluster.prepare_node(4, &["--join-only"]);
    let address = cluster.nodes[place].raft_addr();
    let body = json!({ "id": 4, "peer_addr": address, "role": "voter", "replaces": old });
    let _ = admin.post("/cluster/members", &body).await.expect(201);
    let _ = admin.delete(&format!("/cluster/members/{old}")).await.expect(204);
    cluster.nodes[place].start().await;
    let mut expected: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
    expected.push(4);
    voters_are(&admin, &expected).await;
    member_is(&admin, 4, "asked for no more", |it| it["promotion_pending"] == false).await;
}

#[tokio::test]
async fn seven_voters_survive_three_dead_and_there_is_no_eighth() {
    let mut cluster = Cluster::start(7).await;
    let leader = cluster.leader().await;
    let admin = cluster.admin(leader).await;
    let place = cluster.prepare_node(8, &["--join-only"]);
    cluster.nodes[place].start().await;
    let address = cluster.nodes[place].raft_addr();
    let refused = admin.post("/cluster/members", &json!({ "id": 8, "peer_addr": address, "role": "voter" })).await;
    assert_eq!(refused.expect(409).code(), "limit_reached");
    let _ = admin.post("/cluster/members", &json!({ "id": 8, "peer_addr": address })).await.expect(201);
    member_is(&admin, 8, "caught up", |it| it["answers"] == true && it["lag"].as_u64().is_some_and(|lag| lag < 64))
        .await;
    let refused = admin.patch("/cluster/members/8", &json!({ "role": "voter" })).await.expect(409);
    assert_eq!(refused.code(), "limit_reached");
    let _ = admin.delete("/cluster/members/8").await.expect(204);
    cluster.nodes[place].kill();

    // The leader is one of the three.
    for away in 0..3 {
        cluster.nodes[(leader + away) % 7].kill();
    }
    let survivor = cluster.admin((leader + 3) % 7).await;
    is_written(&survivor, "with-four").await;
    assert_eq!(voters(&survivor).await.len(), 7);
    // With one less it is over, and nothing is pretended.
    cluster.nodes[(leader + 3) % 7].kill();
    let last = cluster.admin((leader + 4) % 7).await;
    let request = last.request(reqwest::Method::POST, "/tenants").json(&tenant("with-three"));
    let answer = tests::web::send(request.timeout(Duration::from_secs(40))).await;
    assert!([503, 504].contains(&answer.status), "{answer:#?}");
}

#[tokio::test]
async fn an_eighth_peer_is_refused_by_the_settings() {
    let mut cluster = Cluster::prepare(1, &[]);
    let peers: Vec<String> = (1..=8).map(|id| format!("{id}=127.0.0.1:{}", 7000 + id)).collect();
    cluster.nodes[0].launch_mut().args.extend(["--peers".to_owned(), peers.join(",")]);
    cluster.nodes[0].launch_mut().args.push("--join-only".to_owned());
    cluster.nodes[0].launch_mut().args.push("--bootstrap-preferred".to_owned());
    let refused = cluster.nodes[0].run_with_env(&[]).await;
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    assert!(refused.output.contains("at most 7 vote"), "{}", refused.output);
    assert!(refused.output.contains("contradicts --join-only"), "{}", refused.output);
}
