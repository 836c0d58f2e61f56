//! Nodes that are each to make a cluster, unless somebody they ask has one or makes it.

use controlplane_daemon::signature::{Call, HEADER};
use tests::cluster::Cluster;
use tests::counters::count;
use tests::postgres::free_port;
use tests::wait::{PATIENCE, until};
use vocab::NodeId;

use super::{not_ready_because, signature, voters_are};

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

#[tokio::test]
async fn of_two_that_ask_each_other_one_makes_the_cluster_and_the_other_joins_it() {
    const AT_ONCE: &[usize] = &[0, 1];
    for order in [&[&[0][..], &[1][..]][..], &[&[1], &[0]], &[AT_ONCE], &[&[1, 0]]] {
        let mut cluster = rivals();
        for places in order {
            cluster.start_at_once(places).await;
        }
        cluster.ready().await;
        let mut made = Vec::new();
        for place in [0, 1] {
            let admin = cluster.admin(place).await;
            voters_are(&admin, &[1, 2]).await;
            made.push(admin.get("/cluster/status").await.expect(200).text_of("cluster_id"));
        }
        assert_eq!(made[0], made[1]);
        assert_eq!(cluster.logs().matches(MAKES).count(), 1, "{order:?}: one of them has made it");
    }
}

/// The lower one wants two more, which are not there.
#[tokio::test]
async fn the_higher_one_waits_as_long_as_the_lower_one_is_heard() {
    let mut cluster = rivals();
    let (lower, higher) = (0, 1);
    let peers =
        format!("1={},8=127.0.0.1:{},9=127.0.0.1:{}", cluster.nodes[lower].raft_addr(), free_port(), free_port());
    cluster.nodes[lower].launch_mut().args.extend(["--peers".to_owned(), peers]);
    cluster.start_at_once(&[lower, higher]).await;
    says(&cluster, higher, WAITS).await;
    let asked = async || {
        let labels = [("route", "/api/v1/cluster/join"), ("status", "503")];
        count(&cluster.nodes[lower].ops_url(), "hj_cp_http_request_duration_seconds_count", &labels).await
    };
    // Oftener than it asks those who are not to make one.
    until("it was asked again and again", PATIENCE, async || match asked().await {
        times if times > 6 => Ok(()),
        times => Err(format!("{times} times")),
    })
    .await;
    assert!(!cluster.nodes[higher].process().log().contains(MAKES), "it waits");
    // What it waits for is said by that node to whoever has asked, and signed.
    let asker = signature::signer(7, &cluster.secrets.cluster_hmac, None);
    let (body, to) = (signature::body(7), &cluster.nodes[lower].addresses().admin);
    let asks = signature::sign(&asker, &body);
    let answer = signature::send(to, Some(&asks), &body).await.expect(503);
    assert_eq!((answer.code(), &answer.json["would_found"]), ("unavailable", &true.into()));
    let (signed, call) = (answer.header(HEADER), Call::answer_to(&asks));
    assert_eq!(asker.verify(signed, call, answer.text.as_bytes(), asker.this_node()), Ok(NodeId(1)));
    not_ready_because(&cluster, higher, "").await;

    cluster.nodes[lower].kill();
    cluster.nodes[higher].ready().await;
    says(&cluster, higher, MAKES).await;
    voters_are(&cluster.admin(higher).await, &[2]).await;
}
