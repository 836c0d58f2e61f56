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

/// The source of one claim: `{"field": "staff_no"}` or `{"value": "acme"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimSource {
    /// What is stored of the user under this name.
    Field(String),
    /// The same for everybody.
    Value(Value),
}
