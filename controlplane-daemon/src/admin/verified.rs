//! Tokens whose signature was checked a moment ago. A script sends the same one with every request, and checking an
//! ECDSA signature costs more than all else that a small change needs of the CPU.
//!
//! Only the signature's being right is remembered, which cannot change. Key, time and credential are looked up anew.

use std::collections::HashMap;

use parking_lot::Mutex;
use vocab::{SecretDigest, Timestamp};

use super::token::Verified;

/// Bounds the memory. At the bound, tokens that are over go first; then all are checked afresh once.
const MAX_TOKENS: usize = 1_000;

/// By SHA-256: no token stays in memory.
#[derive(Debug, Default)]
pub struct VerifiedTokens {
    known: Mutex<HashMap<SecretDigest, Verified>>,
}

impl VerifiedTokens {
    /// A token that was found right before.
    pub(super) fn known(&self, token: &str) -> Option<Verified> {
        self.known.lock().get(&SecretDigest::of(token.as_bytes())).cloned()
    }

    pub(super) fn remember(&self, token: &str, verified: Verified, now: Timestamp) {
        let digest = SecretDigest::of(token.as_bytes());
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
