//! The leader's signature under a removal of audit records: a JWS (RFC 7515) by the global key.

use controlplane_core::model::KeyOwner;
use controlplane_core::mutation::Truncation;
use controlplane_core::{SigningKey, State};
use jsonwebtoken::Validation;
use serde::{Deserialize, Serialize};
use vocab::{ChainHash, KeyId, Keyring};

use crate::jws::{self, SignError};

const TYPE: &str = "hj-audit-truncation+jws";

/// What is signed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    through_seq: u64,
    last_hash: ChainHash,
    removed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the signature cannot be read")]
    Malformed,
    #[error("the key that signed is no longer known")]
    UnknownKey,
    #[error("the signature does not verify")]
    Wrong,
}

/// Signs for the removal of `removed` records, the last of them `through_seq` with the hash `last_hash`.
pub fn sign(
    key: &SigningKey,
    keyring: &Keyring,
    through_seq: u64,
    last_hash: ChainHash,
    removed: u64,
) -> Result<Truncation, SignError> {
    let signature = jws::sign(key, keyring, TYPE, &Claims { through_seq, last_hash, removed })?;
    Ok(Truncation { through_seq, last_hash, removed, signature })
}

/// The key that signed, by its own word.
pub fn signer(truncation: &Truncation) -> Result<KeyId, SignatureError> {
    let header = jsonwebtoken::decode_header(&truncation.signature).map_err(|_| SignatureError::Malformed)?;
    if header.typ.as_deref() != Some(TYPE) {
        return Err(SignatureError::Malformed);
    }
    header.kid.and_then(|kid| kid.parse().ok()).ok_or(SignatureError::Malformed)
}

pub fn check(truncation: &Truncation, state: &State) -> Result<(), SignatureError> {
    let kid = signer(truncation)?;
    // Revoked keys, too: the signature may be older than the revocation. The leader makes it anew by the key that is
    // active then.
    let key = state.key(KeyOwner::Global, &kid).ok_or(SignatureError::UnknownKey)?;
    let verifying_key = jws::verifying_key(key).ok_or(SignatureError::UnknownKey)?;
    // The algorithm is the key's own, whatever the header says (RFC 8725 §3.1).
    let mut rules = Validation::new(jws::algorithm(key.family).ok_or(SignatureError::UnknownKey)?);
    rules.validate_exp = false;
    rules.required_spec_claims.clear();
    let signed = jsonwebtoken::decode::<Claims>(&truncation.signature, &verifying_key, &rules);
    let signed = signed.map_err(|_| SignatureError::Wrong)?.claims;
    let Truncation { through_seq, last_hash, removed, .. } = *truncation;
    if signed == (Claims { through_seq, last_hash, removed }) { Ok(()) } else { Err(SignatureError::Wrong) }
}
