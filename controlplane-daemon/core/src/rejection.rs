//! Why an entry was refused. A refusal is a value: it is committed like any other outcome and the same on every node.

use serde::{Deserialize, Serialize};
use vocab::{ErrorCode, Revision, Violations};

use crate::mutation::ResourceRef;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rejection {
    #[error("{what} does not exist")]
    NotFound { what: String },
    #[error("{what} exists already")]
    AlreadyExists { what: String },
    #[error("the document breaks rules: {violations}")]
    Invalid { violations: Violations },
    #[error("the resource is at revision {actual}, not at {expected}")]
    PreconditionFailed { expected: Revision, actual: Revision },
    #[error("{why}")]
    Conflict { why: String },
    /// What was shown does not allow it.
    #[error("{why}")]
    Unauthenticated { why: String },
    #[error("{what}: at most {limit}")]
    LimitReached { what: String, limit: u64 },
    #[error("this Idempotency-Key was used for another request")]
    IdempotencyMismatch,
    /// These changed after a batch had been planned.
    #[error("changed since the plan was made: {}", listed(resources))]
    Overtaken { resources: Vec<ResourceRef> },
    /// Of a batch, every item that was refused. Never empty.
    #[error("{}", listed(items))]
    Items { items: Vec<ItemRejection> },
}

/// Why an item of a batch was refused: given all the items before it that were not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("item {index}: {rejection}")]
pub struct ItemRejection {
    /// Counted from 0.
    pub index: usize,
    pub rejection: Rejection,
}

fn listed(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Rejection {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::AlreadyExists { .. } => ErrorCode::AlreadyExists,
            Self::Invalid { .. } => ErrorCode::ValidationFailed,
            Self::PreconditionFailed { .. } | Self::Overtaken { .. } => ErrorCode::PreconditionFailed,
            Self::Conflict { .. } => ErrorCode::Conflict,
            Self::Unauthenticated { .. } => ErrorCode::Unauthenticated,
            Self::LimitReached { .. } => ErrorCode::LimitReached,
            Self::IdempotencyMismatch => ErrorCode::IdempotencyMismatch,
            Self::Items { items } => match items.as_slice() {
                [first, ..] => first.rejection.code(),
                [] => ErrorCode::Conflict,
            },
        }
    }
}
