//! openraft's generics, filled in once.

use std::fmt;

use bytes::Bytes;
use controlplane_core::{Applied, Rejection};

use super::state_machine::StateMachine;

openraft::declare_raft_types!(
    /// What this cluster's Raft works on.
    pub Types:
        D = Payload,
        R = Answer,
);

pub type Raft = openraft::Raft<Types, StateMachine>;
pub type LeaderId = openraft::type_config::alias::LeaderIdOf<Types>;
pub type LogId = openraft::type_config::alias::LogIdOf<Types>;
pub type Vote = openraft::type_config::alias::VoteOf<Types>;
pub type Entry = openraft::type_config::alias::EntryOf<Types>;
pub type EntryPayload = openraft::type_config::alias::PayloadOf<Types>;
pub type Membership = openraft::Membership<u64, openraft::BasicNode>;
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
pub type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Types>;
pub type Snapshot = openraft::type_config::alias::SnapshotOf<Types, crate::storage::snapshots::SnapshotFile>;

/// What an entry says, as opaque bytes: openraft, disk and network never look inside.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What applying an entry came to.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The entry was none of ours: a leader's blank, a membership, the cluster's id.
    Nothing,
    Outcome(Box<Result<Applied, Rejection>>),
}
