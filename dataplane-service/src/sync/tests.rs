//! The subscriber against a node that says what each test wants, over a real socket.

use std::net::SocketAddr;
use std::pin::Pin;

use futures::{FutureExt as _, Stream, StreamExt as _};
use shared_proto::watch::watch_server::{Watch, WatchServer};
use shared_proto::watch::{self, event, pod_message};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status as Refusal, Streaming};
use uuid::Uuid;
use vocab::{Keyring, MasterKey, Secret, SystemClock};

use super::*;
use crate::store::migrate::Mode;
use crate::store::pool::{Limits, PodPools};

/// Only what is broken takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// One stream that a pod opened, in the hands of the test.
struct Opened {
    hello: watch::Hello,
    from_pod: Streaming<watch::PodMessage>,
    to_pod: mpsc::Sender<Result<watch::Event, Refusal>>,
}

impl Opened {
    async fn say(&self, kind: event::Kind) {
        self.to_pod.send(Ok(watch::Event { kind: Some(kind) })).await.unwrap();
    }

    async fn snapshot(&self, revision: u64, slugs: &[&str]) {
        let at = Some(position(revision));
        self.say(event::Kind::SnapshotBegin(watch::SnapshotBegin { at: at.clone() })).await;
        for slug in slugs {
            self.say(event::Kind::SnapshotPart(watch::SnapshotPart { resources: vec![tenant(slug)] })).await;
        }
        let resource_count = slugs.len() as u64;
        self.say(event::Kind::SnapshotEnd(watch::SnapshotEnd { at, resource_count })).await;
    }

    async fn delta(&self, revision: u64, slug: &str) {
        let change = watch::Change { kind: Some(watch::change::Kind::Put(tenant(slug))) };
        self.say(event::Kind::Delta(watch::Delta {
            revision,
            changes: vec![change],
            stamped_at_ms: 0,
            traceparent: None,
        }))
        .await;
    }

    async fn acknowledged(&mut self, revision: u64) -> watch::Ack {
        loop {
            if let Some(pod_message::Kind::Ack(ack)) = self.from_pod.message().await.unwrap().unwrap().kind
                && ack.revision == revision
            {
                return ack;
            }
        }
    }
}

struct Node(mpsc::Sender<Opened>);

#[tonic::async_trait]
impl Watch for Node {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<watch::Event, Refusal>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<watch::PodMessage>>,
    ) -> Result<Response<Self::SubscribeStream>, Refusal> {
        if request.metadata().get("authorization").is_none_or(|value| value != "Bearer t0k3n") {
            return Err(Refusal::unauthenticated("no token"));
        }
        let mut from_pod = request.into_inner();
        let Some(pod_message::Kind::Hello(hello)) = from_pod.message().await?.and_then(|message| message.kind) else {
            return Err(Refusal::invalid_argument("no hello"));
        };
        let (to_pod, events) = mpsc::channel(16);
        self.0.send(Opened { hello, from_pod, to_pod }).await.map_err(|_| Refusal::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(events).boxed()))
    }
}

async fn node() -> (SocketAddr, mpsc::Receiver<Opened>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (streams, opened) = mpsc::channel(4);
    let server = tonic::transport::Server::builder().add_service(WatchServer::new(Node(streams)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, opened)
}

fn cluster() -> String {
    Uuid::from_u128(77).to_string()
}

fn position(revision: u64) -> watch::Position {
    watch::Position { cluster_id: cluster(), revision }
}

fn tenant(slug: &str) -> watch::Resource {
    let id = slug.bytes().fold(1_u128, |id, byte| id * 31 + u128::from(byte));
    watch::Resource {
        kind: Some(watch::resource::Kind::Tenant(watch::Tenant {
            id: Uuid::from_u128(id).to_string(),
            slug: slug.into(),
            status: watch::TenantStatus::Active.into(),
            issuer_mode: watch::IssuerMode::Path.into(),
            lifetimes: Some(watch::Lifetimes::default()),
            ..Default::default()
        })),
    }
}

fn keyring() -> Keyring {
    Keyring::new(MasterKey::new([1; 32]), vec![])
}

fn identity() -> PodIdentity {
    PodIdentity {
        pod_id: "pod-1".parse().unwrap(),
        address: "127.0.0.1:1".into(),
        token: Some(Secret::new("t0k3n".into())),
        tls: None,
    }
}

struct Pod {
    directory: Arc<LiveDirectory>,
    status: Arc<Status>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Pod {
    fn start(node: SocketAddr, files: Option<Files>) -> Self {
        let loaded = files.as_ref().and_then(|files| files.state.load(&keyring()).unwrap());
        let limits = Limits { per_tenant: 1, total: 1, idle: Duration::from_secs(1) };
        let pools = PodPools::new(limits, keyring(), Mode::Off);
        let (directory, status, stop) = (Arc::default(), Arc::default(), CancellationToken::new());
        let sync = Sync {
            endpoints: vec![format!("http://{node}").parse().unwrap()],
            identity: identity(),
            directory: Arc::clone(&directory),
            status: Arc::clone(&status),
            clock: Arc::new(SystemClock),
            surroundings: Surroundings { keyring: keyring(), public_url: "https://id.example".parse().unwrap(), pools },
            files,
            loaded,
        };
        Self { directory, status, task: tokio::spawn(sync.run(stop.clone())), stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_makes_ready_and_changes_are_acknowledged_after_they_show() {
    let (address, mut opened) = node().await;
    let pod = Pod::start(address, None);
    let mut stream = opened.recv().await.unwrap();
    assert_eq!((stream.hello.pod_id.as_str(), &stream.hello.resume_after), ("pod-1", &None));
    assert!(pod.status.why_not_ready().is_some());

    stream.snapshot(5, &["acme", "beta"]).await;
    assert!(stream.acknowledged(5).await.rejected.is_empty());
    assert!(pod.status.why_not_ready().is_none());
    assert_eq!(pod.directory.load().tenant_count(), 2);

    stream.delta(6, "gamma").await;
    stream.acknowledged(6).await;
    assert!(pod.directory.load().by_slug("gamma").is_some());
    stream.delta(7, "No Slug").await;
    assert_eq!(stream.acknowledged(7).await.rejected.len(), 1);
    pod.stop().await;
}

#[tokio::test]
async fn a_broken_stream_is_resumed_and_a_reset_starts_over() {
    let (address, mut opened) = node().await;
    let pod = Pod::start(address, None);
    let mut first = opened.recv().await.unwrap();
    first.snapshot(5, &["acme"]).await;
    first.acknowledged(5).await;
    drop(first);

    let mut second = opened.recv().await.unwrap();
    assert_eq!(second.hello.resume_after, Some(position(5)));
    second.delta(6, "beta").await;
    second.acknowledged(6).await;
    second.say(event::Kind::Reset(watch::Reset { reason: "compacted".into() })).await;
    // What was there is served until the new state is complete.
    second.snapshot(20, &["gamma"]).await;
    second.acknowledged(20).await;
    let directory = pod.directory.load();
    assert!(directory.by_slug("gamma").is_some() && directory.by_slug("acme").is_none());
    pod.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_miscounts_and_a_change_out_of_order_end_the_stream() {
    let (address, mut opened) = node().await;
    let pod = Pod::start(address, None);
    let first = opened.recv().await.unwrap();
    let at = Some(position(5));
    first.say(event::Kind::SnapshotBegin(watch::SnapshotBegin { at: at.clone() })).await;
    first.say(event::Kind::SnapshotEnd(watch::SnapshotEnd { at, resource_count: 1 })).await;

    let mut second = opened.recv().await.unwrap();
    assert_eq!(second.hello.resume_after, None);
    assert!(pod.status.why_not_ready().is_some());
    second.snapshot(5, &["acme"]).await;
    second.acknowledged(5).await;
    second.delta(7, "beta").await;

    let third = opened.recv().await.unwrap();
    assert_eq!(third.hello.resume_after, Some(position(5)));
    third.delta(5, "beta").await;
    let fourth = opened.recv().await.unwrap();
    assert_eq!(fourth.hello.resume_after, Some(position(5)));
    assert!(pod.directory.load().by_slug("beta").is_none());
    pod.stop().await;
}

#[tokio::test]
async fn a_pod_starts_from_its_sealed_state_and_resumes_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let files = || Some(Files::in_dir(dir.path()).unwrap());
    let (address, mut opened) = node().await;
    let pod = Pod::start(address, files());
    let mut stream = opened.recv().await.unwrap();
    stream.snapshot(5, &["acme"]).await;
    stream.acknowledged(5).await;
    stream.delta(6, "beta").await;
    stream.acknowledged(6).await;
    pod.stop().await;

    // The node takes the stream and says nothing: as good as no node.
    let pod = Pod::start(address, files());
    let mut stream = opened.recv().await.unwrap();
    assert_eq!(stream.hello.resume_after, Some(position(6)));
    pod.status.until_ready().await;
    assert_eq!(pod.status.view().source, Some(Source::Sealed));
    assert!(pod.directory.load().by_slug("beta").is_some());

    stream.delta(7, "gamma").await;
    stream.acknowledged(7).await;
    assert_eq!(pod.status.view().source, Some(Source::Watch));
    pod.stop().await;
}

/// What is not on disk does not make young what is; and it gets there once it can.
#[tokio::test]
async fn only_what_is_on_disk_is_noted_and_what_could_not_be_written_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::in_dir(dir.path()).unwrap();
    let (address, mut opened) = node().await;
    let pod = Pod::start(address, Some(files.clone()));
    let mut stream = opened.recv().await.unwrap();
    let beat = |commit_revision| {
        event::Kind::Heartbeat(watch::Heartbeat { commit_revision, has_leader: true, ..Default::default() })
    };
    let noted = |revision: u64| {
        let position = Position { cluster_id: cluster().parse().unwrap(), revision: Revision(revision) };
        files.confirmed.age(position, SystemClock.now(), BootTime::now().as_ref(), &keyring())
    };
    let on_disk = || files.state.load(&keyring()).unwrap().map(|loaded| loaded.revision.get());
    stream.snapshot(5, &["acme"]).await;
    stream.say(beat(5)).await;
    until(|| on_disk() == Some(5) && noted(5).is_some()).await;

    // Its temporary file cannot be made.
    let obstacle = dir.path().join("configuration.tmp");
    std::fs::create_dir(&obstacle).unwrap();
    stream.delta(6, "beta").await;
    stream.acknowledged(6).await;
    let begun = Instant::now();
    until(|| {
        let _ = stream.to_pod.try_send(Ok(watch::Event { kind: Some(beat(6)) }));
        begun.elapsed() > Duration::from_secs(4)
    })
    .await;
    assert!(pod.status.staleness() < Duration::from_secs(2), "the pod itself has everything");
    assert!(noted(5).is_some_and(|age| age > Duration::from_secs(3)), "{:?}", noted(5));

    std::fs::remove_dir(&obstacle).unwrap();
    until(|| {
        let _ = stream.to_pod.try_send(Ok(watch::Event { kind: Some(beat(6)) }));
        on_disk() == Some(6) && noted(5).is_none() && noted(6).is_some()
    })
    .await;
    pod.stop().await;
    assert!(noted(6).is_some_and(|age| age < Duration::from_secs(3)), "{:?}", noted(6));
}

async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn heartbeats_tell_whether_the_pod_is_current() {
    let (address, mut opened) = node().await;
    let pod = Pod::start(address, None);
    let mut stream = opened.recv().await.unwrap();
    stream.snapshot(5, &["acme"]).await;
    stream.acknowledged(5).await;
    let beat = |commit_revision, has_leader| {
        event::Kind::Heartbeat(watch::Heartbeat { commit_revision, has_leader, ..Default::default() })
    };
    // Each change after a heartbeat is acknowledged once the heartbeat was taken.
    for (revision, kind, synced) in
        [(6, beat(5, true), true), (7, beat(9, true), false), (8, beat(7, true), true), (9, beat(8, false), false)]
    {
        stream.say(kind).await;
        stream.delta(revision, "beta").await;
        stream.acknowledged(revision).await;
        assert_eq!(pod.status.view().synced, synced, "before {revision}");
    }
    pod.stop().await;
}

/// A pod that knows nobody else's word takes a node's without a leader for as old as it is.
#[tokio::test]
async fn what_a_node_without_a_leader_says_is_as_old_as_it_says() {
    const DAY: Duration = Duration::from_hours(24);
    let (address, mut opened) = node().await;
    let pod = Pod::start(address, None);
    let mut stream = opened.recv().await.unwrap();
    let beat = |commit_revision, has_leader, staleness_ms| {
        event::Kind::Heartbeat(watch::Heartbeat { commit_revision, has_leader, staleness_ms, ..Default::default() })
    };
    let day_ms = Some(u64::try_from(DAY.as_millis()).unwrap());
    stream.snapshot(5, &["acme"]).await;
    // (what the node says, whether the pod is then at least a day old)
    for (revision, kind, is_old) in [
        (6, beat(5, false, day_ms), true),
        // It does not help that the node knows of more.
        (7, beat(9, false, Some(0)), true),
        (8, beat(7, true, Some(0)), false),
        // The word of a leader counts on.
        (9, beat(8, false, day_ms), false),
    ] {
        stream.say(kind).await;
        stream.delta(revision, "beta").await;
        stream.acknowledged(revision).await;
        assert_eq!(pod.status.staleness() >= DAY, is_old, "before {revision}");
    }
    pod.stop().await;
}

/// Heartbeats go on coming to a pod that does not run; when it does again, they are old.
#[tokio::test]
async fn what_waited_for_a_pod_that_did_not_run_is_no_news() {
    let (address, mut opened) = node().await;
    let uri = format!("http://{address}").parse().unwrap();
    let mut subscription = Subscription::open(&uri, &identity(), None).await.unwrap();
    let stream = opened.recv().await.unwrap();
    let beat = || event::Kind::Heartbeat(watch::Heartbeat { has_leader: true, ..Default::default() });
    stream.say(beat()).await;
    assert!(matches!(subscription.next().await, Ok(Step::Heartbeat { .. })));

    let stopped = Instant::now();
    until(|| {
        let _ = stream.to_pod.try_send(Ok(watch::Event { kind: Some(beat()) }));
        stopped.elapsed() > subscription::SILENCE
    })
    .await;
    let next = subscription.next().await;
    assert!(matches!(next, Err(Ended::Silent)), "{next:?}");
}

/// Who leaves says all and ends its side of the stream; the node, which ends its own then, is not waited for in vain.
#[tokio::test]
async fn a_pod_that_leaves_ends_its_side_of_the_stream_behind_its_last_word() {
    let (address, mut opened) = node().await;
    let uri = format!("http://{address}").parse().unwrap();
    let subscription = Subscription::open(&uri, &identity(), None).await.unwrap();
    let mut stream = opened.recv().await.unwrap();
    let mut leaving = Box::pin(subscription.leave(watch::Ack { revision: 7, ..watch::Ack::default() }));
    // Not looked at meanwhile, it does not give up either: then the stream would be broken off.
    assert!(leaving.as_mut().now_or_never().is_none(), "it waits for the node");
    let heard = async {
        stream.acknowledged(7).await;
        stream.from_pod.message().await
    };
    let last = tokio::time::timeout(PATIENCE, heard).await.expect("the pod's side ends");
    assert!(last.unwrap().is_none(), "it ends as it should");
    drop(stream);
    leaving.await;
}

/// A node that says something each time, and ends the stream then, is as good as none.
#[tokio::test]
async fn streams_that_end_at_once_are_opened_ever_more_rarely() {
    let (address, mut opened) = node().await;
    let pod = Pod::start(address, None);
    let mut stream = opened.recv().await.unwrap();
    stream.snapshot(5, &["acme"]).await;
    stream.acknowledged(5).await;
    let begun = Instant::now();
    for revision in 6..=10 {
        drop(stream);
        stream = opened.recv().await.unwrap();
        // It is heard each time.
        stream.delta(revision, "acme").await;
        stream.acknowledged(revision).await;
    }
    // Half of each pause at least: 50, 100, 200, 400 and 800 ms.
    assert!(begun.elapsed() > FIRST_PAUSE * 31 / 2, "{:?}", begun.elapsed());
    pod.stop().await;
}
