//! Who knocks at the doors of nodes is on record, and cannot fill it.

use std::collections::BTreeMap;
use std::sync::Arc;

use controlplane_daemon::signature::layer::MAX_BODY_BYTES;
use controlplane_daemon::signature::{HEADER, Receiver, Signatures};
use serde_json::{Value, json};
use shared_proto::peer;
use tests::cluster::Cluster;
use tests::counters::count;
use tests::peer_call::{APPEND_STREAM, DESCRIBE, VOTE, call, clock, framed, post, signer};
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};
use tonic::Code;
use vocab::{Clock as _, ClusterId, ManualClock, NodeId, SystemClock};

use super::{FLAGS, TOKEN, export};

const JOIN: &str = "/api/v1/cluster/join";
/// Of a node that is well, unless a minute ends just then: one more.
const AT_MOST: usize = 2;

async fn join(node: &str, signature: Option<&str>, body: &str) -> Answer {
    let mut request = web::client().post(format!("{node}{JOIN}")).body(body.to_owned());
    if let Some(signature) = signature {
        request = request.header(HEADER, signature);
    }
    web::send(request).await
}

#[tokio::test]
async fn knocking_is_on_record_and_cannot_flood_it() {
    let cluster = Cluster::start_with(1, FLAGS).await;
    let admin = cluster.admin(0).await;
    let (node, peers) = (cluster.nodes[0].admin_url(), cluster.nodes[0].addresses().raft.clone());

    // Without a signature: until it has to wait.
    let mut refused = 0;
    let told = loop {
        let answer = join(&node, None, "{}").await;
        if answer.status != 401 {
            break answer;
        }
        refused += 1;
        assert!(refused < 1_000, "it is answered for ever");
    };
    assert_eq!(told.expect(429).code(), "too_many_requests");
    for _ in 0..100 {
        assert_eq!(call(&peers, DESCRIBE, None, &[]).await, Code::Unauthenticated);
    }
    // A node at the same address is a node. This one asks for another, which is refused with the reason, and then for itself.
    let seventh = signer(7, &cluster.secrets.cluster_hmac, None, clock());
    let body = |id: u64| {
        let spec = json!({ "peer_addr": "127.0.0.1:7", "source": "gossip", "feature_level": 99 });
        json!({ "join": { "id": id, "spec": spec, "data": "blank" } }).to_string()
    };
    for (id, status) in [(8, 403), (7, 200)] {
        let body = body(id);
        let signature = seventh.sign(Receiver::AnyNode, post(JOIN), body.as_bytes());
        let _ = join(&node, signature.as_deref(), &body).await.expect(status);
    }
    // Whoever says that it is where node 1 is, is refused by the leader, each time.
    until("node 1 is known by its address", PATIENCE, async || {
        let members = admin.get("/cluster/members").await.expect(200).json;
        if members["items"][0]["joined_at"].is_string() { Ok(()) } else { Err(members.to_string()) }
    })
    .await;
    let spec = json!({ "peer_addr": peers, "source": "gossip", "feature_level": 99 });
    let body = json!({ "join": { "id": 9, "spec": spec, "data": "blank" } }).to_string();
    let ninth = signer(9, &cluster.secrets.cluster_hmac, None, clock());
    for _ in 0..20 {
        let signature = ninth.sign(Receiver::AnyNode, post(JOIN), body.as_bytes());
        let _ = join(&node, signature.as_deref(), &body).await.expect(403);
    }
    // What is noted goes into the log in order: behind this one nothing is missing.
    let _ = admin.with_token("made-up").get("/tenants").await.expect(401);
    let records = until("the last one is on record", PATIENCE, async || {
        let text = export(&admin, TOKEN).await?;
        let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let is_there = records.iter().any(|record| record["action"] == "request.refused");
        if is_there { Ok(records) } else { Err(format!("{} records", records.len())) }
    })
    .await;
    let notes = |action: &str, why: &str| {
        let of = |record: &&Value| {
            record["action"] == action && record["note"]["why"].as_str().is_some_and(|it| it.contains(why))
        };
        records.iter().filter(of).map(|record| record["note"].clone()).collect::<Vec<_>>()
    };
    for (action, why, address) in [
        ("join.refused", "not signed", "127.0.0.1"),
        ("join.refused", "for itself only", "127.0.0.1"),
        ("join.refused", "is the address of node 1", peers.as_str()),
        ("peer.refused", "not signed", "127.0.0.1"),
    ] {
        let notes = notes(action, why);
        assert!((1..=AT_MOST).contains(&notes.len()), "{action}, {why}: {notes:#?}");
        assert_eq!(notes[0]["address"], address);
    }
    assert!(records.iter().all(|record| record["action"] != "audit.dropped"), "nothing was lost over it");
    // The log has who asked, whatever address it gave for its own.
    let log = cluster.nodes[0].process().log();
    let own = format!("address=\"{peers}\"");
    for words in [
        &["a call between nodes was refused", JOIN, "address=\"127.0.0.1\""][..],
        &["a node that asked to join was refused", "for itself only", "from=\"127.0.0.1\""],
        &["a node that asked to join was refused", &own, "from=\"127.0.0.1\""],
    ] {
        assert!(log.lines().any(|line| words.iter().all(|word| line.contains(word))), "{words:?}: {log}");
    }
}

/// Whatever is wrong with a call, it is counted by that, logged, and on record with the address that it came from.
#[tokio::test]
async fn a_call_between_nodes_that_is_turned_away_is_counted_and_on_record_by_its_reason() {
    let cluster = Cluster::start_with(1, FLAGS).await;
    let admin = cluster.admin(0).await;
    let (peers, ops) = (cluster.nodes[0].addresses().raft.clone(), cluster.nodes[0].ops_url());
    let own: ClusterId =
        admin.get("/cluster/status").await.expect(200).text_of("cluster_id").parse().expect("an id is an id");
    let (secret, here) = (cluster.secrets.cluster_hmac.as_str(), Receiver::Node(NodeId(1)));
    let body = framed(&peer::DescribeRequest::default());
    let vote = framed(&peer::VoteRequest::default());
    let describe = |by: &Signatures| by.sign(here, post(DESCRIBE), &body);
    let second = signer(2, secret, Some(own), clock());
    let behind = Arc::new(ManualClock::at(SystemClock.now().plus_secs(-300)));
    let captured = describe(&second);
    assert_eq!(call(&peers, DESCRIBE, captured.as_deref(), &body).await, Code::Ok);
    let foreign = ClusterId::from_uuid(uuid::Uuid::from_u128(7));
    let another_secret = "another-secret-of-quite-enough-bytes";
    let large = vec![0; MAX_BODY_BYTES + 1];
    let too_large = second.sign(here, post(DESCRIBE), &large);
    // (the metric's reason, a part of the record's, what is called, with which signature, and which body)
    let cases = [
        ("unsigned", "not signed", DESCRIBE, None, &body),
        ("malformed", "cannot be read", DESCRIBE, Some("made-up".to_owned()), &body),
        ("mismatch", "does not match", DESCRIBE, describe(&signer(2, another_secret, Some(own), clock())), &body),
        (
            "of_a_pod",
            "what pods have",
            DESCRIBE,
            describe(&signer(2, &cluster.secrets.watch_token, Some(own), clock())),
            &body,
        ),
        ("stale", "older than the window", DESCRIBE, describe(&signer(2, secret, Some(own), behind)), &body),
        ("replayed", "seen before", DESCRIBE, captured, &body),
        (
            "other_receiver",
            "another node",
            DESCRIBE,
            second.sign(Receiver::Node(NodeId(9)), post(DESCRIBE), &body),
            &body,
        ),
        ("other_cluster", "another cluster", DESCRIBE, describe(&signer(2, secret, Some(foreign), clock())), &body),
        ("other_body", "the one that was signed", DESCRIBE, second.sign(here, post(DESCRIBE), b"another"), &body),
        ("too_large", "too large", DESCRIBE, too_large, &large),
        ("not_a_member", "no member", VOTE, second.sign(here, post(VOTE), &vote), &vote),
    ];
    // Within a stream that was opened as it must be, too: a message that does not match.
    let mismatches = async || count(&ops, "hj_cp_peer_rpc_refused_total", &[("reason", "mismatch")]).await;
    let opening = signer(1, secret, Some(own), clock()).open_stream(NodeId(1), post(APPEND_STREAM));
    let (opening, _) = opening.expect("there is a secret");
    let _ = call(&peers, APPEND_STREAM, Some(&opening), &framed(&peer::SignedAppend::default())).await;
    until("its message is refused", PATIENCE, async || match mismatches().await {
        1 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    for (reason, _, path, signature, body) in &cases {
        let before = count(&ops, "hj_cp_peer_rpc_refused_total", &[("reason", *reason)]).await;
        let code = call(&peers, path, signature.as_deref(), body).await;
        assert!([Code::Unauthenticated, Code::PermissionDenied].contains(&code), "{reason}: {code}");
        assert_eq!(count(&ops, "hj_cp_peer_rpc_refused_total", &[("reason", *reason)]).await, before + 1, "{reason}");
    }
    let notes = until("all are on record", PATIENCE, async || {
        let text = export(&admin, TOKEN).await?;
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let refused = records.filter(|record| record["action"] == "peer.refused");
        let kind = |it: &Value| (it["note"]["why"].to_string(), it["note"]["address"].to_string());
        let notes: BTreeMap<_, _> = refused.map(|it| (kind(&it), it["note"].clone())).collect();
        if notes.len() >= cases.len() { Ok(notes) } else { Err(format!("{notes:#?}")) }
    })
    .await;
    for (reason, why, ..) in &cases {
        let of: Vec<_> = notes.iter().filter(|((known, _), _)| known.contains(why)).map(|(_, note)| note).collect();
        assert_eq!(of.len(), 1, "{reason}: {notes:#?}");
        assert_eq!((&of[0]["address"], &of[0]["count"]), (&json!("127.0.0.1"), &json!(1)), "{reason}");
    }
    let log = cluster.nodes[0].process().log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("a call between nodes was refused")).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("127.0.0.1")), "{lines:#?}");
}

/// A node that holds nothing knows nobody: so it demands to hear where a caller belongs before it gives anything away.
#[tokio::test]
async fn a_node_of_no_cluster_turns_away_who_names_none_and_has_it_on_record_once_it_is_in_one() {
    let mut cluster = Cluster::start_with(1, FLAGS).await;
    let admin = cluster.admin(0).await;
    let place = cluster.prepare_node(2, &["--join-only"]);
    cluster.nodes[place].start().await;
    let (peers, ops) = (cluster.nodes[place].addresses().raft.clone(), cluster.nodes[place].ops_url());
    let vote = framed(&peer::VoteRequest::default());
    let third = signer(3, &cluster.secrets.cluster_hmac, None, clock());
    let signature = third.sign(Receiver::Node(NodeId(2)), post(VOTE), &vote);
    assert_eq!(call(&peers, VOTE, signature.as_deref(), &vote).await, Code::Unauthenticated);
    assert_eq!(count(&ops, "hj_cp_peer_rpc_refused_total", &[("reason", "no_cluster")]).await, 1);
    let why = "does not say which cluster it belongs to";
    let log = cluster.nodes[place].process().log();
    let told = log.lines().any(|line| line.contains(why) && line.contains("address=\"127.0.0.1\""));
    assert!(told, "{log}");

    let _ = admin.post("/cluster/members", &json!({ "id": 2, "peer_addr": peers })).await.expect(201);
    until("it is on record", PATIENCE, async || {
        let text = export(&admin, TOKEN).await?;
        let mut records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let of_it = |it: &Value| {
            let note = &it["note"];
            it["action"] == "peer.refused"
                && it["node"] == 2
                && note["address"] == "127.0.0.1"
                && note["why"].as_str().is_some_and(|told| told.contains(why))
        };
        records.any(|it| of_it(&it)).then_some(()).ok_or(text)
    })
    .await;
}
