//! What clients that register themselves prove, by digests.

use serde::{Deserialize, Serialize};
use vocab::{RegistrationTokenId, SecretDigest};

/// What a client that registers itself shows, and what it will show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationProofs {
    /// Of the registration access token that it is given.
    pub management: SecretDigest,
    /// Of the initial access token that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<InitialProof>,
    /// Whose software statement it came with; the node that took it in has verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_issuer: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialProof {
    pub id: RegistrationTokenId,
    pub digest: SecretDigest,
}
