//! Who makes the cluster of a list of peers, whenever it comes.

use serde_json::Value;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};

use super::{not_ready_because, voters_are};

const INITIALISES: &str = "initialising a cluster";

#[tokio::test]
async fn the_others_wait_for_the_node_with_the_lowest_id_which_makes_the_cluster_though_it_comes_last() {
    let mut cluster = Cluster::prepare(3, &[]);
    cluster.start_at_once(&[1, 2]).await;
    // A majority, and each has had time: an answer waits for a leader for a while.
    for _ in 0..3 {
        for place in [1, 2] {
            not_ready_because(&cluster, place, "no leader has answered yet").await;
        }
    }
    for place in [1, 2] {
        assert!(!cluster.nodes[place].data_dir().join("cluster.json").exists(), "it is in no cluster");
    }

    cluster.nodes[0].start().await;
    cluster.ready().await;
    let log = |place: usize| cluster.nodes[place].process().log();
    let made: Vec<String> =
        (0..3).flat_map(|place| log(place).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let made: Vec<&String> = made.iter().filter(|line| line.contains(INITIALISES)).collect();
    let [made] = made[..] else { panic!("once: {made:#?}") };
    assert!(log(0).contains(INITIALISES) && made.contains("members=3"), "{made}");
    let id = cluster.admin(0).await.get("/cluster/status").await.expect(200).text_of("cluster_id");
    assert!(made.contains(&id), "{made}");
    for place in 0..3 {
        let status = cluster.admin(place).await.get("/cluster/status").await.expect(200);
        assert_eq!(status.text_of("cluster_id"), id);
    }
    let admin = cluster.admin(2).await;
    voters_are(&admin, &[1, 2, 3]).await;
    // Nobody else can be elected by a list that only the founder has.
    let first = until("the first election is on record", PATIENCE, async || {
        let found = admin.get("/audit/logs?action=node.role_transition&order=oldest").await.expect(200).json;
        let notes = found["items"].as_array().expect("items").iter().map(|record| record["note"].clone());
        let elected: Vec<Value> = notes.filter(|note| note["to"] == "leader").collect();
        elected.first().cloned().ok_or_else(|| found.to_string())
    })
    .await;
    assert_eq!((&first["node"], &first["leader"]), (&1.into(), &1.into()), "{first:#}");
}
