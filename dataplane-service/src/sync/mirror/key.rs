//! A tenant's key as it is kept: parsed once, for what it is for.

use std::sync::Arc;

use vocab::Keyring;

use crate::decryption::DecryptionKey;
use crate::signing::{KeyFault, KeyRecord, SigningKey};

#[derive(Clone, Debug)]
pub(super) enum Key {
    Signs(Arc<SigningKey>),
    Decrypts(Arc<DecryptionKey>),
}

impl Key {
    pub(super) fn open(record: &KeyRecord, keyring: &Keyring) -> Result<Self, KeyFault> {
        if record.family.is_for_encryption() {
            DecryptionKey::open(record, keyring).map(|key| Self::Decrypts(Arc::new(key)))
        } else {
            SigningKey::open(record, keyring).map(|key| Self::Signs(Arc::new(key)))
        }
    }
}
