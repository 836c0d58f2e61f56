//! Terms and places in the log that no cluster comes to, rightly signed by a member: refused for what they are. A term that
//! was taken is never given back, and from the last number there is no next one.

use bytes::Bytes;
use controlplane_daemon::signature::Receiver;
use reqwest::Method;
use shared_proto::peer::{AppendRequest, LogId, SnapshotChunk, TransferLeaderRequest, Vote, VoteRequest};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::peer_call::{APPEND, VOTE, call, clock, framed, post, signer};
use tonic::Code;
use vocab::{ClusterId, NodeId};

use super::peers::{SNAPSHOT, TRANSFER, status};
use super::tenant;

/// What is between a snapshot's magic number and its header: the header's length.
const LENGTH: std::ops::Range<usize> = 8..12;

/// A whole snapshot of the cluster, right but for the place in the log that it says it is of.
pub(super) async fn snapshot_at(owner: &Admin, index: u64) -> Bytes {
    let answer = owner.request(Method::GET, "/cluster/snapshot").send().await.expect("an answer");
    let file = answer.bytes().await.expect("a whole file");
    let (content, _) = file.split_last_chunk::<4>().expect("it ends with its checksum");
    let length = u32::from_be_bytes(content[LENGTH].try_into().expect("four bytes"));
    let (header, body) = content[LENGTH.end..].split_at(usize::try_from(length).expect("it is short"));
    let mut header: serde_json::Value = serde_json::from_slice(header).expect("JSON");
    assert!(header["last_applied"]["index"].is_u64(), "{header:#}");
    header["last_applied"]["index"] = index.into();
    let header = header.to_string();
    let length = u32::try_from(header.len()).expect("it is short").to_be_bytes();
    let mut file = [&content[..LENGTH.start], &length, header.as_bytes(), body].concat();
    let checksum = crc32fast::hash(&file);
    file.extend(checksum.to_be_bytes());
    file.into()
}

/// Every message of Raft's own with that number in each place that has one, and nothing else that is wrong.
async fn messages(owner: &Admin, now: Vote, number: u64) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let sane = LogId { term: now.term, node_id: now.node_id, index: 1 };
    let (late, far) = (LogId { term: number, ..sane }, LogId { index: number, ..sane });
    let high = Vote { term: number, ..now };
    let append = |vote, previous, leader_commit| {
        framed(&AppendRequest { vote: Some(vote), previous, entries: Vec::new(), leader_commit })
    };
    let ask = |vote: Vote, last_log, (leadership_transfer, pre_vote)| {
        let vote = Some(Vote { committed: false, ..vote });
        framed(&VoteRequest { vote, last_log: Some(last_log), leadership_transfer, pre_vote })
    };
    let transfer = |from_leader, last_log| {
        let last_log = Some(last_log);
        framed(&TransferLeaderRequest { from_leader: Some(from_leader), to_node_id: now.node_id, last_log })
    };
    let snapshot = |vote, data| {
        let transfer_id = format!("{:032x}", rand::random::<u128>());
        framed(&SnapshotChunk { vote: Some(vote), transfer_id, data, last: true, ..SnapshotChunk::default() })
    };
    let mut messages = vec![
        (APPEND, "the vote", append(high, None, None)),
        (APPEND, "the term before", append(now, Some(late), None)),
        (APPEND, "the place before", append(now, Some(far), None)),
        (APPEND, "the committed term", append(now, None, Some(late))),
        (APPEND, "the committed place", append(now, None, Some(far))),
        (TRANSFER, "the vote", transfer(high, sane)),
        (TRANSFER, "the last term", transfer(now, late)),
        (TRANSFER, "the last place", transfer(now, far)),
        (SNAPSHOT, "the vote", snapshot(high, Bytes::new())),
        (SNAPSHOT, "the place inside", snapshot(now, snapshot_at(owner, number).await)),
    ];
    for kind in [(false, false), (true, false), (false, true)] {
        messages.extend([
            (VOTE, "the vote", ask(high, sane, kind)),
            (VOTE, "the last term", ask(now, late, kind)),
            (VOTE, "the last place", ask(now, far, kind)),
        ]);
    }
    messages
}

#[tokio::test]
async fn numbers_that_no_cluster_comes_to_are_refused_and_the_term_stays() {
    let mut cluster = Cluster::prepare(3, &[]);
    cluster.be_patient();
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let (victim, sender) = ((leader + 1) % 3, cluster.nodes[(leader + 2) % 3].id);
    let (admin, at_leader) = (cluster.admin(victim).await, cluster.admin(leader).await);
    let shown = admin.get("/cluster/status").await.expect(200);
    let own: ClusterId = shown.text_of("cluster_id").parse().expect("an id is an id");
    let _ = admin.post("/tenants", &tenant("before")).await.expect(201);
    let before = status(&admin).await;
    let now = Vote { term: before.0, node_id: before.1, committed: true };
    let signer = signer(sender, &cluster.secrets.cluster_hmac, Some(own), clock());
    let (address, id) = (cluster.nodes[victim].addresses().raft.clone(), NodeId(cluster.nodes[victim].id));
    for number in [1 << 62, (1 << 63) - 1, u64::MAX] {
        for (path, what, body) in messages(&admin, now, number).await {
            let signature = signer.sign(Receiver::Node(id), post(path), &body);
            let code = call(&address, path, signature.as_deref(), &body).await;
            assert_eq!(code, Code::InvalidArgument, "{path}: {what} is {number}");
        }
    }
    assert_eq!(status(&admin).await, before);
    assert_eq!(status(&at_leader).await, before);
    let _ = admin.post("/tenants", &tenant("after")).await.expect(201);
    assert!(!cluster.logs().contains("panicked at"), "nobody counts on from there");
}
