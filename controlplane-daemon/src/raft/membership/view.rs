//! The membership, and who answers, as the leader sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver as _;

use crate::raft::cluster::Cluster;

/// A learner that lacks this many entries or fewer has caught up: under load it always lacks some.
const CAUGHT_UP: u64 = 64;

pub(in crate::raft) struct View {
    pub(in crate::raft) me: u64,
    pub(in crate::raft) voters: BTreeSet<u64>,
    pub(in crate::raft) nodes: BTreeSet<u64>,
    /// Halfway through a change.
    pub(in crate::raft) is_changing: bool,
    silent_for: BTreeMap<u64, Duration>,
    pub(super) matched: BTreeMap<u64, u64>,
    committed: u64,
    patience: Duration,
}

impl View {
    pub(in crate::raft) fn answers(&self, id: u64) -> bool {
        id == self.me || self.silent_for.get(&id).is_some_and(|silent| *silent <= self.patience)
    }

    /// How many entries it lacks.
    pub(in crate::raft) fn lag(&self, id: u64) -> u64 {
        self.committed.saturating_sub(self.matched.get(&id).copied().unwrap_or(0))
    }

    pub(in crate::raft) fn has_caught_up(&self, id: u64) -> bool {
        self.answers(id) && self.matched.contains_key(&id) && self.lag(id) <= CAUGHT_UP
    }
}

impl Cluster {
    /// `None` when this node does not lead.
    pub(in crate::raft) fn view(&self) -> Option<View> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let matched = now.replication.as_ref()?;
        let membership = now.membership_config.membership();
        let heard = now.heartbeat.iter().flatten();
        Some(View {
            me: now.id,
            voters: now.membership_config.voter_ids().collect(),
            nodes: now.membership_config.nodes().map(|(id, _)| *id).collect(),
            is_changing: membership.get_joint_config().len() > 1,
            silent_for: heard.filter_map(|(id, at)| Some((*id, at.as_ref()?.elapsed()))).collect(),
            matched: matched.iter().filter_map(|(id, log)| Some((*id, log.as_ref()?.index))).collect(),
            committed: now.cluster_committed.map_or(0, |id| id.index),
            patience: self.contact.patience(),
        })
    }
}
