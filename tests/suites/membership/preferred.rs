//! Nodes that are each to make a cluster, unless somebody they ask has one or makes it.

use controlplane_daemon::signature::{Call, HEADER};
use tests::cluster::Cluster;
use tests::counters::count;
use tests::postgres::free_port;
use tests::wait::{PATIENCE, until};
use vocab::NodeId;

use super::{signature, voters_are};

const LOWER: usize = 0;
const HIGHER: usize = 1;
const THIRD: usize = 2;

const MAKES: &str = "initialising a cluster";
const WAITS: &str = "a node with a lower id makes the cluster";

/// Two such nodes, 1 and 2, that ask each other.
fn rivals() -> Cluster {
    let mut cluster = Cluster::prepare(0, &[]);
    let addresses = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    for (id, own, other) in [(1, &addresses[0], &addresses[1]), (2, &addresses[1], &addresses[0])] {
        let flags = ["--bootstrap-preferred", "--join-admission", "voter", "--discovery-seeds", other];
        let place = cluster.prepare_node(id, &flags);
        cluster.nodes[place].launch_mut().set("--admin-addr", own);
    }
    cluster
}

async fn says(cluster: &Cluster, place: usize, what: &str) {
    until(&format!("node {} says: {what}", cluster.nodes[place].id), PATIENCE, async || {
        let log = cluster.nodes[place].process().log();
        if log.contains(what) { Ok(()) } else { Err(log) }
    })
    .await;
}

async fn are_one_cluster(cluster: &Cluster, ids: &[u64]) {
    let mut made = Vec::new();
    for place in 0..cluster.nodes.len() {
        let admin = cluster.admin(place).await;
        voters_are(&admin, ids).await;
        made.push(admin.get("/cluster/status").await.expect(200).text_of("cluster_id"));
    }
    assert!(made.iter().all(|id| *id == made[0]), "{made:?}");
    assert_eq!(cluster.logs().matches(MAKES).count(), 1, "one of them has made it");
}

#[tokio::test]
async fn of_two_that_ask_each_other_one_makes_the_cluster_and_the_other_joins_it() {
    let orders: [&[&[usize]]; 4] =
        [&[&[LOWER], &[HIGHER]], &[&[HIGHER], &[LOWER]], &[&[LOWER, HIGHER]], &[&[HIGHER, LOWER]]];
    for order in orders {
        let mut cluster = rivals();
        for places in order {
            cluster.start_at_once(places).await;
        }
        cluster.ready().await;
        are_one_cluster(&cluster, &[1, 2]).await;
    }
}

/// The lower one of two such nodes counts on node 8, which is not there, and so would make a cluster and makes none. The
/// higher one waits for it: it has been asked oftener than before one is made with somebody who would make none.
async fn waiting() -> Cluster {
    let mut cluster = rivals();
    let third = cluster.prepare_node(8, &["--join-admission", "voter"]);
    let founders =
        [LOWER, third].map(|place| format!("{}={}", cluster.nodes[place].id, cluster.nodes[place].raft_addr()));
    for place in [LOWER, third] {
        cluster.nodes[place].launch_mut().args.extend(["--peers".to_owned(), founders.join(",")]);
    }
    for place in [LOWER, HIGHER] {
        cluster.nodes[place].start().await;
    }
    says(&cluster, HIGHER, WAITS).await;
    until("the lower one was asked again and again", PATIENCE, async || {
        let labels = [("route", "/api/v1/cluster/join"), ("status", "503")];
        let ops = cluster.nodes[LOWER].ops_url();
        match count(&ops, "hj_cp_http_request_duration_seconds_count", &labels).await {
            times if times > 6 => Ok(()),
            times => Err(format!("{times} times")),
        }
    })
    .await;
    assert!(!cluster.logs().contains(MAKES));
    cluster
}

#[tokio::test]
async fn the_higher_one_waits_for_a_lower_one_that_is_slow() {
    let mut cluster = waiting().await;
    cluster.nodes[THIRD].start().await;
    cluster.ready().await;
    are_one_cluster(&cluster, &[1, 2, 8]).await;
    assert!(cluster.nodes[LOWER].process().log().contains(MAKES));
}

#[tokio::test]
async fn the_higher_one_waits_no_longer_than_the_lower_one_is_heard() {
    let mut cluster = waiting().await;
    // What it waits for is said by that node to whoever has asked, and signed.
    let asker = signature::signer(7, &cluster.secrets.cluster_hmac, None);
    let (body, to) = (signature::body(7), &cluster.nodes[LOWER].addresses().admin);
    let asks = signature::sign(&asker, &body);
    let answer = signature::send(to, Some(&asks), &body).await.expect(503);
    assert_eq!((answer.code(), &answer.json["would_found"]), ("unavailable", &true.into()));
    let (signed, call) = (answer.header(HEADER), Call::answer_to(&asks));
    assert_eq!(asker.verify(signed, call, answer.text.as_bytes(), asker.this_node()), Ok(NodeId(1)));

    cluster.nodes[LOWER].kill();
    cluster.nodes[HIGHER].ready().await;
    says(&cluster, HIGHER, MAKES).await;
    voters_are(&cluster.admin(HIGHER).await, &[2]).await;
}
