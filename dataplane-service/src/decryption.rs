//! Requests that only we can read: JWE in compact form (RFC 7516 §7.1), to a key of the tenant's. What comes out is still to
//! be verified: anybody can encrypt to a key that is published.
//!
//! Ciphertexts are opened by `picky`, but keys of RSA never get there: how long it takes tells of them (RUSTSEC-2023-0071).
//! With those aws-lc opens the key of the content.

use std::sync::Arc;

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use oauth_core::jose::encrypted::Encrypted;
use picky::jose::jwe::RawJwe;
use picky::key::PrivateKey;
use serde_json::{Map, Value};
use vocab::jwe::JweAlgorithm;
use vocab::{KeyFamily, KeyId, Keyring, Secret};

use crate::signing::{KeyFault, KeyRecord, KeyStatus, public_jwk};

/// Of A256GCM.
const CONTENT_KEY_BYTES: usize = 32;

enum Private {
    Rsa(OaepPrivateDecryptingKey),
    Ec(Box<PrivateKey>),
}

/// A key ready for use. Made once and shared by every later picture of the tenant in which it is unchanged.
pub struct DecryptionKey {
    kid: KeyId,
    family: KeyFamily,
    status: KeyStatus,
    public: Map<String, Value>,
    private: Private,
}

impl std::fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecryptionKey").field("kid", &self.kid).field("status", &self.status).finish_non_exhaustive()
    }
}

/// None of the keys opens it. Why is told to nobody (RFC 7516 §11.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("none of the keys opens it")]
pub struct Unopened;

impl DecryptionKey {
    pub fn open(record: &KeyRecord, keyring: &Keyring) -> Result<Self, KeyFault> {
        let pkcs8 = keyring.open(&record.private_key)?;
        let unusable = || KeyFault::PrivateKey(record.family);
        let private = match record.family {
            KeyFamily::RsaEncryption => {
                let key = PrivateDecryptingKey::from_pkcs8(pkcs8.expose()).map_err(|_| unusable())?;
                Private::Rsa(OaepPrivateDecryptingKey::new(key).map_err(|_| unusable())?)
            }
            KeyFamily::P256Encryption => {
                let key = PrivateKey::from_pkcs8(pkcs8.expose()).map_err(|_| unusable())?;
                Private::Ec(Box::new(key))
            }
            KeyFamily::P256 | KeyFamily::Ed25519 | KeyFamily::Rsa | KeyFamily::P384 => return Err(unusable()),
        };
        let public = public_jwk(record)?;
        Ok(Self { kid: record.kid.clone(), family: record.family, status: record.status, public, private })
    }

    fn decrypt(&self, encrypted: &Encrypted<'_>) -> Option<Vec<u8>> {
        let raw = RawJwe::decode(encrypted.token()).ok()?;
        // RFC 7516 §5.2, step 10: where a key is agreed on, none is carried.
        if encrypted.encryption().alg == JweAlgorithm::EcdhEs && !raw.encrypted_key.is_empty() {
            return None;
        }
        let opened = match &self.private {
            Private::Ec(key) => raw.decrypt(key),
            Private::Rsa(key) => {
                let content_key = content_key(key, &raw.encrypted_key);
                raw.decrypt_direct(content_key.expose())
            }
        };
        opened.ok().map(|jwe| jwe.payload)
    }
}

/// What does not open becomes a key that nobody knows, and fails with the content (RFC 7516 §11.5): nobody learns at
/// which step.
fn content_key(key: &OaepPrivateDecryptingKey, sealed: &[u8]) -> Secret<Vec<u8>> {
    let nobodys = Secret::new(rand::random::<[u8; CONTENT_KEY_BYTES]>().to_vec());
    let mut buffer = vec![0; key.min_output_size()];
    let opened = key.decrypt(&OAEP_SHA256_MGF1SHA256, sealed, &mut buffer, None);
    let opened = opened.map(|key| Secret::new(key.to_vec()));
    // Wiped, too.
    drop(Secret::new(buffer));
    opened.ok().filter(|key| key.expose().len() == CONTENT_KEY_BYTES).unwrap_or(nobodys)
}

/// All of a tenant's that are not revoked.
#[derive(Clone, Debug, Default)]
pub struct DecryptionKeys(Vec<Arc<DecryptionKey>>);

impl DecryptionKeys {
    pub fn new(mut keys: Vec<Arc<DecryptionKey>>) -> Self {
        keys.sort_by(|a, b| a.kid.cmp(&b.kid));
        Self(keys)
    }

    /// What clients are to encrypt to, as JWKs. The next key is not shown before every pod has it, nor one that retires.
    pub fn published(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.0.iter().filter(|key| key.status == KeyStatus::Active).map(|key| &key.public)
    }

    /// What was encrypted, if it is text. With a `kid` the key of that name alone is tried, without one each that fits.
    pub fn open(&self, encrypted: &Encrypted<'_>) -> Result<String, Unopened> {
        let named = |key: &&Arc<DecryptionKey>| encrypted.kid().is_none_or(|kid| key.kid.as_str() == kid);
        let fits = |key: &&Arc<DecryptionKey>| key.family == encrypted.encryption().alg.family();
        let opened = self.0.iter().filter(named).filter(fits).find_map(|key| key.decrypt(encrypted));
        opened.and_then(|content| String::from_utf8(content).ok()).ok_or(Unopened)
    }
}

#[cfg(test)]
mod tests;
