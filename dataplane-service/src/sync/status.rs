//! How well informed the pod is: ready or why not, how stale, and by whom it is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::Position;

/// Shared by the subscriber, which writes it, and the ops listener, which shows it.
#[derive(Debug)]
pub struct Status {
    facts: Mutex<Facts>,
    ready: tokio::sync::watch::Sender<bool>,
    stopping: tokio::sync::watch::Sender<bool>,
    /// The same, for who asks with every request.
    leaving: AtomicBool,
}

#[derive(Debug)]
struct Facts {
    began: Instant,
    /// `None`: it never was.
    complete: Option<Complete>,
    connected_to: Option<String>,
    synced: bool,
    source: Option<Source>,
    blocked: Option<String>,
    rejected: usize,
}

/// That the configuration was known to be complete, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complete {
    /// All that was committed then. There may be more here, of which it is not known whether it is all.
    pub position: Position,
    /// By the monotonic clock.
    pub noted: Instant,
    /// What had passed already when it was noted: the age of a sealed state.
    pub age_then: Duration,
}

impl Complete {
    pub fn age(&self) -> Duration {
        self.noted.elapsed() + self.age_then
    }
}

/// Where the configuration in use came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Watch,
    Sealed,
}

/// What `/debug/config` shows.
#[derive(Clone, Debug)]
pub struct View {
    /// Connected, and nothing newer was missing when last heard.
    pub synced: bool,
    pub connected_to: Option<String>,
    pub source: Option<Source>,
    pub rejected: usize,
}

impl Default for Status {
    fn default() -> Self {
        let facts = Facts {
            began: Instant::now(),
            complete: None,
            connected_to: None,
            synced: false,
            source: None,
            blocked: None,
            rejected: 0,
        };
        let flag = || tokio::sync::watch::Sender::new(false);
        Self { facts: Mutex::new(facts), ready: flag(), stopping: flag(), leaving: AtomicBool::new(false) }
    }
}

impl Status {
    pub fn why_not_ready(&self) -> Option<String> {
        let facts = self.facts.lock();
        if *self.stopping.borrow() {
            return Some("the pod is shutting down".to_owned());
        }
        match (&facts.source, &facts.blocked) {
            (Some(_), _) => None,
            (None, Some(reason)) => Some(reason.clone()),
            (None, None) => Some("no configuration has been received yet".to_owned()),
        }
    }

    pub async fn until_ready(&self) {
        let mut ready = self.ready.subscribe();
        // The sender lives in `self`, so waiting cannot fail while we borrow it.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// Time since the configuration was last known to be the newest; since the start, when it never was.
    pub fn staleness(&self) -> Duration {
        let facts = self.facts.lock();
        facts.complete.map_or_else(|| facts.began.elapsed(), |complete| complete.age())
    }

    pub fn view(&self) -> View {
        let facts = self.facts.lock();
        View {
            synced: facts.synced,
            connected_to: facts.connected_to.clone(),
            source: facts.source,
            rejected: facts.rejected,
        }
    }

    /// The pod finishes what it has begun, and then ends.
    pub fn stop(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.stopping.send_replace(true);
    }

    pub fn is_stopping(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    pub fn stopping(&self) -> tokio::sync::watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    pub(super) fn connected(&self, endpoint: &str) {
        self.facts.lock().connected_to = Some(endpoint.to_owned());
    }

    pub(super) fn disconnected(&self) {
        let mut facts = self.facts.lock();
        facts.connected_to = None;
        facts.synced = false;
    }

    /// The directory now serves what came from `source`.
    pub(super) fn serving(&self, source: Source) {
        self.facts.lock().source = Some(source);
        self.ready.send_replace(true);
    }

    pub(super) fn complete(&self) -> Option<Complete> {
        self.facts.lock().complete
    }

    /// Counts unless a later moment is known already.
    pub(super) fn was_complete(&self, now: Complete) {
        let mut facts = self.facts.lock();
        let known = facts.complete.filter(|known| known.position.cluster_id == now.position.cluster_id);
        if known.is_none_or(|known| known.age() > now.age()) {
            facts.complete = Some(now);
        }
    }

    /// Whether anything newer is known to be missing.
    pub(super) fn synced(&self, synced: bool) {
        self.facts.lock().synced = synced;
    }

    pub(super) fn blocked(&self, reason: String) {
        self.facts.lock().blocked = Some(reason);
    }

    pub(super) fn rejected(&self, count: usize) {
        self.facts.lock().rejected = count;
    }
}
