//! Clusters that are founded side by side, with one secret and lists of peers that overlap: none is mixed with another,
//! and none that came to nothing keeps a node from the one that lives.

use controlplane_daemon::signature::Receiver;
use serde_json::Value;
use shared_proto::peer;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::counters::count;
use tests::gate::Gate;
use tests::peer_call::{APPEND, VOTE, call, clock, framed, post, signer};
use tests::postgres::free_port;
use tests::voter::Voter;
use tests::wait::{PATIENCE, until};
use tonic::Code;
use vocab::{ClusterId, NodeId};

use super::{is_written, metric, not_ready_because, voters_are};

const REFUSED: &str = "hj_cp_peer_rpc_refused_total{reason=\"other_cluster\"}";

/// Nodes with those ids and no word yet of who belongs to whom.
fn nodes(ids: &[u64]) -> Cluster {
    let mut cluster = Cluster::prepare(0, &[]);
    for id in ids {
        cluster.prepare_node(*id, &[]);
    }
    cluster
}

/// The node is to make a cluster of these, itself included, if its id is the lowest.
fn set_peers(cluster: &mut Cluster, place: usize, peers: &[usize]) {
    let listed: Vec<String> = peers.iter().map(|it| listed(cluster, *it)).collect();
    set_list(cluster, place, &listed);
}

fn listed(cluster: &Cluster, place: usize) -> String {
    format!("{}={}", cluster.nodes[place].id, cluster.nodes[place].raft_addr())
}

fn set_list(cluster: &mut Cluster, place: usize, listed: &[String]) {
    let launch = cluster.nodes[place].launch_mut();
    if !launch.args.iter().any(|arg| arg == "--peers") {
        launch.args.extend(["--peers".to_owned(), String::new()]);
    }
    launch.set("--peers", &listed.join(","));
}

async fn start(cluster: &mut Cluster, places: &[usize]) {
    for place in places {
        cluster.nodes[*place].start().await;
    }
}

/// What the node keeps of its cluster.
fn bound(cluster: &Cluster, place: usize) -> Option<String> {
    let file = std::fs::read(cluster.nodes[place].data_dir().join("cluster.json")).ok()?;
    let file: Value = serde_json::from_slice(&file).expect("it is JSON");
    Some(file["cluster_id"].as_str().expect("a cluster's id").to_owned())
}

async fn cluster_id(cluster: &Cluster, place: usize) -> String {
    let admin = cluster.admin(place).await;
    admin.get("/cluster/status").await.expect(200).text_of("cluster_id")
}

async fn has_tenant(admin: &Admin, slug: &str) -> bool {
    admin.get(&format!("/tenants/{slug}")).await.expect_one_of(&[200, 404]).status == 200
}

async fn says(cluster: &Cluster, place: usize, what: &str) {
    until(&format!("node {} says: {what}", cluster.nodes[place].id), PATIENCE, async || {
        let log = cluster.nodes[place].process().log();
        if log.contains(what) { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test]
async fn of_two_clusters_that_count_on_one_node_the_second_is_not_made() {
    let mut cluster = nodes(&[1, 2, 3]);
    let (first, second, shared) = (0, 1, 2);
    set_peers(&mut cluster, first, &[first, shared]);
    set_peers(&mut cluster, second, &[second, shared]);
    set_peers(&mut cluster, shared, &[first, second, shared]);
    start(&mut cluster, &[first, shared]).await;
    cluster.nodes[first].ready().await;
    cluster.nodes[shared].ready().await;
    let made = cluster_id(&cluster, first).await;
    assert_eq!(bound(&cluster, shared).as_ref(), Some(&made));

    start(&mut cluster, &[second]).await;
    for round in 0..2 {
        // Each side says who it is and why not; what is refused is counted.
        not_ready_because(&cluster, second, "no cluster is made with node 3: node 2 belongs to another cluster").await;
        not_ready_because(&cluster, second, &made).await;
        says(&cluster, second, "this node makes no cluster").await;
        says(&cluster, shared, "a call between nodes was refused").await;
        says(&cluster, shared, "node 2 belongs to another cluster").await;
        assert!(metric(&cluster, shared, REFUSED).await > 0.0);
        assert_eq!(bound(&cluster, second), None, "it has promised nothing to anybody");
        assert_eq!(bound(&cluster, shared).as_ref(), Some(&made));
        is_written(&cluster.admin(first).await, &format!("round-{round}")).await;
        for place in [second, shared] {
            cluster.nodes[place].kill();
        }
        start(&mut cluster, &[second, shared]).await;
        cluster.nodes[shared].ready().await;
    }
    // Told not to count on it, it makes one of its own.
    cluster.nodes[second].kill();
    set_peers(&mut cluster, second, &[second]);
    start(&mut cluster, &[second]).await;
    cluster.nodes[second].ready().await;
    assert_ne!(cluster_id(&cluster, second).await, made);
    assert!(!has_tenant(&cluster.admin(second).await, "round-0").await);
}

#[tokio::test]
async fn a_node_that_two_clusters_call_is_in_one_of_them_for_good() {
    let mut cluster = nodes(&[1, 2, 3, 4, 5]);
    let (a, b, shared) = ([0, 2], [1, 3], 4);
    for cluster_of in [a, b] {
        for place in cluster_of {
            set_peers(&mut cluster, place, &[cluster_of[0], cluster_of[1], shared]);
        }
    }
    set_peers(&mut cluster, shared, &[a[0], a[1], shared]);
    start(&mut cluster, &[a[0], a[1], b[0], b[1]]).await;
    for place in [a[0], a[1], b[0], b[1]] {
        cluster.nodes[place].ready().await;
    }
    let ids = [cluster_id(&cluster, a[0]).await, cluster_id(&cluster, b[0]).await];
    assert_ne!(ids[0], ids[1]);
    is_written(&cluster.admin(a[0]).await, "of-a").await;
    is_written(&cluster.admin(b[0]).await, "of-b").await;

    // Both leaders call it at once.
    start(&mut cluster, &[shared]).await;
    cluster.nodes[shared].ready().await;
    let won = bound(&cluster, shared).expect("it belongs to one");
    let (winner, loser, tenants) = if won == ids[0] { (a, b, ["of-a", "of-b"]) } else { (b, a, ["of-b", "of-a"]) };
    assert!(ids.contains(&won));
    for _ in 0..2 {
        let admin = cluster.admin(shared).await;
        assert!(has_tenant(&admin, tenants[0]).await && !has_tenant(&admin, tenants[1]).await);
        assert_eq!(cluster_id(&cluster, shared).await, won);
        assert_eq!(bound(&cluster, shared).as_ref(), Some(&won));
        until("the other cluster's calls are refused", PATIENCE, async || {
            let refused = metric(&cluster, shared, REFUSED).await;
            if refused > 0.0 { Ok(()) } else { Err(refused.to_string()) }
        })
        .await;
        says(&cluster, shared, &format!("node 5 belongs to {won}")).await;
        until("the other side hears why", PATIENCE, async || {
            let logs: String = loser.iter().map(|place| cluster.nodes[*place].process().log()).collect();
            let told = logs.contains("a node refuses our calls") && logs.contains(&format!("node 5 belongs to {won}"));
            if told { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
        cluster.nodes[shared].kill();
        start(&mut cluster, &[shared]).await;
        cluster.nodes[shared].ready().await;
    }
    // Nor when it is the only one left: the others' majority is not its own.
    for place in winner {
        cluster.nodes[place].kill();
    }
    is_written(&cluster.admin(loser[0]).await, "still-there").await;
    assert!(!has_tenant(&cluster.admin(shared).await, "still-there").await);
    assert_eq!(bound(&cluster, shared), Some(won));
}

/// It would found a second cluster, were it not to ask first.
#[tokio::test]
async fn a_founder_whose_disk_was_replaced_waits_for_its_cluster() {
    let mut cluster = Cluster::start(3).await;
    let made = cluster_id(&cluster, 0).await;
    is_written(&cluster.admin(1).await, "kept").await;
    for others_run in [true, false] {
        if others_run {
            cluster.nodes[0].kill();
        } else {
            cluster.kill_all();
        }
        std::fs::remove_dir_all(cluster.nodes[0].data_dir()).expect("its disk is lost");
        cluster.nodes[0].start().await;
        if !others_run {
            not_ready_because(&cluster, 0, "1 of the 3 nodes that are to make the cluster are free for it").await;
            start(&mut cluster, &[1, 2]).await;
        }
        cluster.ready().await;
        assert_eq!(cluster_id(&cluster, 0).await, made);
        assert!(has_tenant(&cluster.admin(0).await, "kept").await);
    }
}

/// Two of three would be enough for a new cluster, which would have nothing of the old one.
#[tokio::test]
async fn a_majority_without_data_waits_for_the_word_of_a_node_that_is_there() {
    let mut cluster = Cluster::start(3).await;
    let made = cluster_id(&cluster, 0).await;
    is_written(&cluster.admin(1).await, "kept").await;
    until("the third node has it", PATIENCE, async || {
        if has_tenant(&cluster.admin(2).await, "kept").await { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    for place in [0, 1] {
        cluster.nodes[place].kill();
        std::fs::remove_dir_all(cluster.nodes[place].data_dir()).expect("its disk is lost");
    }
    // Connections are taken by the kernel, as they are while it reads a long log.
    cluster.nodes[2].process().pause();
    start(&mut cluster, &[0, 1]).await;
    not_ready_because(&cluster, 0, "node 3 takes connections and has not said yet whether it is in a cluster").await;
    assert_eq!((bound(&cluster, 0), bound(&cluster, 1)), (None, None), "no second cluster was made");
    cluster.nodes[2].process().resume();
    cluster.ready().await;
    for place in 0..3 {
        assert_eq!(cluster_id(&cluster, place).await, made);
        assert!(has_tenant(&cluster.admin(place).await, "kept").await);
    }
}

/// Of a release that kept no `cluster.json`.
#[tokio::test]
async fn data_that_was_never_bound_is_bound_to_the_cluster_that_its_log_names() {
    let mut cluster = Cluster::start(3).await;
    let made = cluster_id(&cluster, 0).await;
    is_written(&cluster.admin(0).await, "kept").await;
    cluster.kill_all();
    for node in &cluster.nodes {
        std::fs::remove_file(node.data_dir().join("cluster.json")).expect("every node had one");
    }
    cluster.start_all().await;
    cluster.ready().await;
    is_written(&cluster.admin(2).await, "goes-on").await;
    for place in 0..3 {
        assert!(has_tenant(&cluster.admin(place).await, "kept").await);
        until("it is bound", PATIENCE, async || bound(&cluster, place).ok_or_else(|| "not yet".to_owned())).await;
        assert_eq!(bound(&cluster, place).as_ref(), Some(&made));
    }
}

/// Nodes 1 and 2 have both made the cluster of 1, 2 and 3: neither heard the other while it asked, and 3 was free for
/// both. Nobody has been elected yet: 3 could be asked and heard of no candidate.
async fn founded_twice() -> Cluster {
    let mut cluster = nodes(&[1, 2, 3]);
    // It knows nobody, so that nobody hears where else it is.
    cluster.nodes[2].launch_mut().args.push("--join-only".to_owned());
    start(&mut cluster, &[2]).await;
    let third = cluster.nodes[2].raft_addr();
    for (place, other) in [(0, 1), (1, 0)] {
        // Questions have a connection of their own, and are the first thing that a founder sends.
        let gate = Gate::to(&third, 1).await;
        let astray = format!("{}=127.0.0.1:{}", cluster.nodes[other].id, free_port());
        let list = [listed(&cluster, place), astray, format!("3={}", gate.address())];
        set_list(&mut cluster, place, &list);
        cluster.nodes[place].launch_mut().args.push("--bootstrap-preferred".to_owned());
    }
    start(&mut cluster, &[0, 1]).await;
    for place in [0, 1] {
        // It stands for election once its log is on the disk.
        says(&cluster, place, "to=\"candidate\"").await;
        let ops = cluster.nodes[place].ops_url();
        assert!(count(&ops, "hj_cp_role_transitions_total", &[("to", "candidate")]).await >= 1);
    }
    let made = [bound(&cluster, 0), bound(&cluster, 1)];
    assert!(made[0] != made[1] && made.iter().all(Option::is_some), "{made:?}");
    assert_eq!(bound(&cluster, 2), None, "who is asked promises nothing");
    for place in [0, 1] {
        cluster.nodes[place].kill();
        set_peers(&mut cluster, place, &[0, 1, 2]);
    }
    cluster
}

async fn are_one_cluster(cluster: &Cluster, places: &[usize]) {
    let admin = cluster.admin(places[0]).await;
    is_written(&admin, "of-all").await;
    let made = cluster_id(cluster, places[0]).await;
    for place in places {
        assert_eq!(cluster_id(cluster, *place).await, made);
        assert_eq!(bound(cluster, *place).as_ref(), Some(&made));
        until("it has everything", PATIENCE, async || {
            let there = has_tenant(&cluster.admin(*place).await, "of-all").await;
            if there { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
    }
}

#[tokio::test]
async fn of_two_that_found_one_cluster_at_once_one_gives_its_own_up() {
    for order in [[0, 1], [1, 0]] {
        let mut cluster = founded_twice().await;
        cluster.start_at_once(&order).await;
        cluster.ready().await;
        are_one_cluster(&cluster, &[0, 1, 2]).await;
        voters_are(&cluster.admin(0).await, &[1, 2, 3]).await;
        let given_up = |place: usize| cluster.nodes[place].process().log().contains("gives a cluster up");
        assert!(given_up(0) || given_up(1), "there were two");

        // It is one for good: whoever restarts finds itself in it.
        cluster.kill_all();
        cluster.start_all().await;
        cluster.ready().await;
        are_one_cluster(&cluster, &[0, 1, 2]).await;
    }
}

/// Node 3 votes for it, and is the other founder's before its entries come.
#[tokio::test]
async fn a_founder_that_is_elected_and_followed_by_nobody_gives_its_cluster_up() {
    for (elected, other) in [(0, 1), (1, 0)] {
        let mut cluster = nodes(&[1, 2, 3]);
        let voter = Voter::start(3).await;
        let astray = |cluster: &Cluster, place: usize| format!("{}=127.0.0.1:{}", cluster.nodes[place].id, free_port());
        for (place, unheard) in [(elected, other), (other, elected)] {
            let third = if place == elected { voter.address().to_owned() } else { cluster.nodes[2].raft_addr() };
            let list = [listed(&cluster, place), astray(&cluster, unheard), format!("3={third}")];
            set_list(&mut cluster, place, &list);
            cluster.nodes[place].launch_mut().args.push("--bootstrap-preferred".to_owned());
        }
        start(&mut cluster, &[elected]).await;
        says(&cluster, elected, "to=\"leader\"").await;
        // It does not take itself for one for long.
        says(&cluster, elected, "to=\"lost_leader\"").await;
        not_ready_because(&cluster, elected, "leader").await;
        let vain = bound(&cluster, elected).expect("it has founded one");
        cluster.nodes[elected].kill();

        cluster.nodes[2].launch_mut().args.push("--join-only".to_owned());
        start(&mut cluster, &[2, other]).await;
        cluster.ready().await;
        is_written(&cluster.admin(other).await, "of-the-other").await;
        let made = cluster_id(&cluster, other).await;
        assert_ne!(made, vain);

        // It is elected again, and hears where the others are.
        voter.joined(&made);
        let list = [listed(&cluster, elected), listed(&cluster, other), format!("3={}", voter.address())];
        set_list(&mut cluster, elected, &list);
        start(&mut cluster, &[elected]).await;
        says(&cluster, elected, "gives a cluster up").await;
        cluster.ready().await;
        are_one_cluster(&cluster, &[0, 1, 2]).await;
        assert_eq!(bound(&cluster, elected), Some(made));
        assert!(has_tenant(&cluster.admin(elected).await, "of-the-other").await);
    }
}

/// Its vote is a promise, too: the other founder's is refused, until it is clear that nothing comes of the first.
#[tokio::test]
async fn a_node_that_has_voted_for_one_founder_is_no_other_ones() {
    let mut cluster = nodes(&[1, 2]);
    for place in [0, 1] {
        set_peers(&mut cluster, place, &[0, 1]);
    }
    start(&mut cluster, &[1]).await;
    let address = cluster.nodes[1].addresses().raft.clone();
    let [first, second] = [7, 8].map(|id| ClusterId::from_uuid(uuid::Uuid::from_u128(id)));
    let ask = async |of: ClusterId, pre_vote: bool| {
        let candidate = signer(1, &cluster.secrets.cluster_hmac, Some(of), clock());
        let vote = Some(peer::Vote { term: 1, node_id: 1, committed: false });
        let body = framed(&peer::VoteRequest { vote, last_log: None, leadership_transfer: false, pre_vote });
        let signature = candidate.sign(Receiver::Node(NodeId(2)), post(VOTE), &body).expect("there is a secret");
        call(&address, VOTE, Some(&signature), &body).await
    };
    for of in [first, second] {
        assert_eq!(ask(of, true).await, Code::Ok);
        assert_eq!(bound(&cluster, 1), None, "a question binds nobody");
    }
    assert_eq!(ask(second, false).await, Code::Ok);
    assert_eq!(bound(&cluster, 1), Some(second.to_string()), "on the disk before it has answered");
    assert_eq!(ask(first, false).await, Code::Unauthenticated);
    // Who was voted for is gone for good; its successor finds node 2 in somebody's cluster first, and free a little later.
    start(&mut cluster, &[0]).await;
    cluster.ready().await;
    are_one_cluster(&cluster, &[0, 1]).await;
    assert!(cluster.nodes[1].process().log().contains("gives a cluster up"));
}

#[tokio::test]
async fn two_founders_agree_though_nobody_else_is_there_to_choose() {
    let mut cluster = founded_twice().await;
    cluster.nodes[2].kill();
    start(&mut cluster, &[0, 1]).await;
    cluster.ready().await;
    are_one_cluster(&cluster, &[0, 1]).await;
    assert!(cluster.nodes[1].process().log().contains("gives a cluster up"), "the lowest id stays");
    // It says where it really is.
    set_peers(&mut cluster, 2, &[0, 1, 2]);
    start(&mut cluster, &[2]).await;
    cluster.ready().await;
    are_one_cluster(&cluster, &[0, 1, 2]).await;
}

/// Its leader was heard once, sent nothing and is gone for good.
#[tokio::test]
async fn a_blank_node_does_not_wait_for_ever_for_a_cluster_that_died_young() {
    let mut cluster = nodes(&[1, 2]);
    for place in [0, 1] {
        set_peers(&mut cluster, place, &[0, 1]);
    }
    start(&mut cluster, &[1]).await;
    let dead = ClusterId::from_uuid(uuid::Uuid::from_u128(7));
    let leader = signer(1, &cluster.secrets.cluster_hmac, Some(dead), clock());
    let vote = Some(peer::Vote { term: 1, node_id: 1, committed: true });
    let body = framed(&peer::AppendRequest { vote, previous: None, entries: Vec::new(), leader_commit: None });
    let signature = leader.sign(Receiver::Node(NodeId(2)), post(APPEND), &body).expect("there is a secret");
    let address = cluster.nodes[1].addresses().raft.clone();
    assert_eq!(call(&address, APPEND, Some(&signature), &body).await, Code::Ok);
    assert_eq!(bound(&cluster, 1), Some(dead.to_string()));
    // Its successor finds node 2 in somebody's cluster first, and free a little later.
    start(&mut cluster, &[0]).await;
    cluster.ready().await;
    are_one_cluster(&cluster, &[0, 1]).await;
    assert!(cluster.nodes[1].process().log().contains("gives a cluster up"));

    // The same when it was stopped in between: what was bound without a log is not, after a restart.
    let of_another = std::fs::read(cluster.nodes[1].data_dir().join("cluster.json")).expect("it is bound");
    cluster.kill_all();
    let mut cluster = nodes(&[1, 2]);
    for place in [0, 1] {
        set_peers(&mut cluster, place, &[0, 1]);
    }
    start(&mut cluster, &[1]).await;
    cluster.nodes[1].kill();
    std::fs::write(cluster.nodes[1].data_dir().join("cluster.json"), of_another).expect("writable");
    start(&mut cluster, &[0, 1]).await;
    cluster.ready().await;
    are_one_cluster(&cluster, &[0, 1]).await;
    assert!(!cluster.logs().contains("gives a cluster up"));
}
