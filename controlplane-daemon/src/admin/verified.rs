//! Tokens whose signature was checked a moment ago. A script sends the same one with every request, and checking an
//! ECDSA signature costs more than all else that a small change needs of the CPU.
//!
//! Only the signature's being right is remembered, which cannot change. Key, time and credential are looked up anew.

use std::collections::HashMap;

use controlplane_core::State;
use parking_lot::Mutex;
use vocab::{AdminId, SecretDigest, Timestamp};

use super::token::{self, TokenError, Verified};

/// Bounds the memory. At the bound, tokens that are over go first; then all are checked afresh once.
const MAX_TOKENS: usize = 1_000;

/// By SHA-256: no token stays in memory.
#[derive(Debug, Default)]
pub struct VerifiedTokens {
    known: Mutex<HashMap<SecretDigest, Verified>>,
}

impl VerifiedTokens {
    /// Whose token this is, if it counts now.
    pub(super) fn holder(&self, token: &str, state: &State, now: Timestamp) -> Result<AdminId, TokenError> {
        let digest = SecretDigest::of(token.as_bytes());
        let known = self.known.lock().get(&digest).cloned();
        if let Some(verified) = known {
            return verified.holder(state, now);
        }
        let verified = token::verify(token, state)?;
        let holder = verified.holder(state, now)?;
        self.remember(digest, verified, now);
        Ok(holder)
    }

    fn remember(&self, digest: SecretDigest, verified: Verified, now: Timestamp) {
        let mut known = self.known.lock();
        if known.len() >= MAX_TOKENS {
            known.retain(|_, verified| !verified.is_over(now));
        }
        if known.len() >= MAX_TOKENS {
            known.clear();
        }
        known.insert(digest, verified);
    }
}
