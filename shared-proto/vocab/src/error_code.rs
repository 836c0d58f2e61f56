//! The stable words for what went wrong, the `code` of every problem document (RFC 9457).

use std::fmt;

/// Codes that outsiders program against. Adding one is compatible; renaming one is not.
///
/// The OAuth error codes of the data plane are the RFCs' own and live in `oauth-core`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request could not be read: malformed JSON, wrong content type, an unknown query parameter.
    InvalidRequest,
    /// The document was read but breaks rules; `errors` lists every one.
    ValidationFailed,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    /// The resource exists already.
    AlreadyExists,
    /// The change contradicts the current state in a way that a retry does not cure.
    Conflict,
    /// The cluster's voters that answer would no longer be a majority; `force` does it nevertheless.
    QuorumAtRisk,
    /// `If-Match` named another revision than the resource has (RFC 9110 §13.1.1).
    PreconditionFailed,
    /// The `Idempotency-Key` was used before with another request.
    IdempotencyMismatch,
    /// The request, its body included, did not arrive in the time that there is for it.
    RequestTimeout,
    PayloadTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    /// A cap of the configuration is reached (tenants, clients of a tenant, …).
    LimitReached,
    /// No leader was found within the bounded wait. Retry later: nothing was changed.
    NoLeader,
    /// The change may or may not have happened. Retry with the same `Idempotency-Key` to find out.
    OutcomeUnknown,
    /// The tenant has no database configured.
    NoDatabase,
    /// The tenant's database does not answer.
    DatabaseUnavailable,
    /// The feature is not configured for this tenant.
    NotConfigured,
    TenantSuspended,
    /// `min_revision` or a linearizable read was not reached within the bounded wait.
    RevisionNotReached,
    /// A voter of an older build would not understand the change. Nothing was changed.
    UpgradeIncomplete,
    Unavailable,
    Internal,
}

impl ErrorCode {
    pub const ALL: [Self; 26] = [
        Self::InvalidRequest,
        Self::ValidationFailed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::AlreadyExists,
        Self::Conflict,
        Self::QuorumAtRisk,
        Self::PreconditionFailed,
        Self::IdempotencyMismatch,
        Self::RequestTimeout,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::TooManyRequests,
        Self::LimitReached,
        Self::NoLeader,
        Self::OutcomeUnknown,
        Self::NoDatabase,
        Self::DatabaseUnavailable,
        Self::NotConfigured,
        Self::TenantSuspended,
        Self::RevisionNotReached,
        Self::UpgradeIncomplete,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The one table: code, HTTP status (RFC 9110 §15), title.
    const fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::InvalidRequest => ("invalid_request", 400, "The request could not be read"),
            Self::ValidationFailed => ("validation_failed", 422, "The document breaks rules"),
            Self::Unauthenticated => ("unauthenticated", 401, "Authentication is needed"),
            Self::Forbidden => ("forbidden", 403, "Not allowed"),
            Self::NotFound => ("not_found", 404, "Not found"),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "Method not allowed"),
            Self::AlreadyExists => ("already_exists", 409, "It exists already"),
            Self::Conflict => ("conflict", 409, "The change conflicts with the current state"),
            Self::QuorumAtRisk => ("quorum_at_risk", 409, "The cluster would lose its majority"),
            Self::PreconditionFailed => ("precondition_failed", 412, "The resource has changed"),
            Self::IdempotencyMismatch => {
                ("idempotency_mismatch", 422, "The Idempotency-Key was used for another request")
            }
            Self::RequestTimeout => ("request_timeout", 408, "The request did not arrive in time"),
            Self::PayloadTooLarge => ("payload_too_large", 413, "The body is too large"),
            Self::UnsupportedMediaType => ("unsupported_media_type", 415, "The media type is not supported"),
            Self::TooManyRequests => ("too_many_requests", 429, "Too many requests"),
            Self::LimitReached => ("limit_reached", 409, "A limit is reached"),
            Self::NoLeader => ("no_leader", 503, "The cluster has no leader"),
            Self::OutcomeUnknown => ("outcome_unknown", 504, "The outcome is unknown"),
            Self::NoDatabase => ("no_database", 409, "The tenant has no database"),
            Self::DatabaseUnavailable => ("database_unavailable", 503, "The tenant's database does not answer"),
            Self::NotConfigured => ("not_configured", 501, "Not configured"),
            Self::TenantSuspended => ("tenant_suspended", 403, "The tenant is suspended"),
            Self::RevisionNotReached => ("revision_not_reached", 503, "The revision was not reached in time"),
            Self::UpgradeIncomplete => ("upgrade_incomplete", 503, "Not every node has been upgraded"),
            Self::Unavailable => ("unavailable", 503, "Unavailable"),
            Self::Internal => ("internal", 500, "Internal error"),
        }
    }

    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    pub const fn http_status(self) -> u16 {
        self.row().1
    }

    pub const fn title(self) -> &'static str {
        self.row().2
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_and_found_by_its_text() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(code));
            assert!((400..600).contains(&code.http_status()));
        }
        assert_eq!(ErrorCode::parse("nonsense"), None);
    }
}
