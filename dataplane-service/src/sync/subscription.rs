//! One stream of the watch: hello, then a snapshot or the changes since, then changes as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use shared_proto::watch::watch_client::WatchClient;
use shared_proto::watch::{self, event, pod_message};
use tonic::metadata::MetadataValue;
use tonic::transport::{Endpoint, Uri};
use tonic::{Request, Streaming};
use transport::client::{ClientTls, Connector};
use vocab::{ClusterId, PodId, Revision, Secret};

/// Heartbeats come about every second: a stream that is silent for this long is dead.
pub const SILENCE: Duration = Duration::from_secs(5);
/// What a node may take to hear a last word.
pub const FAREWELL: Duration = Duration::from_secs(1);
/// No node may keep a pod from acknowledging for longer.
const LONGEST_SPREAD: Duration = Duration::from_secs(1);
/// Where changes follow each other, a pod acknowledges once in about so many times what the node gives it for one.
const REST: f64 = 4.0;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A part of a snapshot holds many resources; a single one is far smaller.
const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// Who the pod is, and how it proves it.
#[derive(Debug)]
pub struct PodIdentity {
    pub pod_id: PodId,
    /// Where the public listener can be reached, for people to read.
    pub address: String,
    pub token: Option<Secret<String>>,
    /// For https.
    pub tls: Option<Arc<ClientTls>>,
}

/// Why a stream ended. All of them lead to another attempt; the text is for the log.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("cannot connect: {0}")]
    Connect(#[from] tonic::transport::Error),
    #[error("without --tls-ca-file no https address can be trusted")]
    NoAuthority,
    #[error("the watch token cannot be sent in a header")]
    Token,
    #[error("the stream failed: {}: {}", .0.code(), .0.message())]
    Failed(#[from] Box<tonic::Status>),
    #[error("the node closed the stream")]
    Closed,
    #[error("the pod is stopping")]
    Stopping,
    #[error("nothing was heard for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the node broke the protocol: {0}")]
    Protocol(String),
}

/// What the mirror has to do.
#[derive(Debug)]
pub enum Step {
    Replace {
        cluster_id: ClusterId,
        revision: Revision,
        resources: Vec<watch::Resource>,
    },
    Apply {
        revision: Revision,
        changes: Vec<watch::Change>,
        stamped_at_ms: i64,
        traceparent: Option<String>,
    },
    /// `staleness`: how old the configuration of the node may be, if it says that.
    Heartbeat {
        commit_revision: Revision,
        has_leader: bool,
        staleness: Option<Duration>,
    },
}

pub struct Subscription {
    events: Streaming<watch::Event>,
    acks: tokio::sync::watch::Sender<watch::Ack>,
    /// Milliseconds within which the node wants them.
    spread: Arc<AtomicU32>,
    assembly: Option<Assembly>,
    applied: Option<Revision>,
    /// When the last message came.
    heard: Instant,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// A snapshot on its way in.
#[derive(Debug)]
struct Assembly {
    at: Option<watch::Position>,
    resources: Vec<watch::Resource>,
}

/// When a pod acknowledges: a random part of what the node gives it after a change, and about [`REST`] times that after it
/// did so last. Not exactly: pods that hear the same changes would acknowledge together from then on.
struct Pace {
    earliest: tokio::time::Instant,
}

impl Pace {
    /// For a change that came `now`.
    fn due(&mut self, now: tokio::time::Instant, within: Duration) -> tokio::time::Instant {
        let due = self.earliest.max(now + within.mul_f64(rand::random()));
        self.earliest = due + within.mul_f64(REST).min(LONGEST_SPREAD * 2 / 3).mul_f64(0.5 + rand::random::<f64>());
        due
    }
}

/// The newest acknowledgement, each in its time; what was replaced meanwhile not at all, and the last one at once.
fn spread_out(
    acks: tokio::sync::watch::Receiver<watch::Ack>,
    spread: Arc<AtomicU32>,
) -> impl Stream<Item = watch::Ack> {
    let pace = Pace { earliest: tokio::time::Instant::now() };
    futures::stream::unfold((acks, spread, pace), |(mut acks, spread, mut pace)| async move {
        acks.changed().await.ok()?;
        let within = Duration::from_millis(spread.load(Ordering::Relaxed).into()).min(LONGEST_SPREAD);
        if !within.is_zero() {
            let due = pace.due(tokio::time::Instant::now(), within);
            let ended = async { while acks.changed().await.is_ok() {} };
            let _ = tokio::time::timeout_at(due, ended).await;
        }
        let ack = acks.borrow_and_update().clone();
        Some((ack, (acks, spread, pace)))
    })
}

impl Subscription {
    pub async fn open(uri: &Uri, pod: &PodIdentity, resume: Option<(ClusterId, Revision)>) -> Result<Self, Ended> {
        let tls = match uri.scheme_str() {
            Some("https") => Some(pod.tls.clone().ok_or(Ended::NoAuthority)?),
            _ => None,
        };
        // TLS is the connector's, which takes the address as it is.
        let address = uri.authority().map(ToString::to_string).unwrap_or_default();
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .origin(uri.clone())
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(SILENCE);
        let channel = endpoint.connect_with_connector(Connector::new(tls, CONNECT_TIMEOUT)).await?;
        let hello = watch::Hello {
            pod_id: pod.pod_id.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: pod.address.clone(),
            resume_after: resume.map(|(cluster_id, revision)| watch::Position {
                cluster_id: cluster_id.to_string(),
                revision: revision.get(),
            }),
        };
        let spread = Arc::new(AtomicU32::new(0));
        // One slot: each acknowledgement is complete, so a newer one replaces an older one that was not sent yet.
        let (acks, pending) = tokio::sync::watch::channel(watch::Ack::default());
        let message = |kind| watch::PodMessage { kind: Some(kind) };
        let messages = futures::stream::iter([message(pod_message::Kind::Hello(hello))])
            .chain(spread_out(pending, Arc::clone(&spread)).map(move |ack| message(pod_message::Kind::Ack(ack))));
        let mut request = Request::new(messages);
        if let Some(token) = &pod.token {
            let mut value: MetadataValue<_> = format!("Bearer {}", token.expose()).parse().map_err(|_| Ended::Token)?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        let mut client = WatchClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
        let events = tokio::time::timeout(SILENCE, client.subscribe(request)).await.map_err(|_| Ended::Silent)?;
        let events = events.map_err(Box::new)?.into_inner();
        let applied = resume.map(|(_, revision)| revision);
        Ok(Self { events, acks, spread, assembly: None, applied, heard: Instant::now() })
    }

    /// Tells the node what was applied and what could not be used.
    pub fn acknowledge(&self, ack: watch::Ack) {
        self.acks.send_replace(ack);
    }

    /// Says a last word, and returns once the node has heard it and closed the stream, or after a moment.
    pub async fn leave(self, ack: watch::Ack) {
        let Self { mut events, acks, .. } = self;
        acks.send_replace(ack);
        // What was not sent yet is, and then the pod's side of the stream ends.
        drop(acks);
        let closed = async { while let Ok(Some(_)) = events.message().await {} };
        let _ = tokio::time::timeout(FAREWELL, closed).await;
    }

    /// Waits for the next thing to do, however many messages that takes.
    pub async fn next(&mut self) -> Result<Step, Ended> {
        loop {
            let event = tokio::time::timeout(SILENCE, self.events.message()).await.map_err(|_| Ended::Silent)?;
            let event = event.map_err(Box::new)?.ok_or(Ended::Closed)?;
            // The pod itself may have been stopped: then what waited for it since is no news any more.
            if std::mem::replace(&mut self.heard, Instant::now()).elapsed() > SILENCE {
                return Err(Ended::Silent);
            }
            if let Some(step) = self.take(event)? {
                return Ok(step);
            }
        }
    }

    fn take(&mut self, event: watch::Event) -> Result<Option<Step>, Ended> {
        let broken = |what: &str| Ended::Protocol(what.to_owned());
        match event.kind {
            Some(event::Kind::SnapshotBegin(begin)) => {
                self.assembly = Some(Assembly { at: begin.at, resources: Vec::new() });
                Ok(None)
            }
            Some(event::Kind::SnapshotPart(part)) => {
                let assembly = self.assembly.as_mut().ok_or_else(|| broken("a part without a beginning"))?;
                assembly.resources.extend(part.resources);
                Ok(None)
            }
            Some(event::Kind::SnapshotEnd(end)) => {
                let assembly = self.assembly.take().ok_or_else(|| broken("an end without a beginning"))?;
                self.finish(assembly, &end).map(Some)
            }
            Some(event::Kind::Delta(delta)) => {
                if self.assembly.is_some() {
                    return Err(broken("a change within a snapshot"));
                }
                let applied = self.applied.ok_or_else(|| broken("a change before any snapshot"))?;
                let revision = Revision(delta.revision);
                // Every position of the log is sent, if only as an empty change: what is missing was lost.
                if revision.get() != applied.get() + 1 {
                    return Err(Ended::Protocol(format!("the change of revision {revision} after that of {applied}")));
                }
                self.applied = Some(revision);
                Ok(Some(Step::Apply {
                    revision,
                    changes: delta.changes,
                    stamped_at_ms: delta.stamped_at_ms,
                    traceparent: delta.traceparent,
                }))
            }
            Some(event::Kind::Heartbeat(heartbeat)) => {
                self.spread.store(heartbeat.acknowledge_within_ms.unwrap_or_default(), Ordering::Relaxed);
                Ok(Some(Step::Heartbeat {
                    commit_revision: Revision(heartbeat.commit_revision),
                    has_leader: heartbeat.has_leader,
                    staleness: heartbeat.staleness_ms.map(Duration::from_millis),
                }))
            }
            Some(event::Kind::Reset(reset)) => {
                tracing::info!(reason = reset.reason, "the watch starts over with a snapshot");
                self.assembly = None;
                self.applied = None;
                Ok(None)
            }
            // A newer node may say what this build does not know; it must not rely on being understood.
            None => Ok(None),
        }
    }

    fn finish(&mut self, assembly: Assembly, end: &watch::SnapshotEnd) -> Result<Step, Ended> {
        let count = assembly.resources.len() as u64;
        if count != end.resource_count {
            return Err(Ended::Protocol(format!("a snapshot of {} resources with {count} in it", end.resource_count)));
        }
        if assembly.at != end.at {
            return Err(Ended::Protocol("a snapshot that ends as another than it began".to_owned()));
        }
        let at = end.at.as_ref().ok_or_else(|| Ended::Protocol("a snapshot without a position".to_owned()))?;
        let cluster_id = at.cluster_id.parse().map_err(|error| Ended::Protocol(format!("{error}")))?;
        let revision = Revision(at.revision);
        self.applied = Some(revision);
        Ok(Step::Replace { cluster_id, revision, resources: assembly.resources })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn acknowledgements_are_spread_and_only_the_newest_is_sent() {
        let (acks, pending) = tokio::sync::watch::channel(watch::Ack::default());
        let spread = Arc::new(AtomicU32::new(0));
        let mut spread_out = Box::pin(spread_out(pending, Arc::clone(&spread)));
        let ack = |revision| watch::Ack { revision, ..watch::Ack::default() };
        acks.send_replace(ack(1));
        assert_eq!(
            spread_out.next().now_or_never(),
            Some(Some(ack(1))),
            "at once, as long as the node asks for nothing"
        );

        spread.store(100, Ordering::Relaxed);
        acks.send_replace(ack(2));
        assert_eq!(spread_out.next().now_or_never(), None, "it waits for its moment");
        acks.send_replace(ack(3));
        assert_eq!(spread_out.next().await, Some(ack(3)));

        // No node may keep a pod from acknowledging; and one that leaves says its last word at once.
        spread.store(u32::MAX, Ordering::Relaxed);
        acks.send_replace(ack(4));
        assert_eq!(tokio::time::timeout(LONGEST_SPREAD * 10, spread_out.next()).await, Ok(Some(ack(4))));
        acks.send_replace(ack(5));
        drop(acks);
        assert_eq!(spread_out.collect::<Vec<_>>().now_or_never(), Some(vec![ack(5)]));
    }

    #[tokio::test]
    async fn changes_that_follow_each_other_are_acknowledged_once_in_a_while() {
        let within = Duration::from_millis(10);
        let (acks, pending) = tokio::sync::watch::channel(watch::Ack::default());
        let mut spread_out = Box::pin(spread_out(pending, Arc::new(AtomicU32::new(10))));
        let began = Instant::now();
        for _ in 0..4 {
            acks.send_replace(watch::Ack::default());
            spread_out.next().await;
        }
        // Three rests, the shortest there are.
        assert!(began.elapsed() > within.mul_f64(3.0 * REST / 2.0), "{:?}", began.elapsed());
    }

    #[test]
    fn pods_that_hear_the_same_changes_do_not_acknowledge_together() {
        const PODS: u32 = 400;
        const TURNS: u32 = 50;
        let (within, began) = (Duration::from_millis(40), tokio::time::Instant::now());
        let settled = began + within * 50;
        let mut in_each_turn = BTreeMap::<u128, u32>::new();
        for _ in 0..PODS {
            let (mut pace, mut due) = (Pace { earliest: began }, began);
            while due < settled + within * TURNS {
                if let Some(after) = due.checked_duration_since(settled) {
                    *in_each_turn.entry(after.as_millis() / within.as_millis()).or_default() += 1;
                }
                // The next change after it.
                let change = (due - began).div_duration_f64(within / 2).ceil();
                due = pace.due(began + (within / 2).mul_f64(change), within);
            }
        }
        let evenly = f64::from(in_each_turn.values().sum::<u32>()) / f64::from(TURNS);
        assert!((0.8..1.1).contains(&(evenly * REST / f64::from(PODS))), "{evenly} of {PODS} in each turn");
        let most = in_each_turn.values().copied().max().map_or(0.0, f64::from);
        assert!(most < 1.6 * evenly, "{most} of them at once, not {evenly}");
    }
}
