//! The stream of appends between nodes: what it refuses, and that a follower that is down is left in peace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use controlplane_daemon::signature::stream::Tags;
use controlplane_daemon::signature::{Call, HEADER, Signatures};
use prost::Message as _;
use shared_proto::peer::append_reply::Outcome;
use shared_proto::peer::peer_client::PeerClient;
use shared_proto::peer::{AppendReply, AppendRequest, SignedAppend, Vote};
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use vocab::{ClusterId, NodeId, Secret, SystemClock};

use super::tenant;

const CALL: Call<'_> = Call { method: "POST", target: "/hellojohn.peer.v1.Peer/AppendStream" };

/// Makes a tag that is not right.
type Forge<'a> = Box<dyn Fn(&mut Tags) -> Bytes + 'a>;

/// Sends messages on a stream that `header` opens; the answers up to the first error.
async fn stream(address: &str, header: &str, messages: Vec<SignedAppend>) -> (Vec<AppendReply>, Option<Status>) {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is a URI's authority");
    let channel = endpoint.connect().await.expect("the node listens");
    let mut request = tonic::Request::new(futures::stream::iter(messages));
    request.metadata_mut().insert(HEADER, header.parse().expect("a signature is ASCII"));
    let mut replies = match PeerClient::new(channel).append_stream(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return (Vec::new(), Some(status)),
    };
    let mut answers = Vec::new();
    loop {
        match replies.message().await {
            Ok(Some(answer)) => answers.push(answer),
            Ok(None) => return (answers, None),
            Err(status) => return (answers, Some(status)),
        }
    }
}

#[tokio::test]
async fn a_message_that_is_not_the_next_of_its_stream_ends_it_and_changes_nothing() {
    let mut cluster = Cluster::prepare(3, &[]);
    cluster.be_patient();
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    // A member calls the leader: whoever is none is not heard at all.
    let (to, from) = (NodeId(cluster.nodes[leader].id), NodeId(cluster.nodes[(leader + 1) % 3].id));
    let admin = cluster.admin(leader).await;
    let before = admin.get("/cluster/status").await.expect(200).json;
    let own: ClusterId = before["cluster_id"].as_str().and_then(|id| id.parse().ok()).expect("an id is an id");
    let known = tokio::sync::watch::Sender::new(Some(own)).subscribe();
    let secrets = [Secret::new(cluster.secrets.cluster_hmac.clone())];
    let signatures = Signatures::new(from, &secrets, known, Arc::new(SystemClock));
    let address = &cluster.nodes[leader].addresses().raft;
    let append = |term: u64| {
        let vote = Vote { term, node_id: from.0, committed: true };
        Bytes::from(AppendRequest { vote: Some(vote), ..AppendRequest::default() }.encode_to_vec())
    };
    let high = before["term"].as_u64().expect("a term") + 1000;

    // Signed as it must be, of a leader of long ago: it is answered.
    let (header, mut tags) = signatures.open_stream(to, CALL).expect("there is a secret");
    let old = append(0);
    let good = SignedAppend { signature: Bytes::copy_from_slice(tags.sign(&old).as_ref()), append: old };
    let (answers, end) = stream(address, &header, vec![good.clone()]).await;
    assert!(matches!(answers[..], [AppendReply { outcome: Some(Outcome::HigherVote(_)), .. }]), "{answers:?} {end:?}");
    let (answers, end) = stream(address, &header, vec![good.clone()]).await;
    assert_eq!(
        (answers.len(), end.expect("it is refused").code()),
        (0, Code::Unauthenticated),
        "the same opening again"
    );

    // Of a leader that would take over, if it were believed.
    let cases: [(&str, Forge<'_>); 4] = [
        ("no tag", Box::new(|_| Bytes::new())),
        ("another message's tag", Box::new(|tags| Bytes::copy_from_slice(tags.sign(&append(1)).as_ref()))),
        (
            "the second message's tag",
            Box::new(|tags| {
                let _ = tags.sign(&append(1));
                Bytes::copy_from_slice(tags.sign(&append(high)).as_ref())
            }),
        ),
        ("another stream's tag", Box::new(|_| good.signature.clone())),
    ];
    for (what, signature) in cases {
        let (header, mut tags) = signatures.open_stream(to, CALL).expect("there is a secret");
        let message = SignedAppend { append: append(high), signature: signature(&mut tags) };
        let (answers, end) = stream(address, &header, vec![message]).await;
        assert_eq!((answers.len(), end.expect("it is refused").code()), (0, Code::Unauthenticated), "{what}");
    }
    // The next of its stream, of a term that no cluster comes to.
    let (header, mut tags) = signatures.open_stream(to, CALL).expect("there is a secret");
    let absurd = append((1 << 63) - 1);
    let signature = Bytes::copy_from_slice(tags.sign(&absurd).as_ref());
    let (answers, end) = stream(address, &header, vec![SignedAppend { append: absurd, signature }]).await;
    assert_eq!((answers.len(), end.expect("it is refused").code()), (0, Code::InvalidArgument));
    let after = admin.get("/cluster/status").await.expect(200).json;
    assert_eq!((&after["term"], &after["leader_id"]), (&before["term"], &before["leader_id"]));
    let _ = admin.post("/tenants", &tenant("after")).await.expect(201);
}

#[tokio::test]
async fn a_follower_that_is_down_is_called_no_more_often_than_heartbeats_are_due() {
    // A heartbeat tries once, and once more to connect; the stream of appends pauses longer and longer.
    const CALLS_PER_HEARTBEAT: u64 = 4;
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let dead = (leader + 1) % 3;
    let admin = cluster.admin(leader).await;
    let address = cluster.nodes[dead].addresses().raft.clone();
    cluster.nodes[dead].kill();
    // In its place somebody who hangs up on every caller.
    let listener = until("its address is free", PATIENCE, async || {
        tokio::net::TcpListener::bind(&address).await.map_err(|why| why.to_string())
    })
    .await;
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let counting = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let begin = Instant::now();
    for number in 0..100 {
        let _ = admin.post("/tenants", &tenant(&format!("without-{number}"))).await.expect(201);
    }
    until("some heartbeats were due", PATIENCE, async || {
        if begin.elapsed().as_millis() > 2_000 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let heartbeats = u64::try_from(begin.elapsed().as_millis()).expect("a test is short") / 100;
    let calls = calls.load(Ordering::Relaxed);
    counting.abort();
    // Only then is the address free.
    assert!(counting.await.is_err_and(|why| why.is_cancelled()));
    assert!(calls > 0, "nobody called");
    assert!(calls <= CALLS_PER_HEARTBEAT * heartbeats, "{calls} calls in the time of {heartbeats} heartbeats");

    cluster.nodes[dead].start().await;
    cluster.nodes[dead].ready().await;
    let back = cluster.admin(dead).await;
    until("it has caught up", PATIENCE, async || {
        let found = back.get("/tenants/without-99").await;
        if found.status == 200 { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}
