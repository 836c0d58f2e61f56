//! Where nodes are: an id in two places, two nodes at one place, and a place that cannot be reached.

use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};

use super::{is_written, member, member_is, not_ready_because};

#[tokio::test]
async fn a_second_node_with_the_same_id_is_refused_and_nothing_is_sent_to_it() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let (id, own) = (cluster.nodes[follower].id, cluster.nodes[follower].raft_addr());
    let admin = cluster.admin(leader).await;
    member_is(&admin, id, "known", |it| it["version"].is_string()).await;
    let seed = cluster.nodes[leader].addresses().admin.clone();
    let second = cluster.prepare_node(id, &["--join-only", "--discovery-seeds", &seed]);
    cluster.nodes[second].start().await;
    until("it is refused, more than once", PATIENCE, async || {
        let log = cluster.nodes[leader].process_mut().log();
        let refusals = log.lines().filter(|line| line.contains("is its id used twice?")).count();
        if refusals > 2 { Ok(()) } else { Err(format!("{refusals} refusals")) }
    })
    .await;
    for place in [leader, follower, (leader + 2) % 3] {
        let shown = member(&cluster.admin(place).await, id).await.expect("it is a member");
        assert_eq!(shown["peer_addr"], own.as_str(), "as node {} has it", cluster.nodes[place].id);
    }
    is_written(&admin, "goes-on").await;
    let there = cluster.admin(follower).await;
    let _ = there.get("/tenants/goes-on?consistency=linearizable").await.expect(200);
    not_ready_because(&cluster, second, "").await;
}

#[tokio::test]
async fn a_node_may_come_to_the_address_of_one_that_is_dead() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let (dead, moves) = ((leader + 1) % 3, (leader + 2) % 3);
    let admin = cluster.admin(leader).await;
    for place in [dead, moves] {
        let own = cluster.nodes[place].raft_addr();
        let id = cluster.nodes[place].id;
        member_is(&admin, id, "known", |it| it["version"].is_string() && it["peer_addr"] == own.as_str()).await;
    }
    cluster.nodes[dead].kill();
    cluster.nodes[moves].kill();
    let address = cluster.nodes[dead].raft_addr();
    cluster.nodes[moves].launch_mut().set("--raft-addr", &address);
    cluster.nodes[moves].launch_mut().set("--advertise-addr", &address);
    cluster.nodes[moves].start().await;
    cluster.nodes[moves].ready().await;
    let id = cluster.nodes[moves].id;
    // By the table, which is what every node goes by: a third one hears of nothing else.
    until("the table says where it is", PATIENCE, async || {
        let log = cluster.logs();
        if log.contains("a node has moved") { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let asked = cluster.admin(leader).await;
    member_is(&asked, id, "where it is now", |it| it["peer_addr"] == address.as_str()).await;
    is_written(&asked, "goes-on").await;

    // While a node answers there nobody else is taken in at its address.
    let body = serde_json::json!({ "id": 4, "peer_addr": address });
    let refused = asked.post("/cluster/members", &body).await.expect(409);
    assert!(refused.text_of("detail").contains(&format!("is the address of node {id}")), "{refused:#?}");
}

#[tokio::test]
async fn why_a_seed_does_not_answer_is_said_once() {
    let mut cluster = Cluster::start(1).await;
    // It speaks plain HTTP: what a certificate of the wrong authority is, too, to whoever asks.
    let seed = format!("https://{}", cluster.nodes[0].addresses().admin);
    let place = cluster.prepare_node(2, &["--join-only", "--discovery-seeds", &seed]);
    cluster.nodes[place].launch_mut().args.extend(["--log-level".to_owned(), "debug".to_owned()]);
    cluster.nodes[place].start().await;
    let log = until("it was asked more than once", PATIENCE, async || {
        let log = cluster.nodes[place].process_mut().log();
        let asked = log.lines().filter(|line| line.contains("a node to join does not answer")).count();
        if asked > 2 { Ok(log) } else { Err(log) }
    })
    .await;
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("it is asked again")).collect();
    let [warning] = warnings[..] else { panic!("{warnings:#?}") };
    assert!(warning.contains("WARN") && warning.contains("error sending request"), "{warning}");
}
