//! Clients that register themselves (RFC 7591), and the tokens that let them.

use serde::{Deserialize, Serialize};
use vocab::{RegistrationTokenId, SecretDigest, Timestamp};

/// How a client came here by itself, and how it proves that it is the one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Of the registration access token (RFC 7592 §3).
    pub digest: SecretDigest,
    /// Of the one before, which is good until its successor is used: the answer that held that one may have been lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_digest: Option<SecretDigest>,
    /// The initial access token that let it in. Absent: anybody was let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<RegistrationTokenId>,
    /// Whose software statement it showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_issuer: Option<String>,
}

impl Registration {
    /// Whether a registration access token of this digest is the client's.
    pub fn is_proven_by(&self, proof: &SecretDigest) -> bool {
        self.digest == *proof || self.previous_digest.as_ref() == Some(proof)
    }

    /// With a successor in the place of the token that was shown.
    #[must_use]
    pub fn rotated(self, shown: SecretDigest, successor: SecretDigest) -> Self {
        Self { digest: successor, previous_digest: Some(shown), ..self }
    }
}

/// An initial access token (RFC 7591 §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationToken {
    pub id: RegistrationTokenId,
    pub spec: RegistrationTokenSpec,
    pub digest: SecretDigest,
    pub created_at: Timestamp,
    /// How many clients it has let in.
    pub uses: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrationTokenSpec {
    /// For people: who has it.
    pub name: String,
    /// Absent: until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Clients that it lets in. Absent: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u32>,
}

impl RegistrationToken {
    /// Whether it lets in one more.
    pub fn is_good_at(&self, now: Timestamp) -> bool {
        self.spec.expires_at.is_none_or(|end| now < end) && self.spec.max_uses.is_none_or(|most| self.uses < most)
    }
}
