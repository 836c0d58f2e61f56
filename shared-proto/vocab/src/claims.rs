//! Where a tenant's own claims come from.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The source of one claim: `{"field": "staff_no"}` or `{"value": "acme"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimSource {
    /// What is stored of the user under this name.
    Field(String),
    /// The same for everybody.
    Value(Value),
}
