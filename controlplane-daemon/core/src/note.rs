//! What belongs into the audit although nobody changed the configuration: who was turned away, who took office.
//!
//! A note is made by one node and replicated by `audit.note`, in batches, when there is a leader again. It never holds
//! what was presented (a credential, a token, a body), only who and what it was about.

use serde::{Deserialize, Serialize};
use vocab::{ClusterId, NodeId, Timestamp};

use crate::entry::{Actor, Origin};

/// A note, and who made it when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noted {
    /// By the clock of the node. The audit record also has the leader's.
    pub at: Timestamp,
    pub node: NodeId,
    pub note: Note,
}

/// What happened. The tags are the wire format; a new field needs a serde default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// A node became something else: `candidate`, `leader`, `follower`, `learner`.
    RoleTransition { node: NodeId, from: String, to: String, term: u64, leader: Option<NodeId> },
    /// The admin API turned a request away that somebody had no right to.
    RequestRefused {
        /// `None`: nobody knows who it was.
        actor: Option<Actor>,
        origin: Origin,
        method: String,
        /// As it is in the table of routes, or what was asked when there is no such route.
        path: String,
        /// Of the problem document.
        code: String,
        /// How often within the interval that the note is about: one note stands for all that are alike.
        #[serde(default = "once")]
        count: u64,
    },
    /// A credential was presented at `/auth/token` (or at an issuer) and is not one.
    SignInFailed {
        origin: Origin,
        #[serde(default = "once")]
        count: u64,
    },
    /// Too many failures: `who` (an address, a credential's id) has to wait.
    LockedOut { who: String, origin: Origin },
    /// A node asked to be taken into the cluster and was not.
    JoinRefused { node_id: Option<NodeId>, address: String, why: String },
    /// A peer's call was turned away: unsigned, stale, replayed, of another cluster, by a node that is no member.
    PeerRefused {
        address: Option<String>,
        why: String,
        #[serde(default = "once")]
        count: u64,
    },
    /// A cluster that had lost its majority goes on with one node, as a cluster of its own.
    Recovered {
        from_cluster_id: Option<ClusterId>,
        cluster_id: ClusterId,
        /// The last position of the log of that node, and the term it is of.
        last_log: u64,
        term: u64,
    },
    /// The cluster was made of a snapshot of another.
    Restored { from_cluster_id: Option<ClusterId>, cluster_id: ClusterId, revision: u64 },
    /// The control plane's own members were changed, or another one of them leads at an administrator's wish.
    MembershipChanged {
        actor: Actor,
        origin: Origin,
        /// `add`, `promote`, `demote`, `remove`, `transfer_leader`.
        action: String,
        node: Option<NodeId>,
        forced: bool,
    },
    /// Notes that the node could not keep, because there were too many at once.
    Dropped { count: u64 },
}

const fn once() -> u64 {
    1
}

impl Note {
    /// What can happen very often: by what many of them are told apart. The id of a request tells nothing apart, nor do
    /// the paths that a stranger tries.
    pub fn repeats(&self) -> Option<String> {
        match self {
            Self::RequestRefused { actor, origin, method, path, code, .. } => {
                let asked = actor.as_ref().map(|actor| (actor, method, path));
                Some(format!("{code} {:?} {:?} {asked:?}", origin.address, origin.credential))
            }
            Self::SignInFailed { origin, .. } => Some(format!("sign-in {:?}", origin.address)),
            Self::JoinRefused { address, why, .. } => Some(format!("join {address} {why}")),
            Self::PeerRefused { address, why, .. } => Some(format!("peer {address:?} {why}")),
            _ => None,
        }
    }

    /// How many this one stands for. A join that was refused does not say: the releases that read these notes know no
    /// such field of it.
    pub const fn count_mut(&mut self) -> Option<&mut u64> {
        match self {
            Self::RequestRefused { count, .. } | Self::SignInFailed { count, .. } | Self::PeerRefused { count, .. } => {
                Some(count)
            }
            _ => None,
        }
    }

    /// The name of the action in the audit.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::RoleTransition { .. } => "node.role_transition",
            Self::RequestRefused { .. } => "request.refused",
            Self::SignInFailed { .. } => "sign_in.failed",
            Self::LockedOut { .. } => "sign_in.locked_out",
            Self::JoinRefused { .. } => "join.refused",
            Self::PeerRefused { .. } => "peer.refused",
            Self::Recovered { .. } => "cluster.recovered",
            Self::Restored { .. } => "cluster.restored",
            Self::MembershipChanged { .. } => "cluster.membership_changed",
            Self::Dropped { .. } => "audit.dropped",
        }
    }
}
