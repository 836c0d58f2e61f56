//! What one node knows of its cluster, for people and for readiness.

use vocab::{ClusterId, NodeId, Revision};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRole {
    Leader,
    Follower,
    Candidate,
    Learner,
}

impl NodeRole {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
        }
    }
}

/// What this node knows of the cluster at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    pub node_id: NodeId,
    /// `None` until the cluster is initialised.
    pub cluster_id: Option<ClusterId>,
    pub role: NodeRole,
    pub leader: Option<NodeId>,
    pub term: u64,
    pub commit: Revision,
    pub applied: Revision,
    pub last_log: Revision,
    pub snapshot: Revision,
    /// What every voter understands.
    pub feature_level: u16,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: NodeId,
    pub addr: String,
    pub voter: bool,
    /// As the leader sees it; `None` at other nodes.
    pub answers: Option<bool>,
    /// Entries that it lacks, as the leader sees it.
    pub lag: Option<u64>,
}
