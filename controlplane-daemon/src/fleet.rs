//! Who is listening: the pods of every node, what each has acknowledged, and which have gone.
//!
//! ```text
//!   watch streams ──▶ registry (this node's connections) ──▶ census (every node's, asked at once)
//!                                                              ├──▶ roster: what the log keeps of them; the leader writes it
//!                                                              └──▶ view: /fleet
//! ```
//!
//! What changes with every acknowledgement stays in the memory of the node that hears it. What must not be forgotten with
//! a node (that there is such a pod, that it vanished) is in the replicated roster.

mod census;
mod registry;
pub mod roster;
mod view;

use std::collections::BTreeSet;
use std::time::Duration;

pub use census::{Census, NodePods};
pub use registry::{Connection, Registry};
use vocab::{NodeId, PodId, Revision, Timestamp};

/// The pods of the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The revision lags are counted from: what the answering node has applied.
    pub revision: Revision,
    pub pods: Vec<FleetPod>,
    /// Nodes that did not answer in time; what is said of their pods may be old.
    pub unreachable_nodes: Vec<NodeId>,
}

/// A pod as `/fleet` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetPod {
    pub state: PodState,
    /// Since when it is connected, gone, or stopped.
    pub since: Timestamp,
    /// Whether it is on the replicated roster: then it stays listed when it vanishes, whatever becomes of this node.
    pub recorded: bool,
    pub pod: Pod,
    /// How long ago the oldest change was made that it has not acknowledged; `None`: not known any more.
    pub lag: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    Connected,
    /// Connected, finishing what it has begun.
    Draining,
    /// It vanished.
    Gone,
    /// It ended in good order.
    Stopped,
}

impl PodState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Draining => "draining",
            Self::Gone => "gone",
            Self::Stopped => "stopped",
        }
    }

    pub const fn is_connected(self) -> bool {
        matches!(self, Self::Connected | Self::Draining)
    }
}

/// A pod as the node it is (or was last) connected to knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub pod_id: PodId,
    /// The control-plane node it is connected to.
    pub node_id: NodeId,
    pub version: String,
    pub address: String,
    pub acknowledged_revision: Revision,
    pub connected_at: Timestamp,
    /// When it last acknowledged another revision than before; `None` until its first acknowledgement.
    pub acknowledged_at: Option<Timestamp>,
    /// The signing keys first.
    pub rejected: Vec<RejectedResource>,
    /// How many there are, listed or not.
    pub rejected_count: u64,
    /// How long ago the pod last knew that it had everything, by its own word.
    pub staleness: Option<Duration>,
    /// It is stopping: it finishes what it has begun.
    pub draining: bool,
}

/// What a pod says of itself again and again. Each replaces the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub acknowledged_revision: Revision,
    pub rejected: Vec<RejectedResource>,
    pub rejected_count: u64,
    pub staleness: Option<Duration>,
    pub draining: bool,
}

/// What a pod could not use and keeps at its last good state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedResource {
    pub resource: String,
    pub reason: String,
}

impl RejectedResource {
    pub fn is_signing_key(&self) -> bool {
        let mut path = self.resource.split('/');
        (path.next(), path.nth(1)) == (Some("tenants"), Some("keys"))
    }
}

impl Pod {
    /// One of node 1 that has acknowledged nothing yet.
    #[cfg(test)]
    pub(crate) fn sample(name: &str) -> Self {
        Self {
            pod_id: name.parse().expect("a pod's name"),
            node_id: NodeId(1),
            version: String::new(),
            address: String::new(),
            acknowledged_revision: Revision::ZERO,
            connected_at: Timestamp::from_secs(1),
            acknowledged_at: None,
            rejected: vec![],
            rejected_count: 0,
            staleness: None,
            draining: false,
        }
    }

    pub fn rejects_keys(&self) -> bool {
        self.rejected.iter().any(RejectedResource::is_signing_key)
    }

    /// Whether it may reject signing keys that are not listed: something else is listed only when all of them are.
    pub fn rejects_unlisted_keys(&self) -> bool {
        self.rejected_count > self.rejected.len() as u64 && self.rejected.iter().all(RejectedResource::is_signing_key)
    }
}

/// What a wait for the fleet came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetWait {
    /// Pods that had not acknowledged the revision when time ran out, or were connected nowhere, in order.
    pub laggards: Vec<PodId>,
    /// Nodes whose pods are not known.
    pub unreachable_nodes: Vec<NodeId>,
    /// Connected pods that cannot use something, whatever it is, in order: an acknowledgement says only that it was looked
    /// at.
    pub rejecting: Vec<PodId>,
}

impl FleetWait {
    /// `missing` pods may have whatever.
    pub(crate) fn of(census: Census, revision: Revision, missing: BTreeSet<PodId>) -> Self {
        let behind = census.connected().into_values().filter(|pod| pod.acknowledged_revision < revision);
        let laggards: BTreeSet<_> = behind.map(|pod| pod.pod_id.clone()).chain(missing).collect();
        let rejecting = census.connected().into_values().filter(|pod| pod.rejected_count > 0);
        let rejecting = rejecting.map(|pod| pod.pod_id.clone()).collect();
        let laggards = laggards.into_iter().collect();
        Self { laggards, rejecting, unreachable_nodes: census.unreachable_nodes }
    }

    pub fn is_complete(&self) -> bool {
        self.laggards.is_empty() && self.unreachable_nodes.is_empty()
    }
}
