//! Snapshots between nodes, damaged where they come in and where they are sent from: never installed, never sent.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use controlplane_daemon::signature::Receiver;
use reqwest::Method;
use shared_proto::peer::{SnapshotChunk, Vote};
use tests::cluster::{Cluster, Node};
use tests::peer_call::{call, clock, framed, post, signer};
use tests::wait::{PATIENCE, until};
use tests::web;
use tonic::Code;
use vocab::{ClusterId, NodeId};

use super::absurd::snapshot_at;
use super::peers::{SNAPSHOT, status};
use super::storage::{flip_a_bit, snapshots, tenants};
use super::tenant;

/// All that lies in the folder of snapshots.
fn files(node: &Node) -> Vec<PathBuf> {
    let listing = fs::read_dir(node.data_dir().join("snapshots")).expect("there is a folder of snapshots");
    let mut paths: Vec<PathBuf> = listing.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort_unstable();
    paths
}

/// What is no longer as it was written, each with what was done to it.
fn damages(whole: &[u8]) -> Vec<(String, Vec<u8>)> {
    let length = whole.len();
    let flipped = [0, 9, 40, length / 2, length - 5, length - 1].map(|place| {
        let mut bytes = whole.to_vec();
        bytes[place] ^= 1;
        (format!("a bit flipped at {place} of {length}"), bytes)
    });
    let cut = [0, 7, 30, length / 2, length - 1].map(|left| (format!("{left} of {length}"), whole[..left].to_vec()));
    let mut consistent = whole[..length * 3 / 4].to_vec();
    consistent.extend(crc32fast::hash(&consistent).to_be_bytes());
    [Vec::from(flipped), Vec::from(cut), vec![("cut short, and the checksum is right".to_owned(), consistent)]].concat()
}

#[tokio::test]
async fn a_damaged_snapshot_of_a_peer_is_refused_and_replaces_nothing() {
    let mut cluster = Cluster::prepare(3, &[]);
    cluster.be_patient();
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let (victim, sender) = ((leader + 1) % 3, cluster.nodes[leader].id);
    let admin = cluster.admin(victim).await;
    let shown = admin.get("/cluster/status").await.expect(200);
    let own: ClusterId = shown.text_of("cluster_id").parse().expect("an id is an id");
    // Were it installed, it would take the node far ahead of its leader and bring back what was deleted.
    let _ = admin.post("/tenants", &tenant("deleted")).await.expect(201);
    let whole = snapshot_at(&admin, 1 << 20).await;
    let _ = admin.delete("/tenants/deleted").await.expect(204);
    let _ = admin.post("/tenants", &tenant("kept")).await.expect(201);
    let (before, lying) = (status(&admin).await, files(&cluster.nodes[victim]));

    let vote = Some(Vote { term: before.0, node_id: sender, committed: true });
    let signer = signer(sender, &cluster.secrets.cluster_hmac, Some(own), clock());
    let (address, id) = (cluster.nodes[victim].addresses().raft.clone(), NodeId(cluster.nodes[victim].id));
    let send = async |offset: usize, data: &[u8], last: bool| {
        let (transfer_id, data) = ("5a".to_owned(), Bytes::copy_from_slice(data));
        let body = framed(&SnapshotChunk { vote, transfer_id, offset: offset as u64, data, last });
        let signature = signer.sign(Receiver::Node(id), post(SNAPSHOT), &body);
        call(&address, SNAPSHOT, signature.as_deref(), &body).await
    };
    let damages = damages(&whole);
    for (what, bytes) in &damages {
        // In two pieces, as a large one comes.
        let (first, second) = bytes.split_at(bytes.len() / 3);
        assert_eq!(send(0, first, false).await, Code::Ok, "{what}");
        assert_eq!(send(first.len(), second, true).await, Code::InvalidArgument, "{what}");
        assert_eq!(files(&cluster.nodes[victim]), lying, "{what}");
    }
    assert_eq!(status(&admin).await, before);
    let log = cluster.nodes[victim].process().log();
    let told = "a peer's snapshot is damaged; nothing was replaced";
    assert_eq!(
        log.lines().filter(|line| line.contains("ERROR") && line.contains(told)).count(),
        damages.len(),
        "{log}"
    );
    let _ = admin.post("/tenants", &tenant("after")).await.expect(201);
}

#[tokio::test]
async fn a_leader_that_finds_its_snapshot_damaged_sends_a_new_one() {
    let mut cluster = Cluster::prepare(3, &["--snapshot-every", "40"]);
    cluster.be_patient();
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let behind = (leader + 1) % 3;
    let admin = cluster.admin(leader).await;
    // The beginning of the log is cut off meanwhile: that waits for who does not answer.
    for number in 0..150 {
        let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
    }
    let _ = web::send(admin.request(Method::POST, "/cluster/snapshot")).await.expect(200);
    cluster.nodes[behind].kill();
    fs::remove_dir_all(cluster.nodes[behind].data_dir()).expect("the folder can be removed");
    let newest = snapshots(&cluster.nodes[leader]).swap_remove(0);
    flip_a_bit(&newest);

    cluster.nodes[behind].start().await;
    cluster.nodes[behind].ready().await;
    let there = cluster.admin(behind).await;
    until("it has everything", PATIENCE, async || match tenants(&there).await {
        150 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    assert!(newest.with_extension("damaged").exists(), "it is kept for whoever wants to know");
    let (log, path) = (cluster.nodes[leader].process().log(), newest.display().to_string());
    let is_told = |line: &str| line.contains("ERROR") && line.contains("writing a new one") && line.contains(&path);
    assert!(log.lines().any(is_told), "{log}");
    assert_eq!(cluster.leader().await, leader, "it leads on");
    let _ = admin.post("/tenants", &tenant("after")).await.expect(201);
}
