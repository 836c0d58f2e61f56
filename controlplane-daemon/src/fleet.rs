//! Who is listening: the pods connected to this node and to its peers, and what each has acknowledged.

mod registry;

use std::time::Duration;

pub use registry::{Connection, Registry};
use vocab::{NodeId, PodId, Revision, Timestamp};

/// The pods of the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The revision lags are counted from: what the answering node has applied.
    pub revision: Revision,
    pub pods: Vec<Pod>,
    /// Nodes that did not answer in time; their pods are missing from the list.
    pub unreachable_nodes: Vec<NodeId>,
}

/// One connected pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub pod_id: PodId,
    /// The control-plane node it is connected to.
    pub node_id: NodeId,
    pub version: String,
    pub address: String,
    pub acknowledged_revision: Revision,
    pub connected_at: Timestamp,
    /// `None` until its first acknowledgement.
    pub acknowledged_at: Option<Timestamp>,
    pub rejected: Vec<RejectedResource>,
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
    pub staleness: Option<Duration>,
    pub draining: bool,
}

/// What a pod could not use and keeps at its last good state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedResource {
    pub resource: String,
    pub reason: String,
}

/// What a wait for the fleet came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetWait {
    /// Pods that had not acknowledged the revision when time ran out, in order.
    pub laggards: Vec<PodId>,
    /// Nodes whose pods are not known.
    pub unreachable_nodes: Vec<NodeId>,
}

impl FleetWait {
    pub fn is_complete(&self) -> bool {
        self.laggards.is_empty() && self.unreachable_nodes.is_empty()
    }
}
