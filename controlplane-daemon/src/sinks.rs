//! Where the audit is delivered to, besides being kept: standard output, an HTTP endpoint.
//!
//! Only the leader delivers. Each record is delivered at least once and in order: how far a sink has come is replicated
//! (`audit.cursor`), coarsely, and a leader that takes over goes on from there. A sink that is down delays nobody but
//! itself: the records wait where they are kept, and are not removed before it has them.

mod cloud_event;
mod target;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use controlplane_core::{Actor, Command, Mutation};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::Secret;

use self::target::{Refused, Target};
use crate::audit::{self, Extent, Filter, Order};
use crate::control_plane::ControlPlane;

const RECORDS_AT_ONCE: usize = 256;
/// Between two cursors in the log: each is a write to every disk.
const CURSOR_EVERY: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A cluster that was made a moment ago gets its id with the next entries.
const UNNAMED_PAUSE: Duration = Duration::from_millis(200);

/// A place that the operators want the audit delivered to.
#[derive(Clone, Debug)]
pub enum Place {
    Stdout,
    Http(Endpoint),
}

/// An endpoint that takes CloudEvents.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub url: reqwest::Url,
    pub token: Option<Secret<String>>,
    /// Certificates that the endpoint's may be signed by, beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl Place {
    /// Under which its cursor stands in the state, whatever its address.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Http(_) => "http",
        }
    }
}

#[derive(Debug)]
pub struct Sink {
    name: &'static str,
    target: Target,
}

impl Sink {
    pub fn new(place: Place) -> io::Result<Self> {
        let name = place.name();
        let target = match place {
            Place::Stdout => Target::stdout()?,
            Place::Http(endpoint) => Target::http(endpoint)?,
        };
        // So that what says that something is wrong is there from the beginning.
        metrics::counter!("hj_cp_audit_sink_delivered_total", "sink" => name).increment(0);
        metrics::counter!("hj_cp_audit_sink_failures_total", "sink" => name).increment(0);
        Ok(Self { name, target })
    }

    /// Delivers while this node leads, until `stopping`.
    pub async fn run(self, control: ControlPlane, stopping: CancellationToken) {
        let mut leading = control.leadership();
        let work = async {
            loop {
                // Who does not lead delivers nothing, and nothing waits for it.
                self.tell_lag(0);
                if leading.wait_for(|leads| *leads).await.is_err() {
                    return;
                }
                let mut deposed = leading.clone();
                tokio::select! {
                    () = self.deliver(&control) => {}
                    _ = deposed.wait_for(|leads| !*leads) => {}
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = stopping.cancelled() => {}
        }
    }

    async fn deliver(&self, control: &ControlPlane) {
        let Some(cluster) = control.status().cluster_id else {
            return tokio::time::sleep(UNNAMED_PAUSE).await;
        };
        let cluster = cluster.to_string();
        let mut extents = control.records().extents();
        let mut cursor = Cursor::of(self.name, control);
        let mut pause = FIRST_PAUSE;
        let mut at_once = RECORDS_AT_ONCE;
        loop {
            let extent = *extents.borrow_and_update();
            self.tell_lag(extent.newest.saturating_sub(cursor.at.max(extent.first.saturating_sub(1))));
            cursor.save_if_due(control).await;
            // What this node still has to get from its peers is waited for: nothing is passed over.
            let is_missing = extent.missing().is_some_and(|missing| cursor.at < *missing.end());
            if is_missing || cursor.at >= extent.newest {
                tokio::select! {
                    changed = extents.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep_until(cursor.due), if cursor.is_ahead() => {}
                }
                continue;
            }
            let refused = match next(control, cursor.at, extent, at_once).await {
                Ok(lines) => match self.target.take(&cluster, &lines).await {
                    Ok(through) => {
                        let count = through.saturating_sub(cursor.at);
                        metrics::counter!("hj_cp_audit_sink_delivered_total", "sink" => self.name).increment(count);
                        cursor.at = through;
                        (pause, at_once) = (FIRST_PAUSE, RECORDS_AT_ONCE);
                        continue;
                    }
                    Err(refused) => refused,
                },
                Err(why) => Refused::Failed(why),
            };
            metrics::counter!("hj_cp_audit_sink_failures_total", "sink" => self.name).increment(1);
            if matches!(refused, Refused::TooLarge) && at_once > 1 {
                at_once /= 2;
                continue;
            }
            tracing::warn!(sink = self.name, why = %refused, ?pause, "audit records were not taken; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn tell_lag(&self, records: u64) {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has floats only; exact up to 2^53")]
        metrics::gauge!("hj_cp_audit_sink_lag_records", "sink" => self.name).set(records as f64);
    }
}

/// How far this leader has delivered, and how far the cluster knows.
struct Cursor {
    sink: &'static str,
    at: u64,
    saved: u64,
    /// Not saved again before.
    due: Instant,
}

impl Cursor {
    fn of(sink: &'static str, control: &ControlPlane) -> Self {
        let at = control.read(|state| state.audit().cursors.get(sink).copied().unwrap_or(0));
        Self { sink, at, saved: at, due: Instant::now() + CURSOR_EVERY }
    }

    const fn is_ahead(&self) -> bool {
        self.at > self.saved
    }

    async fn save_if_due(&mut self, control: &ControlPlane) {
        if !self.is_ahead() || Instant::now() < self.due {
            return;
        }
        let at = self.at;
        let mutation = Mutation::AuditCursor { sink: self.sink.to_owned(), seq: at };
        // If it is not: what was delivered since comes again after a change of leader.
        if control.propose(Command::new(Actor::System, mutation)).await.is_ok() {
            self.saved = at;
        }
        self.due = Instant::now() + CURSOR_EVERY;
    }
}

/// The records after `cursor`.
async fn next(control: &ControlPlane, cursor: u64, extent: Extent, limit: usize) -> Result<Vec<String>, String> {
    let filter = Filter { until_seq: Some(extent.newest), ..Filter::default() };
    let query = audit::Query { filter, order: Order::OldestFirst, after: Some(cursor), limit };
    let store = control.records().clone();
    let read = tokio::task::spawn_blocking(move || audit::page(&store, &query)).await;
    let page = read.map_err(|why| why.to_string())?.map_err(|why| why.to_string())?;
    Ok(page.lines)
}
