//! One pod's stream, as a body that is written only as fast as the pod reads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt as _, stream};
use http::HeaderMap;
use http_body::Frame;
use http_body_util::StreamBody;
use shared_proto::status::to_status;
use shared_proto::watch::{self, Ack, Hello, PodMessage, event::Kind, pod_message};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tonic::body::Body;
use tonic::codec::BufferSettings;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;
use vocab::{ClusterId, ErrorCode, PodId, Revision};

use super::Shared;
use super::deliveries::Deliveries;
use super::snapshot::Frames;
use crate::feed::encode;
use crate::fleet::{Connection, RejectedResource, Report};

const HEARTBEAT: Duration = Duration::from_secs(1);
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a pod that is ahead of this node waits for the leader's word.
const LEADER_TIMEOUT: Duration = Duration::from_secs(3);
/// A pod says little: its name, or what it could not use.
const MAX_POD_MESSAGE: usize = 256 << 10;
const MAX_REJECTED: usize = 1000;
/// An acknowledgement has a dozen bytes. tonic's own buffer, 8 KiB for each stream, would be a fifth of what a pod costs.
const POD_BUFFER: usize = 512;

/// The answer to a subscription: frames, then the gRPC status as trailers.
pub(super) fn body(shared: Arc<Shared>, request: Body) -> Body {
    let decoder = ProstCodec::<PodMessage, PodMessage>::raw_decoder(BufferSettings::new(POD_BUFFER, POD_BUFFER));
    let inbound = Streaming::new_request(decoder, request, None, Some(MAX_POD_MESSAGE));
    let frames = stream::unfold(Some(Subscription::new(shared, inbound)), |subscription| async {
        let mut subscription = subscription?;
        match subscription.next().await {
            Ok(frame) => Some((Ok::<_, Status>(Frame::data(frame)), Some(subscription))),
            Err(end) => Some((Ok(Frame::trailers(trailers(&end))), None)),
        }
    });
    Body::new(StreamBody::new(frames))
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        trailers.insert("grpc-status", http::HeaderValue::from_static("13"));
    }
    trailers
}

struct Subscription {
    shared: Arc<Shared>,
    inbound: Streaming<PodMessage>,
    newest: tokio::sync::watch::Receiver<Revision>,
    heartbeat: Interval,
    phase: Phase,
    /// On the list of pods from Hello on.
    connection: Option<Connection>,
    deliveries: Deliveries,
}

enum Phase {
    Greeting,
    /// The next frame of a snapshot.
    Snapshot(Arc<Frames>, usize),
    /// Everything up to here was sent.
    Live(Revision),
    /// Reset was said: a snapshot follows.
    Restart,
}

impl Subscription {
    fn new(shared: Arc<Shared>, inbound: Streaming<PodMessage>) -> Self {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let newest = shared.source.cluster.replica.feed().newest();
        metrics::gauge!("hj_cp_watch_subscribers").increment(1.0);
        Self {
            shared,
            inbound,
            newest,
            heartbeat,
            phase: Phase::Greeting,
            connection: None,
            deliveries: Deliveries::default(),
        }
    }

    /// The next frame; the status to end with when there is none.
    async fn next(&mut self) -> Result<Bytes, Status> {
        if matches!(self.phase, Phase::Greeting) {
            self.greet().await?;
        }
        loop {
            match &mut self.phase {
                Phase::Snapshot(snapshot, next) => {
                    if let Some(frame) = snapshot.frames.get(*next) {
                        *next += 1;
                        return Ok(frame.clone());
                    }
                    self.phase = Phase::Live(snapshot.revision);
                }
                Phase::Live(sent) => {
                    let sent = *sent;
                    if let Some(frame) = self.live(sent).await? {
                        return Ok(frame);
                    }
                }
                Phase::Greeting | Phase::Restart => self.phase = self.snapshot().await?,
            }
        }
    }

    async fn greet(&mut self) -> Result<(), Status> {
        let hello = tokio::time::timeout(HELLO_TIMEOUT, self.inbound.message()).await;
        let message = hello.map_err(|_| Status::deadline_exceeded("no Hello came"))??;
        let Some(PodMessage { kind: Some(pod_message::Kind::Hello(hello)) }) = message else {
            return Err(invalid("the first message must be Hello"));
        };
        let pod_id: PodId = hello.pod_id.parse().map_err(|why: vocab::InvalidId| invalid(&why.to_string()))?;
        let resumed = self.resume_point(&hello).await?;
        let has = resumed.unwrap_or_default();
        let [version, address] = [hello.version, hello.address].map(|text| text.chars().take(256).collect());
        self.connection = Some(self.shared.source.pods.connect(pod_id, version, address, has));
        self.phase = match resumed {
            Some(revision) => Phase::Live(revision),
            None => self.snapshot().await?,
        };
        Ok(())
    }

    /// Where the pod can go on; `None` when it needs a snapshot.
    async fn resume_point(&self, hello: &Hello) -> Result<Option<Revision>, Status> {
        let cluster_id = self.cluster_id()?.to_string();
        let cluster = &self.shared.source.cluster;
        // A revision counted in another cluster means nothing here.
        let Some(position) = hello.resume_after.as_ref().filter(|position| position.cluster_id == cluster_id) else {
            return Ok(None);
        };
        let revision = Revision(position.revision);
        if revision > cluster.committed() {
            // Either this node is behind, or the cluster is: restored from a backup, it never came so far.
            let leads_to = cluster.read_index(Instant::now() + LEADER_TIMEOUT).await;
            let newest = leads_to.ok_or_else(|| {
                to_status(ErrorCode::Unavailable, "the pod is ahead of this node, which knows no leader")
            })?;
            if revision.0 > newest {
                return Ok(None);
            }
        }
        Ok(Some(revision).filter(|revision| cluster.replica.feed().covers(*revision)))
    }

    fn cluster_id(&self) -> Result<ClusterId, Status> {
        let id = self.shared.source.cluster.replica.cluster_id();
        id.ok_or_else(|| to_status(ErrorCode::Unavailable, "the cluster is not initialised yet"))
    }

    async fn snapshot(&self) -> Result<Phase, Status> {
        let frames = self.shared.snapshots.get(self.cluster_id()?, &self.shared.source.cluster.replica).await;
        let frames = frames.ok_or_else(|| to_status(ErrorCode::Unavailable, "this node is stopping"))?;
        Ok(Phase::Snapshot(frames, 0))
    }

    /// The frame after `sent`, or a heartbeat; `None` when something happened that makes the caller look again.
    async fn live(&mut self, sent: Revision) -> Result<Option<Bytes>, Status> {
        // Under a stream of changes neither acknowledgements nor heartbeats may starve.
        if let Some(message) = self.inbound.message().now_or_never() {
            self.hear(message?)?;
        }
        if self.heartbeat.tick().now_or_never().is_some() {
            return Ok(Some(self.beat()));
        }
        match self.shared.source.cluster.replica.feed().after(sent) {
            Ok(Some(frame)) => {
                let revision = Revision(sent.0 + 1);
                let pod = self.connection.as_ref().map(Connection::pod_id);
                self.deliveries.sent(revision, self.shared.source.cluster.replica.feed(), pod);
                self.phase = Phase::Live(revision);
                return Ok(Some(frame));
            }
            Ok(None) => {}
            Err(compacted) => {
                metrics::counter!("hj_cp_watch_resets_total").increment(1);
                self.phase = Phase::Restart;
                return Ok(Some(encode::frame(Kind::Reset(watch::Reset { reason: compacted.to_string() }))));
            }
        }
        tokio::select! {
            _ = self.newest.changed() => {}
            _ = self.heartbeat.tick() => return Ok(Some(self.beat())),
            message = self.inbound.message() => self.hear(message?)?,
            () = self.shared.source.stopping.cancelled() => {
                return Err(to_status(ErrorCode::Unavailable, "this node is stopping"));
            }
        }
        Ok(None)
    }

    fn hear(&mut self, message: Option<PodMessage>) -> Result<(), Status> {
        let Some(message) = message else { return Err(Status::ok("the pod has ended the stream")) };
        match (message.kind, &self.connection) {
            (Some(pod_message::Kind::Ack(ack)), Some(connection)) => {
                let Ack { revision, rejected, staleness_ms, draining } = ack;
                let rejected = rejected.into_iter().take(MAX_REJECTED);
                let rejected =
                    rejected.map(|it| RejectedResource { resource: it.resource, reason: it.reason }).collect();
                let staleness = staleness_ms.map(Duration::from_millis);
                self.deliveries.acknowledged(Revision(revision));
                connection.report(Report { acknowledged_revision: Revision(revision), rejected, staleness, draining });
                Ok(())
            }
            _ => Err(invalid("after Hello only Ack may come")),
        }
    }

    fn beat(&self) -> Bytes {
        let source = &self.shared.source;
        encode::frame(Kind::Heartbeat(watch::Heartbeat {
            commit_revision: source.cluster.committed().0,
            time_ms: source.clock.now().millis(),
            has_leader: source.cluster.leader().is_some(),
        }))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        metrics::gauge!("hj_cp_watch_subscribers").decrement(1.0);
    }
}

fn invalid(why: &str) -> Status {
    to_status(ErrorCode::InvalidRequest, why)
}
