//! A tenant's own claims: where they come from, and what they cannot be called.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names that the server itself gives a meaning to (OIDC Core §2, §5.1; RFC 7519 §4.1): neither a tenant's claims nor a
/// user's have them.
pub const RESERVED: [&str; 20] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "azp",
    "nonce",
    "acr",
    "amr",
    "auth_time",
    "at_hash",
    "c_hash",
    "s_hash",
    "sid",
    "cnf",
    "email",
    "email_verified",
    "updated_at",
];

/// Where the claims of other providers stand (OIDC Core §5.6.2).
pub const OF_OTHERS: [&str; 2] = ["_claim_names", "_claim_sources"];

/// Whether nobody may call a claim so. Of what the log holds [`RESERVED`] alone is asked: it may hold claims that were
/// called so when they still could be.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || OF_OTHERS.contains(&name)
}

/// The source of one claim: `{"field": "staff_no"}`, `{"value": "acme"}` or `{"aggregated": "credit_jwt"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimSource {
    /// What is stored of the user under this name.
    Field(String),
    /// The same for everybody.
    Value(Value),
    /// A JWT in which another provider says it, stored of the user under this name (OIDC Core §5.6.2).
    Aggregated(String),
}

impl ClaimSource {
    pub const fn is_aggregated(&self) -> bool {
        matches!(self, Self::Aggregated(_))
    }
}
