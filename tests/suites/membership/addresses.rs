//! Where nodes are: an id in two places.

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
