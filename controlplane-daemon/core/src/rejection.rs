//! Why an entry was refused. A refusal is a value: it is committed like any other outcome and the same on every node.

use serde::{Deserialize, Serialize};
use vocab::{ErrorCode, Revision, Violations};

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
    #[error("{what}: at most {limit}")]
    LimitReached { what: String, limit: u64 },
    #[error("this Idempotency-Key was used for another request")]
    IdempotencyMismatch,
}

impl Rejection {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::AlreadyExists { .. } => ErrorCode::AlreadyExists,
            Self::Invalid { .. } => ErrorCode::ValidationFailed,
            Self::PreconditionFailed { .. } => ErrorCode::PreconditionFailed,
            Self::Conflict { .. } => ErrorCode::Conflict,
            Self::LimitReached { .. } => ErrorCode::LimitReached,
            Self::IdempotencyMismatch => ErrorCode::IdempotencyMismatch,
        }
    }
}
