//! The one table between [`ErrorCode`] and gRPC status.

use tonic::{Code, Status};
use vocab::ErrorCode;

/// The metadata key that carries the exact [`ErrorCode`] beside the coarser gRPC code.
const CODE_KEY: &str = "hj-error-code";

const fn grpc_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::InvalidRequest
        | ErrorCode::ValidationFailed
        | ErrorCode::IdempotencyMismatch
        | ErrorCode::UnsupportedMediaType => Code::InvalidArgument,
        ErrorCode::Unauthenticated => Code::Unauthenticated,
        ErrorCode::Forbidden | ErrorCode::TenantSuspended => Code::PermissionDenied,
        ErrorCode::NotFound => Code::NotFound,
        ErrorCode::MethodNotAllowed | ErrorCode::NotConfigured => Code::Unimplemented,
        ErrorCode::AlreadyExists => Code::AlreadyExists,
        ErrorCode::Conflict | ErrorCode::QuorumAtRisk | ErrorCode::NoDatabase | ErrorCode::PreconditionFailed => {
            Code::FailedPrecondition
        }
        ErrorCode::PayloadTooLarge | ErrorCode::TooManyRequests | ErrorCode::LimitReached => Code::ResourceExhausted,
        ErrorCode::NoLeader
        | ErrorCode::DatabaseUnavailable
        | ErrorCode::RevisionNotReached
        | ErrorCode::UpgradeIncomplete
        | ErrorCode::Unavailable => Code::Unavailable,
        ErrorCode::RequestTimeout => Code::DeadlineExceeded,
        ErrorCode::OutcomeUnknown => Code::Unknown,
        ErrorCode::Internal => Code::Internal,
    }
}

/// A gRPC status that carries `code` and a message for the other side to read.
pub fn to_status(code: ErrorCode, message: impl Into<String>) -> Status {
    let mut status = Status::new(grpc_code(code), message);
    status.metadata_mut().insert(CODE_KEY, tonic::metadata::MetadataValue::from_static(code.as_str()));
    status
}

/// The [`ErrorCode`] another of our processes put into `status`; `None` when the status was made by the transport.
pub fn error_code(status: &Status) -> Option<ErrorCode> {
    status.metadata().get(CODE_KEY).and_then(|value| value.to_str().ok()).and_then(ErrorCode::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for code in ErrorCode::ALL {
            assert_eq!(error_code(&to_status(code, "why")), Some(code));
        }
        assert_eq!(error_code(&Status::unavailable("connection refused")), None);
    }
}
