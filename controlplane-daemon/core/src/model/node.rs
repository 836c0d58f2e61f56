//! The control plane's own nodes, as they know each other.

use serde::{Deserialize, Serialize};
use vocab::{NodeId, Revision, Timestamp};

/// What the cluster knows of one of its nodes. Whether it votes is Raft's membership to say, not this record's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRecord {
    pub id: NodeId,
    pub spec: NodeSpec,
    pub joined_at: Timestamp,
    /// When the leader last heard it, to some minutes.
    pub last_seen: Timestamp,
    /// It was taken out of the cluster. The mark stays, so that discovery does not bring it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
    pub revision: Revision,
}

/// What is said of a node by itself, or by who added it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// `host:port` at which peers reach it.
    pub peer_addr: String,
    /// Where clients reach its admin API.
    #[serde(default)]
    pub admin_url: Option<String>,
    pub source: NodeSource,
    /// Of its build; unknown until it has said so itself.
    #[serde(default)]
    pub version: Option<String>,
    /// The newest entry format that its build reads: what all nodes read may be written.
    #[serde(default)]
    pub feature_level: u16,
    /// What is to become of a learner once it has caught up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<Promotion>,
}

/// A learner that becomes a voter once it has caught up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Promotion {
    /// The member that goes in the same step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<NodeId>,
}

/// How a node came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeSource {
    /// `--peers`, or alone from the start.
    Static,
    /// An administrator added it.
    Manual,
    /// It asked a node that it found by DNS.
    Dns,
    /// It asked a node among its seeds.
    Gossip,
}

impl NodeSource {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Manual => "manual",
            Self::Dns => "dns",
            Self::Gossip => "gossip",
        }
    }
}
