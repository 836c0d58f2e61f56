//! Why the facade does not do what it is asked, and what that is called on the wire.

use std::path::PathBuf;

use controlplane_core::Rejection;
use vocab::{ErrorCode, Revision};

use crate::raft::node::NodeError;
use crate::settings::EXIT_CONFIG;
use crate::storage::StorageError;

/// Why a command was not applied, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Nothing was changed.
    #[error("no leader was found in time; nothing was changed")]
    NoLeader,
    /// It may have happened. A retry with the same request id finds out.
    #[error("the outcome is unknown: the change may or may not have been made")]
    OutcomeUnknown,
    #[error("this node is stopping")]
    Stopping,
    /// The leader could not make the signing key that the command needs; nothing was changed.
    #[error("the leader could not generate a signing key; nothing was changed")]
    KeyGeneration,
    /// Nothing was changed.
    #[error("a voter of an older build would not understand the change; nothing was changed. Upgrade every node first")]
    TooNew,
    /// Nothing was changed: no other node could have been sent it.
    #[error("the change makes more than the 16 MiB that an entry of the log may have; nothing was changed. Divide it")]
    TooLarge,
}

impl ProposeError {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Rejected(rejection) => rejection.code(),
            Self::NoLeader => ErrorCode::NoLeader,
            Self::OutcomeUnknown => ErrorCode::OutcomeUnknown,
            Self::Stopping => ErrorCode::Unavailable,
            Self::KeyGeneration => ErrorCode::Internal,
            Self::TooNew => ErrorCode::UpgradeIncomplete,
            Self::TooLarge => ErrorCode::PayloadTooLarge,
        }
    }
}

/// Why a read cannot be as fresh as was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BarrierError {
    #[error("revision {wanted} was not reached in time; this node is at {reached}")]
    NotReached { wanted: Revision, reached: Revision },
    #[error("no leader answered in time")]
    NoLeader,
    #[error("this node is stopping")]
    Stopping,
}

impl BarrierError {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotReached { .. } => ErrorCode::RevisionNotReached,
            Self::NoLeader => ErrorCode::NoLeader,
            Self::Stopping => ErrorCode::Unavailable,
        }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data was sealed with another master key. Nothing was touched.
    #[error("wrong SECRETBOX_MASTER_KEY for {}: {why}", data_dir.display())]
    WrongMasterKey { data_dir: PathBuf, why: String },
    /// The node has caught up and cannot open what the others sealed.
    #[error(
        "SECRETBOX_MASTER_KEY lacks keys that secrets of the cluster are sealed with: {}; add them, or reseal first",
        key_ids.join(", ")
    )]
    MissingMasterKeys { key_ids: Vec<String> },
    /// The settings contradict each other or the stored data.
    #[error("{0}")]
    Config(String),
    /// Data on disk cannot be read or belongs to another cluster or version.
    #[error(transparent)]
    Storage(StorageError),
    #[error("{0}")]
    Raft(String),
    #[error("{0}")]
    Listener(String),
}

impl StartError {
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::WrongMasterKey { .. } | Self::MissingMasterKeys { .. } | Self::Config(_) => EXIT_CONFIG,
            Self::Storage(why) => why.exit_code(),
            Self::Raft(_) | Self::Listener(_) => 1,
        }
    }
}

pub(super) fn start_error(error: NodeError, data_dir: PathBuf) -> StartError {
    match error {
        NodeError::Storage(StorageError::WrongMasterKey { why, .. }) => StartError::WrongMasterKey { data_dir, why },
        NodeError::Storage(other @ StorageError::OtherNode { .. }) => StartError::Config(other.to_string()),
        NodeError::Storage(other) => StartError::Storage(other),
        NodeError::Config(why) => StartError::Config(why),
        NodeError::Listener(why) => StartError::Listener(why),
        NodeError::Raft(why) => StartError::Raft(why),
    }
}
