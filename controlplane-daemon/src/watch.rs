//! The live configuration for pods: snapshot, then deltas, then heartbeats, on one gRPC stream per pod.
//!
//! ```text
//!   Hello ──▶ stream ──▶ resume: deltas after the pod's revision        ◀── feed (frames encoded once, shared)
//!                   └──▶ or SnapshotBegin, parts, SnapshotEnd, deltas    ◀── snapshot (encoded once, shared)
//!   Ack   ──▶ fleet
//! ```
//!
//! A subscriber has a cursor into the feed and no queue: one that falls behind what the feed holds is told Reset and gets
//! a snapshot. Every node serves, leader or not. Written on HTTP bodies instead of tonic's codec, so that a frame that
//! was encoded once is the same memory for every subscriber.

mod connections;
mod deliveries;
mod propagation;
mod registration;
mod snapshot;
mod stream;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::TcpListener;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use metrics::Histogram;
use shared_proto::status::to_status;
use shared_proto::watch::registration_server::RegistrationServer;
use subtle::ConstantTimeEq as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::Service;
use transport::connection::Caller;
use transport::incoming::Incoming;
use transport::server::ClientCertificate;
use vocab::{Clock, ErrorCode, Keyring, Revision, Secret};

use self::snapshot::SnapshotCache;
use crate::fleet::Registry;
use crate::raft::cluster::Cluster;
use crate::registration::Registrar;
use crate::tls::{self, Tls};

/// How long a leader is waited for at a time.
const LEADER_WAIT: Duration = Duration::from_secs(3);

/// What subscriptions are served from.
#[derive(Debug)]
pub struct Source {
    pub cluster: Cluster,
    pub pods: Registry,
    pub clock: Arc<dyn Clock>,
    pub keyring: Keyring,
    /// What pods present, unless they prove themselves by certificate.
    pub token: Option<Secret<String>>,
    pub stopping: CancellationToken,
}

#[derive(Clone, Debug)]
pub struct Watch {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    snapshots: SnapshotCache,
    bell: Bell,
    /// Whether this node, since its start, has once had all that its leader had.
    caught_up: tokio::sync::watch::Sender<bool>,
    /// Kept, as thousands of acknowledgements a second are recorded.
    propagation: Histogram,
}

/// What the streams wait for.
#[derive(Debug, Default)]
struct Bell {
    rope: tokio::sync::watch::Sender<()>,
    /// Told of each new listener.
    came: Notify,
}

impl Bell {
    fn listen(&self) -> tokio::sync::watch::Receiver<()> {
        let listener = self.rope.subscribe();
        self.came.notify_one();
        listener
    }

    fn listeners(&self) -> usize {
        self.rope.receiver_count()
    }

    /// Returns once there is somebody to ring for.
    async fn heard(&self) {
        while self.rope.receiver_count() == 0 {
            self.came.notified().await;
        }
    }

    fn ring(&self) {
        self.rope.send_replace(());
    }
}

/// Serves pods until `source.stopping`.
pub fn serve(source: Source, listener: TcpListener, tls: Option<&Tls>) -> Result<JoinHandle<()>, String> {
    listener.set_nonblocking(true).map_err(|why| why.to_string())?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|why| why.to_string())?;
    let certificate = match source.token {
        Some(_) => ClientCertificate::Optional,
        None => ClientCertificate::Required,
    };
    let incoming = Incoming::new(listener, tls::watch_port(tls, certificate));
    let stopping = source.stopping.clone();
    let (cluster, clock, keyring) = (source.cluster.clone(), Arc::clone(&source.clock), source.keyring.clone());
    let registrar = Registrar { cluster, clock, keyring };
    let (snapshots, bell, caught_up) = Default::default();
    let propagation = metrics::histogram!("hj_cp_propagation_seconds");
    let shared = Arc::new(Shared { source, snapshots, bell, caught_up, propagation });
    let ringing = AbortOnDropHandle::new(tokio::spawn(ring(Arc::clone(&shared))));
    let catching_up = AbortOnDropHandle::new(tokio::spawn(catch_up(Arc::clone(&shared))));
    let watch = Watch { shared };
    let checking = watch.clone();
    let check = move |request: tonic::Request<()>| {
        let authorization =
            request.metadata().get(AUTHORIZATION.as_str()).map(tonic::metadata::MetadataValue::as_encoded_bytes);
        checking.authenticate(request.extensions().get::<Caller>(), authorization)?;
        Ok(request)
    };
    let registration = RegistrationServer::with_interceptor(registration::Service(registrar), check);
    let routes = Routes::new(watch).add_service(registration);
    Ok(tokio::spawn(async move {
        connections::serve(incoming, routes, stopping).await;
        drop((ringing, catching_up));
    }))
}

/// Rings after each change, and when this node is stopping. The streams wait for this and not for the feed itself: waking
/// thousands takes a while, and the feed is written to by Raft's thread. Where nobody listens, Raft's thread wakes nobody:
/// that would cost it more than a tenth of a write.
async fn ring(shared: Arc<Shared>) {
    let Source { cluster, stopping, .. } = &shared.source;
    let mut newest = cluster.replica.feed().newest();
    let ringing = async {
        loop {
            shared.bell.heard().await;
            if newest.changed().await.is_err() {
                return;
            }
            shared.bell.ring();
        }
    };
    stopping.run_until_cancelled(ringing).await;
    shared.bell.ring();
}

/// Returns once this node has applied all that had been committed when a leader was first asked.
async fn catch_up(shared: Arc<Shared>) {
    let Source { cluster, stopping, .. } = &shared.source;
    let catching_up = async {
        while !cluster.is_stopping() {
            if let Some(newest) = cluster.read_index(Instant::now() + LEADER_WAIT).await {
                cluster.replica.reach(Revision(newest)).await;
                shared.caught_up.send_replace(true);
                return;
            }
        }
    };
    stopping.run_until_cancelled(catching_up).await;
}

impl NamedService for Watch {
    const NAME: &'static str = "hellojohn.watch.v1.Watch";
}

impl Service<Request<Body>> for Watch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ready(Ok(self.answer(request).unwrap_or_else(Status::into_http)))
    }
}

impl Watch {
    fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        self.authenticate(request.extensions().get::<Caller>(), authorization)?;
        if request.uri().path() != "/hellojohn.watch.v1.Watch/Subscribe" {
            return Err(Status::unimplemented("there is only Subscribe"));
        }
        let mut response = Response::new(stream::body(Arc::clone(&self.shared), request.into_body()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        Ok(response)
    }

    fn authenticate(&self, caller: Option<&Caller>, authorization: Option<&[u8]>) -> Result<(), Status> {
        // The handshake has checked it.
        if caller.is_some_and(|caller| caller.certificate.is_some()) {
            return Ok(());
        }
        let presented = authorization.and_then(|value| value.strip_prefix(b"Bearer "));
        let expected = self.shared.source.token.as_ref().map(|token| token.expose().as_bytes());
        match (presented, expected) {
            (Some(presented), Some(expected)) if presented.ct_eq(expected).into() => Ok(()),
            _ => Err(to_status(ErrorCode::Unauthenticated, "a watch token or a client certificate is needed")),
        }
    }
}

#[cfg(test)]
mod tests;
