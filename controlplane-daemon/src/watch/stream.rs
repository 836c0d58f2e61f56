//! One pod's stream, as a body that is written only as fast as the pod reads.
//!
//! Written as polls: what a change or an acknowledgement finds here is looked at once, and nothing is set up for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::Frame;
use shared_proto::status::to_status;
use shared_proto::watch::{self, Ack, Hello, PodMessage, event::Kind, pod_message};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_stream::wrappers::WatchStream;
use tonic::body::Body;
use tonic::codec::BufferSettings;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;
use vocab::{ClusterId, ErrorCode, PodId, Revision};

use super::deliveries::Deliveries;
use super::propagation::Propagation;
use super::snapshot::Frames;
use super::{LEADER_WAIT, Shared, Source};
use crate::feed::encode;
use crate::fleet::{Connection, RejectedResource, Report};

const HEARTBEAT: Duration = Duration::from_secs(1);
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// A pod says little: its name, or some of what it could not use. One of an older build lists all of that, and would only
/// come back and say the same if it were not heard to the end.
const MAX_POD_MESSAGE: usize = 4 << 20;
const MAX_REJECTED: usize = 100;
/// An acknowledgement has a dozen bytes. tonic's own buffer, 8 KiB for each stream, would be a fifth of what a pod costs.
const POD_BUFFER: usize = 512;

/// Before others get their turn. A pod has one to say per change.
const HEARD_AT_ONCE: usize = 32;
/// So many pods acknowledge at once, those beyond are spread out.
const AT_ONCE: usize = 200;
const ACKNOWLEDGED_PER_MS: u32 = 20;
const LATEST_ACKNOWLEDGEMENT_MS: u32 = 1_000;
/// Changes that are sent before the pod is listened to again.
const UNHEARD: usize = 32;

/// The answer to a subscription: frames, then the gRPC status as trailers.
pub(super) fn body(shared: Arc<Shared>, request: Body) -> Body {
    let decoder = ProstCodec::<PodMessage, PodMessage>::raw_decoder(BufferSettings::new(POD_BUFFER, POD_BUFFER));
    let inbound = Streaming::new_request(decoder, request, None, Some(MAX_POD_MESSAGE));
    let counted = Counted::new();
    Body::new(PodStream::Greeting(Box::pin(Subscription::greet(shared, inbound, counted))))
}

enum PodStream {
    Greeting(BoxFuture<'static, Result<Box<Subscription>, Status>>),
    Open(Box<Subscription>),
    Ended,
}

impl http_body::Body for PodStream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            let end = match &mut *self {
                Self::Greeting(greeting) => match ready!(greeting.as_mut().poll(context)) {
                    Ok(subscription) => {
                        *self = Self::Open(subscription);
                        continue;
                    }
                    Err(end) => end,
                },
                Self::Open(subscription) => match ready!(subscription.poll_next(context)) {
                    Ok(frame) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
                    Err(end) => end,
                },
                Self::Ended => return Poll::Ready(None),
            };
            *self = Self::Ended;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers(&end)))));
        }
    }
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
    /// Rings after each change, and when this node is stopping.
    bell: WatchStream<()>,
    heartbeat: Interval,
    /// Changes sent since the pod was listened to.
    unheard: usize,
    phase: Phase,
    /// On the list of pods from Hello on.
    connection: Connection,
    deliveries: Deliveries,
    propagation: Propagation,
    _counted: Counted,
}

enum Phase {
    Preparing(BoxFuture<'static, Result<Arc<Frames>, Status>>),
    /// The next frame of a snapshot.
    Snapshot(Arc<Frames>, usize),
    /// Everything up to here was sent.
    Live(Revision),
}

impl Subscription {
    async fn greet(
        shared: Arc<Shared>,
        mut inbound: Streaming<PodMessage>,
        counted: Counted,
    ) -> Result<Box<Self>, Status> {
        let bell = WatchStream::from_changes(shared.bell.listen());
        let hello = tokio::time::timeout(HELLO_TIMEOUT, inbound.message()).await;
        let message = hello.map_err(|_| Status::deadline_exceeded("no Hello came"))??;
        let Some(PodMessage { kind: Some(pod_message::Kind::Hello(hello)) }) = message else {
            return Err(invalid("the first message must be Hello"));
        };
        let pod_id: PodId = hello.pod_id.parse().map_err(|why: vocab::InvalidId| invalid(&why.to_string()))?;
        let resumed = shared.resume_point(&hello).await?;
        if resumed.is_none() {
            shared.until_caught_up().await?;
        }
        let has = resumed.unwrap_or_default();
        let [version, address] = [hello.version, hello.address].map(|text| text.chars().take(256).collect());
        let connection = shared.source.pods.connect(pod_id, version, address, has);
        let phase = match resumed {
            Some(revision) => Phase::Live(revision),
            None => Phase::Preparing(Arc::clone(&shared).snapshot()),
        };
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deliveries = Deliveries::default();
        let propagation = Propagation::new(shared.source.cluster.replica.feed(), has);
        Ok(Box::new(Self {
            shared,
            inbound,
            bell,
            heartbeat,
            unheard: 0,
            phase,
            connection,
            deliveries,
            propagation,
            _counted: counted,
        }))
    }

    /// The next frame; the status to end with when there is none.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        loop {
            match &mut self.phase {
                Phase::Preparing(snapshot) => {
                    self.phase = Phase::Snapshot(ready!(snapshot.as_mut().poll(context))?, 0);
                }
                Phase::Snapshot(snapshot, next) => {
                    if let Some(frame) = snapshot.frames.get(*next) {
                        *next += 1;
                        return Poll::Ready(Ok(frame.clone()));
                    }
                    self.propagation.skip(snapshot.revision);
                    self.phase = Phase::Live(snapshot.revision);
                }
                Phase::Live(sent) => {
                    let sent = *sent;
                    return self.poll_live(sent, context);
                }
            }
        }
    }

    /// The frame after `sent`, or a heartbeat.
    fn poll_live(&mut self, sent: Revision, context: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        // A change first: what pods have to say of the last one can wait until all have this one. Under a stream of
        // changes neither acknowledgements nor heartbeats may starve.
        if self.unheard < UNHEARD
            && let Some(frame) = self.next_change(sent)
        {
            self.unheard += 1;
            return Poll::Ready(Ok(frame));
        }
        self.unheard = 0;
        self.hear_some(context)?;
        if self.heartbeat.poll_tick(context).is_ready() {
            return Poll::Ready(Ok(self.beat()));
        }
        loop {
            if let Some(frame) = self.next_change(sent) {
                return Poll::Ready(Ok(frame));
            }
            if self.shared.source.stopping.is_cancelled() {
                return Poll::Ready(Err(to_status(ErrorCode::Unavailable, "this node is stopping")));
            }
            // Rung since: there may be more.
            let _ = ready!(self.bell.poll_next_unpin(context));
        }
    }

    /// The frame after `sent`, or word that it is no longer held; `None` when there is none yet.
    fn next_change(&mut self, sent: Revision) -> Option<Bytes> {
        let feed = self.shared.source.cluster.replica.feed();
        match feed.after(sent) {
            Ok(frame) => {
                let frame = frame?;
                let revision = Revision(sent.0 + 1);
                self.deliveries.sent(revision, feed, self.connection.pod_id());
                self.phase = Phase::Live(revision);
                Some(frame)
            }
            Err(compacted) => {
                metrics::counter!("hj_cp_watch_resets_total").increment(1);
                self.phase = Phase::Preparing(Arc::clone(&self.shared).snapshot());
                Some(encode::frame(Kind::Reset(watch::Reset { reason: compacted.to_string() })))
            }
        }
    }

    fn hear_some(&mut self, context: &mut Context<'_>) -> Result<(), Status> {
        for _ in 0..HEARD_AT_ONCE {
            let Poll::Ready(message) = self.inbound.poll_next_unpin(context) else { return Ok(()) };
            self.hear(message.transpose()?)?;
        }
        context.waker().wake_by_ref();
        Ok(())
    }

    fn hear(&mut self, message: Option<PodMessage>) -> Result<(), Status> {
        let Some(message) = message else { return Err(Status::ok("the pod has ended the stream")) };
        let Some(pod_message::Kind::Ack(ack)) = message.kind else {
            return Err(invalid("after Hello only Ack may come"));
        };
        let Ack { revision, rejected, staleness_ms, draining, rejected_count } = ack;
        let revision = Revision(revision);
        self.deliveries.acknowledged(revision);
        if let Some(taken) = self.propagation.acknowledged(revision, self.shared.source.cluster.replica.feed()) {
            self.shared.propagation.record(taken);
        }
        self.connection.report(Report {
            acknowledged_revision: revision,
            rejected_count: rejected_count.unwrap_or_default().max(rejected.len() as u64),
            rejected: listed(rejected),
            staleness: staleness_ms.map(Duration::from_millis),
            draining,
        });
        Ok(())
    }

    fn beat(&self) -> Bytes {
        let Source { cluster, clock, .. } = &self.shared.source;
        // Until it has caught up, all it knows is that what it has was the newest when that was made.
        let silence = cluster.silence().filter(|_| *self.shared.caught_up.borrow());
        let staleness = silence.unwrap_or_else(|| clock.now().since(cluster.replica.last_stamp()));
        encode::frame(Kind::Heartbeat(watch::Heartbeat {
            commit_revision: cluster.committed().0,
            time_ms: clock.now().millis(),
            has_leader: cluster.leader().is_some(),
            staleness_ms: Some(u64::try_from(staleness.as_millis()).unwrap_or(u64::MAX)),
            acknowledge_within_ms: Some(acknowledge_within_ms(self.shared.bell.listeners())),
        }))
    }
}

impl Shared {
    /// Where the pod can go on; `None` when it needs a snapshot.
    async fn resume_point(&self, hello: &Hello) -> Result<Option<Revision>, Status> {
        let cluster_id = self.cluster_id()?.to_string();
        let cluster = &self.source.cluster;
        // A revision counted in another cluster means nothing here.
        let Some(position) = hello.resume_after.as_ref().filter(|position| position.cluster_id == cluster_id) else {
            return Ok(None);
        };
        let revision = Revision(position.revision);
        if revision > cluster.committed() {
            // Either this node is behind, or the cluster is: restored from a backup, it never came so far.
            let leads_to = cluster.read_index(Instant::now() + LEADER_WAIT).await;
            let newest = leads_to.ok_or_else(|| {
                to_status(ErrorCode::Unavailable, "the pod is ahead of this node, which knows no leader")
            })?;
            if revision.0 > newest {
                return Ok(None);
            }
        }
        Ok(Some(revision).filter(|revision| cluster.replica.feed().covers(*revision)))
    }

    /// What a node has that was away may be old: it is handed out once the leader has told the rest. Without a leader it is
    /// all there is, and heartbeats say how old.
    async fn until_caught_up(&self) -> Result<(), Status> {
        let mut caught_up = self.caught_up.subscribe();
        match tokio::time::timeout(LEADER_WAIT, caught_up.wait_for(|done| *done)).await {
            Err(_) if self.source.cluster.leader().is_some() => {
                Err(to_status(ErrorCode::Unavailable, "this node has not caught up with its leader yet"))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn cluster_id(&self) -> Result<ClusterId, Status> {
        let id = self.source.cluster.replica.cluster_id();
        id.ok_or_else(|| to_status(ErrorCode::Unavailable, "the cluster is not initialised yet"))
    }

    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Arc<Frames>, Status>> {
        Box::pin(async move {
            let frames = self.snapshots.get(self.cluster_id()?, &self.source.cluster.replica).await;
            frames.ok_or_else(|| to_status(ErrorCode::Unavailable, "this node is stopping"))
        })
    }
}

/// One of the subscribers, while it lives.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!("hj_cp_watch_subscribers").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("hj_cp_watch_subscribers").decrement(1.0);
    }
}

/// Of many pods each acknowledgement costs this node about as much as a delivery: they come when the deliveries are over.
fn acknowledge_within_ms(pods: usize) -> u32 {
    let crowd = u32::try_from(pods.saturating_sub(AT_ONCE)).unwrap_or(u32::MAX);
    (crowd / ACKNOWLEDGED_PER_MS).min(LATEST_ACKNOWLEDGEMENT_MS)
}

/// As many as are kept of what a pod rejects, the signing keys first.
fn listed(rejected: Vec<watch::RejectedResource>) -> Vec<RejectedResource> {
    let rejected = rejected.into_iter().map(|it| RejectedResource { resource: it.resource, reason: it.reason });
    let mut rejected: Vec<_> = rejected.collect();
    if rejected.len() > MAX_REJECTED {
        rejected.sort_by_key(|it| !it.is_signing_key());
        rejected.truncate(MAX_REJECTED);
    }
    rejected
}

fn invalid(why: &str) -> Status {
    to_status(ErrorCode::InvalidRequest, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pods_acknowledge_at_once_and_many_later() {
        let within = [0, 1, 200, 300, 1_200, 1_000_000].map(acknowledge_within_ms);
        assert_eq!(within, [0, 0, 0, 5, 50, LATEST_ACKNOWLEDGEMENT_MS]);
    }
}
