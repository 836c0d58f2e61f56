use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use controlplane_core::model::{TenantSettings, TenantSpec, TenantStatus};
use controlplane_core::{Actor, Command, Mutation};
use shared_proto::status::error_code;
use shared_proto::watch::event::Kind;
use shared_proto::watch::watch_client::WatchClient;
use shared_proto::watch::{Ack, Event, Hello, PodMessage, Position, RejectedResource, pod_message};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Request, Streaming};
use vocab::{Keyring, MasterKey, NodeId, Revision, SystemClock};

use super::*;
use crate::control_plane::{ControlPlane, NodeConfig, start};

async fn node() -> (tempfile::TempDir, ControlPlane, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (raft_listener, watch_listener) = (bind(), bind());
    let watch_addr = watch_listener.local_addr().unwrap();
    let config = NodeConfig {
        node_id: NodeId(1),
        advertise_addr: raft_listener.local_addr().unwrap().to_string(),
        raft_listener,
        watch_listener,
        advertise_admin_url: None,
        bootstrap: crate::membership::Bootstrap::LowestId,
        admission: crate::membership::Admission::Learner,
        peers: BTreeMap::new(),
        data_dir: dir.path().join("data"),
        hmac_secrets: Vec::new(),
        watch_token: Some(Secret::new("token".to_owned())),
        tls: None,
        heartbeat: Duration::from_millis(100),
        election_timeout_min: Duration::from_millis(300),
        election_timeout_max: Duration::from_millis(600),
        snapshot_every: 10_000,
    };
    let keyring = Keyring::new(MasterKey::new([1; 32]), Vec::new());
    let node = start(config, keyring, Arc::new(SystemClock)).await.unwrap();
    node.leadership().wait_for(|leads| *leads).await.unwrap();
    (dir, node, watch_addr)
}

fn create_tenant(slug: &str) -> Command {
    let spec =
        TenantSpec { display_name: slug.to_owned(), status: TenantStatus::Active, settings: TenantSettings::default() };
    Command::new(Actor::System, Mutation::TenantCreate { slug: slug.parse().unwrap(), spec })
}

struct Pod {
    out: mpsc::Sender<PodMessage>,
    events: Streaming<Event>,
}

impl Pod {
    async fn connect(addr: SocketAddr, token: &str, resume_after: Option<Position>) -> Result<Self, tonic::Status> {
        let (out, messages) = mpsc::channel(8);
        let hello =
            Hello { pod_id: "pod-a".to_owned(), version: "1".to_owned(), address: "a:1".to_owned(), resume_after };
        out.send(PodMessage { kind: Some(pod_message::Kind::Hello(hello)) }).await.unwrap();
        let mut request = Request::new(ReceiverStream::new(messages));
        let bearer = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
        request.metadata_mut().insert("authorization", bearer);
        let mut client = WatchClient::connect(format!("http://{addr}")).await.unwrap();
        Ok(Self { out, events: client.subscribe(request).await?.into_inner() })
    }

    /// The next event that is not a heartbeat.
    async fn next(&mut self) -> Kind {
        loop {
            match self.events.message().await.unwrap().unwrap().kind.unwrap() {
                Kind::Heartbeat(_) => {}
                other => return other,
            }
        }
    }

    async fn acknowledge(&self, revision: Revision) {
        self.report(Ack { revision: revision.0, ..Ack::default() }).await;
    }

    async fn report(&self, ack: Ack) {
        self.out.send(PodMessage { kind: Some(pod_message::Kind::Ack(ack)) }).await.unwrap();
    }

    /// Reads a whole snapshot; the position and how many resources.
    async fn snapshot(&mut self) -> (Position, usize) {
        let Kind::SnapshotBegin(begin) = self.next().await else { panic!("no snapshot begins") };
        let mut count = 0;
        loop {
            match self.next().await {
                Kind::SnapshotPart(part) => count += part.resources.len(),
                Kind::SnapshotEnd(end) => {
                    assert_eq!(end.at, begin.at);
                    assert_eq!(end.resource_count, count as u64);
                    return (end.at.unwrap(), count);
                }
                other => panic!("{other:?} inside a snapshot"),
            }
        }
    }

    async fn delta_of(&mut self, revision: Revision) -> usize {
        loop {
            let Kind::Delta(delta) = self.next().await else { panic!("not a delta") };
            assert!(delta.revision <= revision.0);
            if delta.revision == revision.0 {
                return delta.changes.len();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_gets_a_snapshot_then_deltas_and_can_resume() {
    let (_dir, node, addr) = node().await;
    node.propose(create_tenant("acme")).await.unwrap();
    let mut pod = Pod::connect(addr, "token", None).await.unwrap();
    let (first, resources) = pod.snapshot().await;
    assert_eq!(resources, 2, "the tenant and its key");

    let applied = node.propose(create_tenant("globex")).await.unwrap();
    assert_eq!(pod.delta_of(applied.revision).await, 2);
    let wait = {
        let node = node.clone();
        tokio::spawn(async move { node.wait_for_fleet(applied.revision, Duration::from_secs(20)).await })
    };
    pod.acknowledge(applied.revision).await;
    assert!(wait.await.unwrap().is_complete());
    let fleet = node.fleet().await;
    assert_eq!(fleet.pods[0].pod.acknowledged_revision, applied.revision);

    // It comes back with what it has and gets exactly the rest.
    drop(pod);
    let third = node.propose(create_tenant("initech")).await.unwrap();
    let resume = Position { revision: applied.revision.0, ..first.clone() };
    let mut pod = Pod::connect(addr, "token", Some(resume)).await.unwrap();
    assert_eq!(pod.delta_of(third.revision).await, 2);

    // A position of another cluster is worth nothing.
    let foreign = Position { cluster_id: uuid::Uuid::nil().to_string(), revision: third.revision.0 };
    let mut pod = Pod::connect(addr, "token", Some(foreign)).await.unwrap();
    let (position, resources) = pod.snapshot().await;
    // The snapshot may be one that was encoded for somebody before; the deltas after it follow. What the node itself puts
    // into the log comes at any time.
    if position == first {
        assert_eq!(resources, 2);
        assert_eq!(pod.delta_of(applied.revision).await, 2);
        assert_eq!(pod.delta_of(third.revision).await, 2);
    } else {
        assert!(position.revision >= third.revision.0, "{position:?}");
        assert_eq!(resources, 6);
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_does_not_acknowledge_is_named() {
    let (_dir, node, addr) = node().await;
    let mut pod = Pod::connect(addr, "token", None).await.unwrap();
    pod.snapshot().await;
    let applied = node.propose(create_tenant("acme")).await.unwrap();
    let wait = node.wait_for_fleet(applied.revision, Duration::from_millis(50)).await;
    assert_eq!(wait.laggards, ["pod-a".parse().unwrap()]);
    node.shutdown().await;
}

/// A pod of an older build lists all that it rejects, its signing keys last: it is heard, and the keys are kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_rejects_very_much_is_heard() {
    let (_dir, node, addr) = node().await;
    let mut pod = Pod::connect(addr, "token", None).await.unwrap();
    let (at, _) = pod.snapshot().await;
    let rejected = |resource: String| RejectedResource { resource, reason: "x".repeat(100) };
    let mut all: Vec<_> = (0..5000).map(|n| rejected(format!("tenants/acme/clients/client-{n}"))).collect();
    all.push(rejected("tenants/acme/keys/k1".to_owned()));
    pod.report(Ack { revision: at.revision, rejected: all, ..Ack::default() }).await;
    assert!(node.wait_for_fleet(Revision(at.revision), Duration::from_secs(20)).await.is_complete());
    // It goes on on the same stream.
    let applied = node.propose(create_tenant("acme")).await.unwrap();
    assert_eq!(pod.delta_of(applied.revision).await, 2);
    let heard = node.fleet().await.pods.remove(0).pod;
    assert_eq!((heard.acknowledged_revision.0, heard.rejected_count), (at.revision, 5001));
    assert_eq!(heard.rejected[0].resource, "tenants/acme/keys/k1");
    assert!(heard.rejected.len() <= 100 && !heard.rejects_unlisted_keys());

    // One of this build says how many there are.
    let listed = vec![rejected("tenants/acme/keys/k1".to_owned())];
    let ack = Ack { revision: applied.revision.0, rejected: listed, rejected_count: Some(9), ..Ack::default() };
    pod.report(ack).await;
    assert!(node.wait_for_fleet(applied.revision, Duration::from_secs(20)).await.is_complete());
    let heard = node.fleet().await.pods.remove(0).pod;
    assert!(heard.rejected_count == 9 && heard.rejects_unlisted_keys());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_come_and_shutdown_ends_the_stream() {
    let (_dir, node, addr) = node().await;
    let mut pod = Pod::connect(addr, "token", None).await.unwrap();
    let (at, _) = pod.snapshot().await;
    let beat = loop {
        if let Kind::Heartbeat(beat) = pod.events.message().await.unwrap().unwrap().kind.unwrap() {
            break beat;
        }
    };
    // The node may have gone on since: that the pod is there is written down.
    assert!(beat.has_leader && beat.commit_revision >= at.revision, "{beat:?}");
    node.shutdown().await;
    let end = loop {
        match pod.events.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end carries a status"),
            Err(end) => break end,
        }
    };
    assert_eq!(end.code(), tonic::Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_the_token_is_served() {
    let (_dir, node, addr) = node().await;
    for token in ["", "wrong", "toke", "tokenn"] {
        let Err(refused) = Pod::connect(addr, token, None).await else { panic!("{token:?} was accepted") };
        assert_eq!(error_code(&refused), Some(ErrorCode::Unauthenticated));
    }
    node.shutdown().await;
}
