//! Leadership: given to whom one wants, kept from who has no business with it.

use serde_json::json;
use tests::cluster::Cluster;
use tests::postgres::free_port;
use tests::wait::{PATIENCE, until};

use super::{Cli, is_written, metric};

#[tokio::test]
async fn leadership_goes_where_the_operator_wants_it() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let (wanted, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let (wanted_id, leader_id) = (cluster.nodes[wanted].id, cluster.nodes[leader].id);
    // Asked at a third node.
    let admin = cluster.admin(other).await;
    let answer = admin.post("/cluster/transfer-leader", &json!({ "to": wanted_id })).await.expect(200);
    assert_eq!(answer.json["leader_id"], wanted_id);
    assert_eq!(cluster.leader().await, wanted);
    Cli::new(&cluster, other).text(&["cluster", "transfer"]);
    assert_ne!(cluster.leader().await, wanted);
    let refused = admin.post("/cluster/transfer-leader", &json!({ "to": 9 })).await.expect(404);
    assert_eq!(refused.code(), "not_found");
    // The leader itself can be removed: it hands over first.
    let leader = cluster.leader().await;
    let gone = cluster.nodes[leader].id;
    let survivor = cluster.admin((leader + 1) % 3).await;
    let _ = survivor.delete(&format!("/cluster/members/{gone}")).await.expect(204);
    is_written(&survivor, "after-the-leader").await;
    let transitions = metric(&cluster, wanted, "hj_cp_role_transitions_total").await;
    assert!(transitions >= 1.0, "{transitions} of node {wanted_id}; {leader_id} led first");
}

/// What a container runs before it is stopped.
#[tokio::test]
async fn a_node_gives_leadership_away_when_the_program_beside_it_asks() {
    let mut cluster = Cluster::prepare(3, &[]);
    for node in &mut cluster.nodes {
        node.launch_mut().set("--ops-addr", &format!("127.0.0.1:{}", free_port()));
        // A machine without authorities.
        let nowhere = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| (name.to_owned(), "/nowhere".to_owned()));
        node.launch_mut().env.extend(nowhere);
    }
    let nobody = cluster.nodes[0].run_subcommand(&["hand-over"]).await;
    assert_eq!(nobody.code, Some(1), "{}", nobody.output);
    assert!(nobody.output.contains("does not answer"), "{}", nobody.output);
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let asked = cluster.nodes[leader].run_subcommand(&["hand-over", "--linger-secs", "0"]).await;
    // What it says and not who leads a moment later: on a busy machine the others may elect it again.
    assert_eq!(asked.code, Some(0), "{}", asked.output);
    assert!(asked.output.contains("\"leads\":false"), "{}", asked.output);
    // It goes on serving, and asking one that does not lead is no error.
    is_written(&cluster.admin(leader).await, "by-the-former-leader").await;
    let follower = (cluster.leader().await + 1) % 3;
    let again = cluster.nodes[follower].run_subcommand(&["hand-over", "--linger-secs", "0"]).await;
    assert_eq!(again.code, Some(0), "{}", again.output);
    assert!(again.output.contains("\"leads\":false"), "{}", again.output);
}

#[tokio::test]
async fn a_node_that_was_away_does_not_depose_the_leader_when_it_comes_back() {
    // The one that goes away is quick to miss its leader. The others are not, however busy the machine is; but the leader
    // counts who is silent by its own patience, too.
    let away = 2;
    let mut cluster = Cluster::prepare(3, &[]);
    for node in &mut cluster.nodes[..away] {
        node.stands_after(2_500, 4_000);
    }
    cluster.start_all().await;
    cluster.ready().await;
    let mut leader = cluster.leader().await;
    if leader == away {
        let to = cluster.nodes[0].id;
        let _ = cluster.admin(away).await.post("/cluster/transfer-leader", &json!({ "to": to })).await.expect(200);
        leader = cluster.leader().await;
    }
    let admin = cluster.admin(leader).await;
    let term = admin.get("/cluster/status").await.expect(200).json["term"].clone();
    for round in 0..3 {
        cluster.nodes[away].process_mut().pause();
        let id = cluster.nodes[away].id;
        super::member_is(&admin, id, "silent", |it| it["answers"] == false).await;
        is_written(&admin, &format!("meanwhile-{round}")).await;
        cluster.nodes[away].process_mut().resume();
        super::member_is(&admin, id, "back", |it| it["answers"] == true && it["lag"] == 0).await;
        let at_away = cluster.admin(away).await;
        until("it follows", PATIENCE, async || {
            let status = at_away.try_get("/cluster/status").await.map_err(|error| error.to_string())?.json;
            if status["leader_id"].is_u64() && status["role"] == "follower" { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }
    let status = admin.get("/cluster/status").await.expect(200).json;
    assert_eq!((&status["term"], &status["role"]), (&term, &json!("leader")), "{status:#}");
}
