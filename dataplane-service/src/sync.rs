//! Keeps the directory up to date: subscribes to the control plane, survives its absence, remembers the last state.
//!
//! ```text
//!   subscription ──step──▶ mirror ──directory──▶ LiveDirectory ──▶ requests
//!        ▲                   │
//!        └──── Ack ──────────┤ (after the swap)
//!                            └──▶ keeper: state file, and how old that is
//! ```

pub mod confirmed;
pub mod decode;
pub mod keeper;
pub mod mirror;
pub mod state_file;
pub mod status;
pub mod subscription;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom as _;
use shared_proto::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Uri;
use vocab::{Clock, ClusterId, Revision, Timestamp};

use crate::directory::LiveDirectory;
use confirmed::BootTime;
use keeper::{Files, Held, Keeper};
use mirror::{Mirror, Saved, Surroundings};
use state_file::Loaded;
use status::{Complete, Source, Status};
use subscription::{Ended, FAREWELL, PodIdentity, Step, Subscription};

/// How long a control plane may take before the sealed state is served.
const GRACE: Duration = Duration::from_millis(250);
/// When nothing changes, the control plane is told this often how the pod is.
const HEARTBEATS_PER_REPORT: u64 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A revision means nothing without the cluster that it was counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub cluster_id: ClusterId,
    pub revision: Revision,
}

impl Position {
    /// Whether whoever has this has all of `other`.
    pub fn includes(self, other: Self) -> bool {
        self.cluster_id == other.cluster_id && self.revision >= other.revision
    }
}

/// What synchronisation needs from the rest of the pod.
#[derive(Debug)]
pub struct Sync {
    pub endpoints: Vec<Uri>,
    pub identity: PodIdentity,
    pub directory: Arc<LiveDirectory>,
    pub status: Arc<Status>,
    pub clock: Arc<dyn Clock>,
    pub surroundings: Surroundings,
    pub files: Option<Files>,
    /// What the state file held at the start.
    pub loaded: Option<Loaded>,
}

impl Sync {
    /// Runs until cancelled; the last state is on disk when this returns.
    pub async fn run(self, stop: CancellationToken) {
        let (save, pending) = tokio::sync::watch::channel(None);
        let keyring = self.surroundings.keyring.clone();
        let mut mirror = Mirror::new(self.surroundings);
        let serving = Serving { directory: self.directory, status: self.status };
        let mut held = None;
        let sealed = self.loaded.map(|loaded| {
            let now = self.clock.now();
            let position = Position { cluster_id: loaded.cluster_id, revision: loaded.revision };
            let confirmed = self.files.as_ref().map(|files| &files.confirmed);
            let age = confirmed.and_then(|file| file.age(position, now, BootTime::now().as_ref(), &keyring));
            let age = age.unwrap_or_else(|| confirmed::by_wall_clock(loaded.saved_at, now));
            mirror.replace(loaded.cluster_id, loaded.revision, loaded.resources);
            // Also before it is served: what a control plane says may be no newer.
            let complete = Complete { position, noted: Instant::now(), age_then: age };
            serving.status.was_complete(complete);
            held = Some(Held { position, complete: Some(complete) });
            serve_sealed(&serving, &mirror, age)
        });
        let keeping = self.files.map(|files| {
            let keeper = Keeper::new(files, keyring, Arc::clone(&self.clock), Arc::clone(&serving.status), held);
            let keeping = tokio::spawn(Arc::clone(&keeper).keep(pending));
            let noting = tokio::spawn(Arc::clone(&keeper).note_regularly(stop.clone()));
            (keeper, keeping, noting)
        });
        let mut endpoints = self.endpoints;
        // Many pods that start together spread over the nodes.
        endpoints.shuffle(&mut rand::rng());
        let mut subscriber = Subscriber {
            endpoints,
            identity: self.identity,
            serving: serving.clone(),
            clock: self.clock,
            mirror,
            save,
            last_commit: None,
            heartbeats: 0,
        };
        tokio::select! {
            // The subscriber ends by itself, once it has said that it leaves.
            () = async { stop.cancelled().await; tokio::time::sleep(FAREWELL * 2).await } => {}
            // Neither of the two interrupts the other between its check and its swap: they are one task.
            _ = async { tokio::join!(subscriber.run(&stop), futures::future::OptionFuture::from(sealed)) } => {}
        }
        // Dropping the subscriber closes the channel, on which the keeper writes what is left and ends.
        drop(subscriber);
        let Some((keeper, keeping, noting)) = keeping else { return };
        for task in [keeping, noting] {
            if let Err(error) = task.await {
                tracing::error!(%error, "keeping the configuration on disk failed");
            }
        }
        keeper.note_finally().await;
    }
}

/// After a moment without a word from the control plane, what is on disk is served.
fn serve_sealed(serving: &Serving, mirror: &Mirror, age: Duration) -> impl Future<Output = ()> + Send + 'static {
    let serving = serving.clone();
    let directory = mirror.directory().clone();
    let unopened = mirror.unopened().map(str::to_owned);
    async move {
        tokio::time::sleep(GRACE).await;
        if serving.directory.load().is_ready() {
            return;
        }
        if let Some(reason) = unopened {
            serving.status.blocked(reason);
            return;
        }
        let age_secs = age.as_secs();
        tracing::warn!(revision = %directory.revision, age_secs, "no control plane answers: serving from the sealed state");
        serving.directory.swap(directory);
        serving.status.serving(Source::Sealed);
    }
}

struct Subscriber {
    endpoints: Vec<Uri>,
    identity: PodIdentity,
    serving: Serving,
    clock: Arc<dyn Clock>,
    mirror: Mirror,
    save: tokio::sync::watch::Sender<Option<Saved>>,
    /// The `commit_revision` of the heartbeat before, and when it came.
    last_commit: Option<(Revision, Instant)>,
    /// Since the start.
    heartbeats: u64,
}

impl Subscriber {
    async fn run(&mut self, stop: &CancellationToken) {
        let mut pause = FIRST_PAUSE;
        let mut turn = 0;
        while let Some(uri) = self.endpoints.get(turn).cloned() {
            turn = (turn + 1) % self.endpoints.len();
            let (begun, mut heard) = (Instant::now(), false);
            let ended = self.session(&uri, &mut heard, stop).await;
            self.serving.status.disconnected();
            if stop.is_cancelled() {
                return;
            }
            tracing::warn!(endpoint = %uri, reason = %ended, "no watch from there; trying the next address");
            // A stream that ends at once again and again is of no use, whatever was heard on it.
            if heard && begun.elapsed() >= LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            // Jitter, so that pods which lost one node together do not come back together.
            let jittered = tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0)));
            if stop.run_until_cancelled(jittered).await.is_none() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One stream, from hello to its end. `heard` tells whether the node was of any use.
    async fn session(&mut self, uri: &Uri, heard: &mut bool, stop: &CancellationToken) -> Ended {
        let resume =
            self.mirror.directory().cluster_id.map(|cluster_id| (cluster_id, self.mirror.directory().revision));
        let opening = stop.run_until_cancelled(Subscription::open(uri, &self.identity, resume)).await;
        let mut subscription = match opening {
            Some(Ok(subscription)) => subscription,
            Some(Err(ended)) => return ended,
            None => return Ended::Stopping,
        };
        self.serving.status.connected(&uri.to_string());
        tracing::info!(endpoint = %uri, resume_after = resume.map(|(_, revision)| revision.get()), "watching");
        if resume.is_some() {
            subscription.acknowledge(self.report());
        }
        let mut stopping = self.serving.status.stopping();
        loop {
            let step = tokio::select! {
                step = subscription.next() => step,
                Ok(()) = stopping.changed() => {
                    subscription.acknowledge(self.report());
                    continue;
                }
                () = stop.cancelled() => {
                    subscription.leave(self.report()).await;
                    return Ended::Stopping;
                }
            };
            let step = match step {
                Ok(step) => step,
                Err(ended) => return ended,
            };
            *heard = true;
            if self.carry_out(step) {
                subscription.acknowledge(self.report());
            }
        }
    }

    /// What the control plane is told: only what requests already see.
    fn report(&self) -> watch::Ack {
        let status = &self.serving.status;
        watch::Ack {
            revision: self.mirror.directory().revision.get(),
            rejected: self.mirror.rejected(),
            rejected_count: Some(self.mirror.rejected_count() as u64),
            staleness_ms: Some(u64::try_from(status.staleness().as_millis()).unwrap_or(u64::MAX)),
            draining: *status.stopping().borrow(),
        }
    }

    /// Whether the control plane should hear of it.
    fn carry_out(&mut self, step: Step) -> bool {
        match step {
            Step::Replace { cluster_id, revision, resources } => {
                let resource_count = resources.len();
                if self.mirror.directory().cluster_id.is_some_and(|known| known != cluster_id) {
                    tracing::warn!(%cluster_id, "the control plane is another cluster than before");
                }
                self.mirror.replace(cluster_id, revision, resources);
                self.publish();
                tracing::info!(%revision, resource_count, "received a complete configuration");
            }
            Step::Apply { revision, changes, stamped_at_ms, traceparent } => {
                let span = tracing::trace_span!(
                    target: telemetry::TRACE,
                    "apply configuration",
                    otel.kind = "consumer",
                    revision = revision.get(),
                );
                telemetry::context::adopt(&span, traceparent.as_deref());
                let _entered = span.enter();
                let change_count = changes.len();
                self.mirror.apply(revision, changes);
                self.publish();
                let taken = self.clock.now().since(Timestamp::from_millis(stamped_at_ms));
                metrics::histogram!("hj_dp_propagation_seconds").record(taken.as_secs_f64());
                tracing::debug!(%revision, change_count, "applied");
            }
            Step::Heartbeat { commit_revision, has_leader, staleness } => {
                self.hear_heartbeat(commit_revision, has_leader, staleness);
                self.heartbeats += 1;
                return self.heartbeats % HEARTBEATS_PER_REPORT == 1;
            }
        }
        self.save.send_replace(self.mirror.saved());
        true
    }

    /// Under steady writes the newest revision is always a little ahead, so it also counts when what was committed at the
    /// heartbeat before has come: the pod was current then. A node without a leader knows how old its own word is.
    fn hear_heartbeat(&mut self, commit: Revision, has_leader: bool, staleness: Option<Duration>) {
        let status = &self.serving.status;
        let known = self.mirror.directory().revision;
        let now = Instant::now();
        let synced = has_leader && commit <= known;
        status.synced(synced);
        if synced {
            self.was_complete(commit, now, Duration::ZERO);
            if !self.serving.is_watching() && self.mirror.directory().is_ready() {
                self.publish();
            }
        } else if let Some((last, at)) = self.last_commit.filter(|(last, _)| *last <= known) {
            self.was_complete(last, at, Duration::ZERO);
        } else if let Some(staleness) = staleness.filter(|_| !has_leader && commit <= known) {
            self.was_complete(commit, now, staleness);
        }
        // Without a leader the node may not know what was committed elsewhere.
        self.last_commit = has_leader.then_some((commit, now));
    }

    fn was_complete(&self, revision: Revision, noted: Instant, age_then: Duration) {
        let Some(cluster_id) = self.mirror.directory().cluster_id else { return };
        let position = Position { cluster_id, revision };
        self.serving.status.was_complete(Complete { position, noted, age_then });
    }

    fn publish(&self) {
        self.serving.status.rejected(self.mirror.rejected_count());
        if self.serving.publish(&self.mirror) {
            self.serving.status.serving(Source::Watch);
        }
    }
}

/// The way out: the directory that requests see, and what is known of it.
#[derive(Clone, Debug)]
struct Serving {
    directory: Arc<LiveDirectory>,
    status: Arc<Status>,
}

impl Serving {
    fn is_watching(&self) -> bool {
        self.status.view().source == Some(Source::Watch)
    }

    /// A pod that never served does not begin with keys it cannot open; one that did goes on with what it has.
    fn publish(&self, mirror: &Mirror) -> bool {
        if let Some(reason) = mirror.unopened().filter(|_| !self.directory.load().is_ready()) {
            tracing::error!(reason, "not ready: is the right SECRETBOX_MASTER_KEY set?");
            self.status.blocked(reason.to_owned());
            return false;
        }
        let directory = mirror.directory().clone();
        #[expect(clippy::cast_precision_loss, reason = "a gauge; revisions stay far below 2^53")]
        metrics::gauge!("hj_dp_config_revision").set(directory.revision.get() as f64);
        self.directory.swap(directory);
        true
    }
}

#[cfg(test)]
mod tests;
