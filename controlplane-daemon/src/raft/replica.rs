//! The state in memory and what belongs to it: how far it is applied, and who is told.

use std::sync::Arc;

use controlplane_core::{Applied, Rejection, State};
use parking_lot::RwLock;
use tokio::sync::watch;
use vocab::{ClusterId, Revision, Timestamp};

use super::record::Content;
use super::types::{LogId, Membership, StoredMembership};
use crate::audit;
use crate::feed::{self, Feed};

/// One node's copy of the replicated state. The state machine writes it, everybody else reads.
#[derive(Debug)]
pub struct Replica {
    copy: RwLock<Contents>,
    feed: Feed,
    records: audit::Store,
    applied: watch::Sender<Revision>,
    cluster_id: watch::Sender<Option<ClusterId>>,
}

/// Everything an entry may change. Snapshots hold exactly this.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    pub state: State,
    pub last_applied: Option<LogId>,
    pub membership: StoredMembership,
    pub cluster_id: Option<ClusterId>,
    /// Of the newest entry: stamps never step back, even when the leaders' clocks do.
    pub last_stamp: Timestamp,
}

impl Contents {
    pub fn revision(&self) -> Option<Revision> {
        self.last_applied.map(|last| Revision(last.index))
    }
}

impl Replica {
    pub fn new(copy: Contents, limits: feed::Limits, records: audit::Store) -> Arc<Self> {
        let revision = copy.revision();
        Arc::new(Self {
            feed: Feed::new(revision, limits),
            records,
            applied: watch::Sender::new(revision.unwrap_or_default()),
            cluster_id: watch::Sender::new(copy.cluster_id),
            copy: RwLock::new(copy),
        })
    }

    pub fn read<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.copy.read().state)
    }

    /// The state and the revision it is at.
    pub fn state(&self) -> (Revision, State) {
        let copy = self.copy.read();
        (copy.revision().unwrap_or_default(), copy.state.clone())
    }

    /// All of it. Cheap: the resources are shared.
    pub fn copy(&self) -> Contents {
        self.copy.read().clone()
    }

    /// When the newest entry was made.
    pub fn last_stamp(&self) -> Timestamp {
        self.copy.read().last_stamp
    }

    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    pub const fn records(&self) -> &audit::Store {
        &self.records
    }

    pub fn applied(&self) -> Revision {
        *self.applied.borrow()
    }

    /// Returns once `revision` is applied here.
    pub async fn reach(&self, revision: Revision) {
        // Nearly always on the leader, which answers because it has applied: then nobody needs to be woken later.
        if self.applied() >= revision {
            return;
        }
        // The sender lives in self: it cannot be gone.
        let _ = self.applied.subscribe().wait_for(|applied| *applied >= revision).await;
    }

    pub fn cluster_id(&self) -> Option<ClusterId> {
        *self.cluster_id.borrow()
    }

    pub fn cluster_ids(&self) -> watch::Receiver<Option<ClusterId>> {
        self.cluster_id.subscribe()
    }

    /// Applies what is neither a membership nor blank.
    pub(super) fn apply(&self, log_id: LogId, content: Content) -> Option<Result<Applied, Rejection>> {
        match content {
            Content::ClusterId(id) => {
                let mut copy = self.copy.write();
                // Two leaders in a row may both have found none: the first counts.
                let id = *copy.cluster_id.get_or_insert(id);
                self.advance(&mut copy, log_id, &[], None);
                self.cluster_id.send_if_modified(|known| known.replace(id) != Some(id));
                None
            }
            Content::Entry(mut entry) => {
                let traceparent = entry.command.origin.traceparent.take();
                let span = tracing::trace_span!(target: telemetry::TRACE, "apply", revision = log_id.index);
                telemetry::context::adopt(&span, traceparent.as_deref());
                let _entered = span.enter();
                let mut copy = self.copy.write();
                entry.stamp.at = entry.stamp.at.max(copy.last_stamp);
                copy.last_stamp = entry.stamp.at;
                let removed_before = copy.state.audit().removed_through;
                let mut outcome = controlplane_core::apply(&mut copy.state, Revision(log_id.index), *entry);
                if let Ok(applied) = &mut outcome {
                    self.records.append(std::mem::take(&mut applied.records));
                }
                let removed = copy.state.audit().removed_through;
                if removed != removed_before {
                    self.records.truncate(removed);
                }
                let changes = outcome.as_ref().map_or([].as_slice(), |applied| &applied.changes);
                let following = telemetry::context::current().or(traceparent);
                self.advance(&mut copy, log_id, changes, following);
                Some(outcome)
            }
        }
    }

    pub(super) fn pass_blank(&self, log_id: LogId) {
        self.advance(&mut self.copy.write(), log_id, &[], None);
    }

    pub(super) fn set_membership(&self, log_id: LogId, membership: Membership) {
        let mut copy = self.copy.write();
        copy.membership = StoredMembership::new(Some(log_id), membership);
        self.advance(&mut copy, log_id, &[], None);
    }

    /// The state jumps to what a snapshot says.
    pub(super) fn replace(&self, with: Contents) {
        let mut copy = self.copy.write();
        let revision = with.revision();
        let cluster_id = with.cluster_id;
        self.records.jump(with.state.audit());
        *copy = with;
        if let Some(revision) = revision {
            self.feed.restart_after(revision);
            self.applied.send_replace(revision);
        }
        self.cluster_id.send_if_modified(|known| std::mem::replace(known, cluster_id) != cluster_id);
    }

    /// Under the write lock, so that whoever sees the revision sees the state and the feed of it.
    fn advance(
        &self,
        copy: &mut Contents,
        log_id: LogId,
        changes: &[controlplane_core::Change],
        traceparent: Option<String>,
    ) {
        let revision = Revision(log_id.index);
        copy.last_applied = Some(log_id);
        let frame = feed::encode::delta(revision, copy.last_stamp, changes, traceparent.clone());
        self.feed.append(revision, frame, traceparent);
        self.applied.send_replace(revision);
    }
}
