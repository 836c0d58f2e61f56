//! Whether this node is in touch with its leader or, leading, with a majority.
//!
//! Raft itself goes by votes alone: a node that is cut off would name its old leader for ever, and an isolated leader
//! itself, long after the others have elected another. Nobody here may be told so, nor may a write wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::async_runtime::Instant as _;
use openraft::{RaftMetrics, ServerState};
use vocab::NodeId;

use super::types::Types;

/// The moment that stands for "never".
const NEVER: u64 = u64::MAX;

#[derive(Clone, Debug)]
pub struct Contact {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Silence that is longer than this is no contact.
    patience: Duration,
    began: std::time::Instant,
    /// Milliseconds from `began` to the last append that was taken.
    heard_ms: AtomicU64,
}

impl Contact {
    pub fn new(patience: Duration) -> Self {
        Self { inner: Arc::new(Inner { patience, began: std::time::Instant::now(), heard_ms: AtomicU64::new(NEVER) }) }
    }

    /// A leader's append was taken, if only an empty one.
    pub fn heard(&self) {
        let now = u64::try_from(self.inner.began.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.inner.heard_ms.store(now, Ordering::Relaxed);
    }

    pub fn patience(&self) -> Duration {
        self.inner.patience
    }

    /// The leader, as long as there is contact with it.
    pub fn leader(&self, now: &RaftMetrics<Types>) -> Option<NodeId> {
        now.current_leader.filter(|_| self.is_kept(now)).map(NodeId)
    }

    /// Whether this node leads a majority that answers.
    pub fn leads(&self, now: &RaftMetrics<Types>) -> bool {
        now.state == ServerState::Leader && self.is_kept(now)
    }

    fn is_kept(&self, now: &RaftMetrics<Types>) -> bool {
        if now.current_leader != Some(now.id) {
            let heard_ms = self.inner.heard_ms.load(Ordering::Relaxed);
            return heard_ms != NEVER
                && self.inner.began.elapsed().saturating_sub(Duration::from_millis(heard_ms)) <= self.inner.patience;
        }
        let is_alone = now.membership_config.voter_ids().all(|id| id == now.id);
        // Before the first answer: a majority has just voted for it.
        is_alone || now.last_quorum_acked.is_none_or(|at| at.elapsed() <= self.inner.patience)
    }
}
