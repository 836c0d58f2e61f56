//! The leader's signature under a removal of audit records: a JWS (RFC 7515) by the global key.

use controlplane_core::State;
use controlplane_core::model::KeyOwner;
use controlplane_core::mutation::Truncation;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use vocab::{ChainHash, KeyId};

use super::token::jws_algorithm;

/// What is signed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) through_seq: u64,
    pub(super) last_hash: ChainHash,
    pub(super) removed: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SignatureError {
    #[error("the signature cannot be read")]
    Malformed,
    #[error("the key that signed is no longer known")]
    UnknownKey,
    #[error("the signature does not verify")]
    Wrong,
}

pub(super) fn check(truncation: &Truncation, state: &State) -> Result<(), SignatureError> {
    let header = jsonwebtoken::decode_header(&truncation.signature).map_err(|_| SignatureError::Malformed)?;
    let kid: KeyId = header.kid.and_then(|kid| kid.parse().ok()).ok_or(SignatureError::Malformed)?;
    // Revoked keys, too: the signature is older than the revocation.
    let key = state.key(KeyOwner::Global, &kid).ok_or(SignatureError::UnknownKey)?;
    let jwk: Jwk = serde_json::from_str(&key.public_jwk).map_err(|_| SignatureError::UnknownKey)?;
    let verifying_key = DecodingKey::from_jwk(&jwk).map_err(|_| SignatureError::UnknownKey)?;
    let mut rules = Validation::new(jws_algorithm(key.algorithm));
    rules.validate_exp = false;
    rules.required_spec_claims.clear();
    let signed = jsonwebtoken::decode::<Claims>(&truncation.signature, &verifying_key, &rules);
    let signed = signed.map_err(|_| SignatureError::Wrong)?.claims;
    let Truncation { through_seq, last_hash, removed, .. } = *truncation;
    if signed == (Claims { through_seq, last_hash, removed }) { Ok(()) } else { Err(SignatureError::Wrong) }
}
