//! What a client may do with other clients' tokens.

use serde::{Deserialize, Serialize};

use crate::ClientId;

/// A client's policy of token exchange (RFC 8693 §1.1): whose tokens it may exchange, for whom, and as whom it then acts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenExchange {
    /// Clients whose tokens may be exchanged, beside the client's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_clients: Vec<ClientId>,
    /// Audiences that a token may be exchanged for, beside those that it has. The first is the default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// What the token then says of the client.
    pub modes: Vec<ExchangeMode>,
}

/// Whether the new token tells who acts (RFC 8693 §1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeMode {
    /// The holder cannot be told from the subject.
    Impersonation,
    /// The `act` claim names who acts for the subject.
    Delegation,
}
