//! What can be asked of the cluster's membership, and why it is refused.
//!
//! A member is a voter or a learner. A learner gets the log and does not count; it becomes a voter once it has caught up.
//! A change needs a majority of the voters there are and of those there will be, so it is refused, with the figures,
//! when the voters that answer would not be a majority afterwards, unless it is forced.

use std::collections::BTreeSet;

use controlplane_core::model::NodeSpec;
use controlplane_core::{Actor, Origin};
use serde::{Deserialize, Serialize};
use vocab::{ErrorCode, NodeId, Violations};

/// What somebody wants of the membership. JSON on the way to the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRequest {
    pub change: MemberChange,
    pub actor: Actor,
    pub origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberChange {
    /// An administrator adds a learner; with a promotion in its record it becomes a voter by itself.
    Add {
        id: NodeId,
        spec: NodeSpec,
    },
    /// A node says where it is: it wants to be taken in, or has moved, or is another build.
    Join {
        id: NodeId,
        spec: NodeSpec,
        data: Data,
    },
    Promote {
        id: NodeId,
    },
    Demote {
        id: NodeId,
        caution: Caution,
    },
    Remove {
        id: NodeId,
        caution: Caution,
    },
    /// `None`: to whichever voter is best placed.
    Transfer {
        to: Option<NodeId>,
    },
}

/// What a node that joins has on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    /// Nothing yet.
    Blank,
    /// A log of this cluster.
    OfThisCluster,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caution {
    /// Refuse what would leave the voters that answer without a majority.
    #[default]
    Careful,
    /// Do it nevertheless: it takes effect once enough voters are back.
    Forced,
}

/// What a node that asks may become. A setting of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Only an administrator adds nodes.
    Nobody,
    Learner,
    /// A learner, and a voter once it has caught up.
    Voter,
}

/// Who makes a cluster out of nodes that have none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// The one with the lowest id of `--peers`; one without peers makes a cluster of its own.
    LowestId,
    /// This one, whatever its id.
    ThisNode,
    /// This one, unless somebody it asks is in a cluster already.
    ThisNodeAfterAsking,
    /// Not this one: it waits to be taken in.
    Others,
}

/// What a carried out request answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Where it stands in the log: whoever has applied this sees it.
    pub log_index: u64,
}

/// Why a request came to nothing. The same words on the wire between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum MemberError {
    #[error("node {0} is not a member")]
    NotAMember(NodeId),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    QuorumAtRisk(String),
    #[error("voters: at most {0}")]
    TooManyVoters(u64),
    #[error("the document breaks rules: {0}")]
    Invalid(Violations),
    /// A node that asked to be taken in is not wanted.
    #[error("{0}")]
    Refused(String),
    /// It was removed and has not been added again.
    #[error("node {0} was removed from the cluster; an administrator can add it again")]
    Removed(NodeId),
    #[error("no leader was found in time; nothing was changed")]
    NoLeader,
    #[error("the outcome is unknown: the change may or may not have been made, or wait for voters that do not answer")]
    OutcomeUnknown,
}

impl MemberError {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotAMember(_) => ErrorCode::NotFound,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::QuorumAtRisk(_) => ErrorCode::QuorumAtRisk,
            Self::TooManyVoters(_) => ErrorCode::LimitReached,
            Self::Invalid(_) => ErrorCode::ValidationFailed,
            Self::Refused(_) | Self::Removed(_) => ErrorCode::Forbidden,
            Self::NoLeader => ErrorCode::NoLeader,
            Self::OutcomeUnknown => ErrorCode::OutcomeUnknown,
        }
    }
}

/// Whether the voters that answer could still decide anything if exactly `after` voted.
pub fn check_quorum(after: &BTreeSet<u64>, answers: impl Fn(u64) -> bool) -> Result<(), MemberError> {
    let needed = after.len() / 2 + 1;
    let silent: Vec<String> = after.iter().filter(|id| !answers(**id)).map(ToString::to_string).collect();
    let answering = after.len() - silent.len();
    if !after.is_empty() && answering >= needed {
        return Ok(());
    }
    Err(MemberError::QuorumAtRisk(format!(
        "of the {} voters that there would be, {answering} answer and {needed} are needed; silent: {}",
        after.len(),
        if silent.is_empty() { "none".to_owned() } else { silent.join(", ") },
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_must_answer_afterwards() {
        let rows: [(&[u64], &[u64], bool); 7] = [
            (&[], &[], false),
            (&[1], &[1], true),
            (&[1, 2], &[1], false),
            (&[1, 2, 3], &[1, 3], true),
            (&[1, 2, 3, 4], &[1, 2], false),
            (&[1, 2, 3, 4, 5, 6, 7], &[1, 2, 3, 4], true),
            (&[1, 2, 3, 4, 5, 6, 7], &[1, 2, 3], false),
        ];
        for (after, answering, fine) in rows {
            let outcome = check_quorum(&after.iter().copied().collect(), |id| answering.contains(&id));
            assert_eq!(outcome.is_ok(), fine, "{after:?} {answering:?}");
        }
        let refused = check_quorum(&BTreeSet::from([1, 2]), |id| id == 1).unwrap_err().to_string();
        assert_eq!(refused, "of the 2 voters that there would be, 1 answer and 2 are needed; silent: 2");
    }
}
