//! Calls between nodes from those who are none: refused, and nothing changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use controlplane_daemon::signature::{Call, Receiver, Signatures};
use serde_json::json;
use shared_proto::peer;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::counters::count;
use tests::peer_call::{APPEND, APPEND_STREAM, DESCRIBE, VOTE, call, clock, framed, post, signer};
use tests::wait::{PATIENCE, until};
use tests::wall_clock::WallClock;
use tests::web;
use tonic::Code;
use vocab::{Clock, ClusterId, ManualClock, NodeId, SystemClock};

use super::absurd;
use super::tenant;

pub(super) const SNAPSHOT: &str = "/hellojohn.peer.v1.Peer/InstallSnapshot";
pub(super) const TRANSFER: &str = "/hellojohn.peer.v1.Peer/TransferLeader";
const FORWARD: &str = "/hellojohn.peer.v1.Peer/Forward";
const READ_INDEX: &str = "/hellojohn.peer.v1.Peer/ReadIndex";
const LIST_PODS: &str = "/hellojohn.peer.v1.Peer/ListPods";
const LIST_RECORDS: &str = "/hellojohn.peer.v1.Peer/ListRecords";
const CHANGE_MEMBERS: &str = "/hellojohn.peer.v1.Peer/ChangeMembers";

/// Term, leader, members and tenants. The log itself grows by what the cluster notes of its own accord.
pub(super) async fn status(admin: &Admin) -> (u64, u64, serde_json::Value, serde_json::Value) {
    let status = admin.get("/cluster/status").await.expect(200).json;
    let number = |field: &str| status[field].as_u64().unwrap_or_else(|| panic!("no {field} in {status:#}"));
    let place = |member: &serde_json::Value| serde_json::json!([member["id"], member["addr"], member["role"]]);
    let members = status["members"].as_array().expect("a list").iter().map(place).collect();
    let tenants = admin.get("/tenants?consistency=linearizable").await.expect(200).json["items"].clone();
    (number("term"), number("leader_id"), members, tenants)
}

fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let vote = Some(peer::Vote { term: 1 << 62, node_id: 3, committed: true });
    let last_log = Some(peer::LogId { term: 1 << 62, node_id: 3, index: 1 << 62 });
    vec![
        (APPEND, framed(&peer::AppendRequest { vote, previous: None, entries: Vec::new(), leader_commit: last_log })),
        (APPEND_STREAM, framed(&peer::SignedAppend::default())),
        (
            VOTE,
            framed(&peer::VoteRequest {
                vote: Some(peer::Vote { term: 1 << 62, node_id: 3, committed: false }),
                last_log,
                leadership_transfer: true,
                pre_vote: false,
            }),
        ),
        (SNAPSHOT, framed(&peer::SnapshotChunk { vote, transfer_id: "00".into(), last: true, ..Default::default() })),
        (TRANSFER, framed(&peer::TransferLeaderRequest { from_leader: vote, to_node_id: 1, last_log })),
        (FORWARD, framed(&peer::ForwardRequest { command: bytes::Bytes::from_static(b"{}") })),
        (READ_INDEX, framed(&peer::ReadIndexRequest {})),
        (LIST_PODS, framed(&peer::ListPodsRequest::default())),
        (LIST_RECORDS, framed(&peer::ListRecordsRequest { first_seq: 1, last_seq: u64::MAX })),
        (CHANGE_MEMBERS, change(&json!({ "remove": { "id": 3, "caution": "forced" } }))),
        (DESCRIBE, framed(&peer::DescribeRequest::default())),
    ]
}

fn change(change: &serde_json::Value) -> Vec<u8> {
    let request = json!({ "change": change, "actor": { "kind": "system" }, "origin": {} }).to_string();
    framed(&peer::ChangeMembersRequest { request: request.into() })
}

#[test]
fn every_call_that_there_is_between_nodes_is_tried() {
    let calls = include_str!("../../../shared-proto/proto/hellojohn/peer/v1/peer.proto").lines();
    let calls = calls.filter_map(|line| line.trim().strip_prefix("rpc ")?.split_once('('));
    let calls: BTreeSet<String> = calls.map(|(name, _)| format!("/hellojohn.peer.v1.Peer/{name}")).collect();
    assert_eq!(messages().into_iter().map(|(path, _)| path.to_owned()).collect::<BTreeSet<_>>(), calls);
}

/// As the call is signed where nothing is wrong with it.
fn signed(signer: &Signatures, receiver: NodeId, path: &str, body: &[u8]) -> Option<String> {
    if path == APPEND_STREAM {
        signer.open_stream(receiver, post(path)).map(|(header, _)| header)
    } else {
        signer.sign(Receiver::Node(receiver), post(path), body)
    }
}

#[tokio::test]
async fn a_call_that_is_not_signed_as_it_must_be_changes_nothing() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let victim = (leader + 1) % 3;
    let address = cluster.nodes[victim].addresses().raft.clone();
    let (admin, at_leader) = (cluster.admin(victim).await, cluster.admin(leader).await);
    let own: ClusterId =
        admin.get("/cluster/status").await.expect(200).text_of("cluster_id").parse().expect("an id is an id");
    let receiver = Receiver::Node(NodeId(cluster.nodes[victim].id));
    let number = cluster.nodes[victim].id;
    let sender = cluster.nodes[leader].id;
    let secret = cluster.secrets.cluster_hmac.as_str();
    let _ = admin.post("/tenants", &tenant("before")).await.expect(201);
    let before = status(&admin).await;

    let right = signer(sender, secret, Some(own), clock());
    let late = ManualClock::at(SystemClock.now());
    let early = late.now();
    let stale = signer(sender, secret, Some(own), Arc::new(ManualClock::at(early.plus_secs(-300))));
    let future = signer(sender, secret, Some(own), Arc::new(ManualClock::at(early.plus_secs(300))));
    let wrong_key = signer(sender, "another-secret-of-quite-enough-bytes", Some(own), clock());
    let of_pods = signer(sender, &cluster.secrets.watch_token, Some(own), clock());
    let foreign = ClusterId::from_uuid(uuid::Uuid::from_u128(7));
    let foreign = signer(sender, secret, Some(foreign), clock());
    for (path, body) in messages() {
        let signed = |signer: &Signatures| signer.sign(receiver, post(path), &body).expect("there is a secret");
        let good = signed(&right);
        let (claims, tag) = good.rsplit_once(';').expect("the tag is last");
        let time = good.split(';').nth(1).expect("the time is second");
        let other_time = (time.parse::<i64>().expect("milliseconds") ^ 1).to_string();
        let cases = [
            ("unsigned", None),
            ("empty", Some(String::new())),
            ("a wrong key", Some(signed(&wrong_key))),
            ("no tag", Some(format!("{claims};"))),
            ("a tag of one byte", Some(format!("{claims};{}", &tag[..2]))),
            ("a tag too many", Some(format!("{claims};{tag}{tag}"))),
            ("another sender", Some(good.replacen(&format!(";{sender};{number};"), &format!(";9;{number};"), 1))),
            ("another body", Some(right.sign(receiver, post(path), b"other").expect("there is a secret"))),
            ("another path", Some(right.sign(receiver, post("/else"), &body).expect("there is a secret"))),
            ("another method", right.sign(receiver, Call { method: "PUT", target: path }, &body)),
            ("any receiver", right.sign(Receiver::AnyNode, post(path), &body)),
            ("another receiver", right.sign(Receiver::Node(NodeId(sender)), post(path), &body)),
            ("another cluster", Some(signed(&foreign))),
            ("another time under the same tag", Some(good.replacen(time, &other_time, 1))),
            ("five minutes ago", Some(signed(&stale))),
            ("in five minutes", Some(signed(&future))),
        ];
        for (what, signature) in cases {
            let code = call(&address, path, signature.as_deref(), &body).await;
            assert_eq!(code, Code::Unauthenticated, "{path}: {what}");
        }
        // Known, and not for this.
        let code = call(&address, path, Some(&signed(&of_pods)), &body).await;
        assert_eq!(code, Code::PermissionDenied, "{path}: by what pods have");
        // A header of 64 KiB does not get that far: HTTP/2 itself refuses it.
        let code = call(&address, path, Some(&"a".repeat(64 << 10)), &body).await;
        assert_eq!(code, Code::Unavailable, "{path}: a header without end");
    }
    assert_eq!(status(&admin).await, before);
    assert_eq!(status(&at_leader).await, before);
    let ops = cluster.nodes[victim].ops_url();
    let of_messages = ["other_body", "other_receiver", "other_cluster", "stale"];
    for reason in ["unsigned", "malformed", "mismatch", "of_a_pod"].into_iter().chain(of_messages) {
        let refused = count(&ops, "hj_cp_peer_rpc_refused_total", &[("reason", reason)]).await;
        assert!(refused >= messages().len() as u64, "{reason}: {refused}");
    }
    let _ = admin.post("/tenants", &tenant("after")).await.expect(201);
}

#[tokio::test]
async fn a_replayed_call_is_refused_also_after_a_restart() {
    let mut cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let own: ClusterId =
        admin.get("/cluster/status").await.expect(200).text_of("cluster_id").parse().expect("an id is an id");
    let address = cluster.nodes[0].addresses().raft.clone();
    let signer = signer(2, &cluster.secrets.cluster_hmac, Some(own), clock());
    let mut captured = Vec::new();
    for (path, body) in messages() {
        let signature = signed(&signer, NodeId(1), path, &body);
        // Node 2 is no member; it is heard all the same, and told so.
        let first = if path == DESCRIBE { Code::Ok } else { Code::PermissionDenied };
        assert_eq!(call(&address, path, signature.as_deref(), &body).await, first, "{path}");
        assert_eq!(call(&address, path, signature.as_deref(), &body).await, Code::Unauthenticated, "{path} again");
        captured.push((path, body, signature));
    }
    let ops = cluster.nodes[0].ops_url();
    let replayed = count(&ops, "hj_cp_peer_rpc_refused_total", &[("reason", "replayed")]).await;
    assert_eq!(replayed, captured.len() as u64);
    cluster.nodes[0].kill();
    cluster.nodes[0].start().await;
    cluster.ready().await;
    for (path, body, signature) in captured {
        let code = call(&address, path, signature.as_deref(), &body).await;
        assert_eq!(code, Code::Unauthenticated, "{path} after a restart");
    }
    let (path, body) = (DESCRIBE, framed(&peer::DescribeRequest::default()));
    let fresh = signed(&signer, NodeId(1), path, &body);
    assert_eq!(call(&address, path, fresh.as_deref(), &body).await, Code::Ok);
}

/// Its time over, a captured call is too old; and it stays so when the node has forgotten that it saw it.
#[tokio::test]
async fn a_captured_call_is_of_no_use_after_its_time_either() {
    let mut cluster = Cluster::prepare(1, &[]);
    let wall_clock = WallClock::of(cluster.nodes[0].launch_mut());
    cluster.start_all().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    let own: ClusterId =
        admin.get("/cluster/status").await.expect(200).text_of("cluster_id").parse().expect("an id is an id");
    let (address, ops) = (cluster.nodes[0].addresses().raft.clone(), cluster.nodes[0].ops_url());
    let (path, body) = (DESCRIBE, framed(&peer::DescribeRequest::default()));
    let sign = |clock| {
        let signer = signer(2, &cluster.secrets.cluster_hmac, Some(own), clock);
        signer.sign(Receiver::Node(NodeId(1)), post(path), &body).expect("there is a secret")
    };
    let refused = async |reason| count(&ops, "hj_cp_peer_rpc_refused_total", &[("reason", reason)]).await;
    let captured = sign(clock());
    assert_eq!(call(&address, path, Some(&captured), &body).await, Code::Ok);
    wall_clock.set("+5s");
    assert_eq!(call(&address, path, Some(&captured), &body).await, Code::Unauthenticated, "within its time");
    assert_eq!(refused("replayed").await, 1);
    wall_clock.set("+31s");
    assert_eq!(call(&address, path, Some(&captured), &body).await, Code::Unauthenticated, "after it");
    assert_eq!(refused("stale").await, 1);
    // Callers that were silent for two windows are forgotten when a new one comes.
    wall_clock.set("+90s");
    let later = sign(Arc::new(ManualClock::at(SystemClock.now().plus_secs(90))));
    assert_eq!(call(&address, path, Some(&later), &body).await, Code::Ok);
    assert_eq!(call(&address, path, Some(&captured), &body).await, Code::Unauthenticated, "when it is forgotten");
    assert_eq!(refused("stale").await, 2);
}

#[tokio::test]
async fn data_of_another_cluster_or_node_is_refused_and_said_so() {
    let mut cluster = Cluster::start(3).await;
    // Another installation with the very same secrets.
    let mut other = Cluster::prepare(3, &[]);
    for (theirs, ours) in other.nodes.iter_mut().zip(&mut cluster.nodes) {
        theirs.launch_mut().env = ours.launch_mut().env.clone();
    }
    other.start_all().await;
    other.ready().await;
    let place = (cluster.leader().await + 1) % 3;
    assert_eq!(other.nodes[place].stop(PATIENCE).await, Some(0));
    other.kill_all();

    let admin = cluster.admin((place + 1) % 3).await;
    cluster.nodes[place].kill();
    let (own, foreign) = (cluster.nodes[place].data_dir(), other.nodes[place].data_dir());
    let aside = own.with_extension("own");
    std::fs::rename(&own, &aside).expect("the folder can be moved");
    std::fs::rename(&foreign, &own).expect("the folder can be moved");
    let before = status(&admin).await;
    cluster.nodes[place].start().await;
    until("the stray node says what is wrong", PATIENCE, async || {
        let log = cluster.nodes[place].process_mut().log();
        if log.contains("belongs to another cluster") { Ok(()) } else { Err("it does not".to_owned()) }
    })
    .await;
    let ready = web::send(web::client().get(format!("{}/readyz", cluster.nodes[place].ops_url()))).await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let _ = admin.post("/tenants", &tenant("meanwhile")).await.expect(201);
    let after = status(&admin).await;
    assert_eq!((before.0, before.2), (after.0, after.2), "term and leader");

    // Its own data under another node's id.
    cluster.nodes[place].kill();
    std::fs::remove_dir_all(&own).expect("the folder can be removed");
    std::fs::rename(&aside, &own).expect("the folder can be moved");
    let id = cluster.nodes[place].id;
    cluster.nodes[place].launch_mut().set("--node-id", &(id % 3 + 1).to_string());
    let refused = cluster.nodes[place].run_with_env(&[]).await;
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    assert!(refused.output.contains(&format!("belongs to node {id}")), "{}", refused.output);

    cluster.nodes[place].launch_mut().set("--node-id", &id.to_string());
    cluster.nodes[place].start().await;
    cluster.ready().await;
    let _ = cluster.admin(place).await.get("/tenants/meanwhile?consistency=linearizable").await.expect(200);
}

/// A node that was removed still has the secret, and perhaps does not know.
#[tokio::test]
async fn a_node_that_was_removed_has_no_say_and_the_term_stays() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let (gone, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let admin = cluster.admin(leader).await;
    let own: ClusterId =
        admin.get("/cluster/status").await.expect(200).text_of("cluster_id").parse().expect("an id is an id");
    let id = cluster.nodes[gone].id;
    cluster.nodes[gone].kill();
    let _ = admin.delete(&format!("/cluster/members/{id}?force=true")).await.expect(204);
    let at_other = cluster.admin(other).await;
    until("the other one knows", PATIENCE, async || {
        let (_, _, members, _) = status(&at_other).await;
        if members.as_array().map(Vec::len) == Some(2) { Ok(()) } else { Err(members.to_string()) }
    })
    .await;
    let before = status(&admin).await;
    let snapshot = absurd::snapshot_at(&admin, (1 << 63) - 1).await;

    // Each is sent twice: by the one that was removed, and by a stranger whom nobody ever added.
    let messages = |sender| raft_messages(sender, &snapshot, cluster.nodes[other].id);
    for sender in [id, 9] {
        let signer = signer(sender, &cluster.secrets.cluster_hmac, Some(own), clock());
        for place in [leader, other] {
            let address = cluster.nodes[place].addresses().raft.clone();
            let receiver = NodeId(cluster.nodes[place].id);
            for (path, body) in messages(sender) {
                let signature = signed(&signer, receiver, path, &body);
                let code = call(&address, path, signature.as_deref(), &body).await;
                assert_eq!(code, Code::PermissionDenied, "{path} by {sender}");
            }
        }
    }
    assert_eq!(status(&admin).await, before, "neither term nor leader nor members");
    assert_eq!(status(&at_other).await, before);
    let ops = cluster.nodes[other].ops_url();
    let refused = count(&ops, "hj_cp_peer_rpc_refused_total", &[("reason", "not_a_member")]).await;
    assert!(refused >= 2 * messages(id).len() as u64);
    // It comes up as it was, with its log and its vote, and changes nothing either.
    cluster.nodes[gone].start().await;
    until("it has been told", PATIENCE, async || {
        let log = cluster.nodes[gone].process_mut().log();
        if log.contains("stands for no election") { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let (term, named, ..) = status(&admin).await;
    assert_eq!((term, named), (before.0, before.1));
    let _ = admin.post("/tenants", &tenant("after-the-removal")).await.expect(201);

    // Nor is it told more where nobody leads; a member is.
    cluster.nodes[leader].kill();
    until("nobody leads", PATIENCE, async || {
        let status = at_other.try_get("/cluster/status").await.map_err(|error| error.to_string())?.json;
        if status["leader_id"].is_null() { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let (address, receiver) = (cluster.nodes[other].addresses().raft.clone(), NodeId(cluster.nodes[other].id));
    let cases = [(id, Code::PermissionDenied), (9, Code::PermissionDenied), (cluster.nodes[leader].id, Code::Ok)];
    for (sender, expected) in cases {
        let signer = signer(sender, &cluster.secrets.cluster_hmac, Some(own), clock());
        for (path, body) in questions() {
            let code = call(&address, path, signed(&signer, receiver, path, &body).as_deref(), &body).await;
            assert_eq!(code, expected, "{path} by {sender}");
        }
    }
}

/// What every member answers, whoever leads.
fn questions() -> Vec<(&'static str, Vec<u8>)> {
    let mut messages = messages();
    messages.retain(|(path, _)| [LIST_PODS, LIST_RECORDS].contains(path));
    messages
}

/// Whatever could raise the term, replace the log or the state, change something, or have a node tell what it knows:
/// `other` is a member.
fn raft_messages(sender: u64, snapshot: &Bytes, other: u64) -> Vec<(&'static str, Vec<u8>)> {
    let vote = Some(peer::Vote { term: (1 << 63) - 1, node_id: sender, committed: true });
    let last_log = Some(peer::LogId { term: (1 << 63) - 1, node_id: sender, index: (1 << 63) - 1 });
    let ask = |leadership_transfer, pre_vote| {
        let vote = Some(peer::Vote { term: (1 << 63) - 1, node_id: sender, committed: false });
        framed(&peer::VoteRequest { vote, last_log, leadership_transfer, pre_vote })
    };
    let mut messages = messages();
    messages.retain(|(path, _)| *path != DESCRIBE);
    messages.extend([(VOTE, ask(false, false)), (VOTE, ask(true, false)), (VOTE, ask(false, true))]);
    messages.push((
        APPEND,
        framed(&peer::AppendRequest { vote, previous: None, entries: Vec::new(), leader_commit: last_log }),
    ));
    let transfer_id = "00".to_owned();
    let whole = peer::SnapshotChunk { vote, transfer_id, data: snapshot.clone(), last: true, ..Default::default() };
    messages.push((SNAPSHOT, framed(&whole)));
    let spec = json!({ "peer_addr": "127.0.0.1:1", "source": "gossip", "feature_level": 99 });
    for it in [
        json!({ "remove": { "id": other, "caution": "forced" } }),
        json!({ "demote": { "id": other, "caution": "forced" } }),
        json!({ "transfer": { "to": other } }),
        json!({ "add": { "id": 8, "spec": spec } }),
        json!({ "join": { "id": 8, "spec": spec, "data": "blank" } }),
    ] {
        messages.push((CHANGE_MEMBERS, change(&it)));
    }
    messages
}
