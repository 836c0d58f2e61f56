//! The sealed-secret envelope: a NaCl secretbox that names the master key it was made with.
//!
//! Secrets are sealed *before* they enter the Raft log and opened only where they are used, so neither log, snapshot
//! nor backup holds one in the clear. The construction is XSalsa20-Poly1305 with a 24-byte random nonce, the same as
//! PyNaCl's `SecretBox`; the text form is `hjs1.<key id>.<base64url(nonce ‖ ciphertext)>`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::Secret;

/// Bytes of a nonce. The caller draws them at random: 192 bits never repeat in practice.
pub const NONCE_LEN: usize = 24;

const PREFIX: &str = "hjs1";

/// One 32-byte key of `SECRETBOX_MASTER_KEY`.
#[derive(Clone)]
pub struct MasterKey {
    id: String,
    key: Zeroizing<[u8; 32]>,
}

impl MasterKey {
    pub fn new(key: [u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(b"hellojohn master key id").chain_update(key).finalize();
        let id = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let id = format!("{id:08x}");
        Self { id, key: Zeroizing::new(key) }
    }

    /// Eight hex digits that tell keys apart and reveal nothing of them.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A key for something else than sealing, which nothing can be learnt from about this one: one step of HKDF-Expand
    /// (RFC 5869 §2.3).
    pub fn derive(&self, purpose: &str) -> Secret<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("an HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[1]);
        Secret::new(mac.finalize().into_bytes().into())
    }

    fn cipher(&self) -> XSalsa20Poly1305 {
        XSalsa20Poly1305::new(&Key::from(*self.key))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a `SECRETBOX_MASTER_KEY` is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    #[error("no key given: want one or more base64 keys of 32 bytes, separated by commas")]
    Empty,
    #[error("key {position} is not base64")]
    NotBase64 { position: usize },
    #[error("key {position} has {length} bytes, want 32")]
    Length { position: usize, length: usize },
}

/// Why an envelope did not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("sealed with master key {key_id}, which this process does not have (it has {held})")]
    UnknownKey { key_id: String, held: String },
    #[error("the envelope does not open: it is damaged, or was sealed with another key of the id {key_id}")]
    Damaged { key_id: String },
    #[error("not a sealed envelope")]
    Malformed,
}

/// All master keys: the first seals, each opens, so that keys can be rotated.
#[derive(Clone, Debug)]
pub struct Keyring {
    first: MasterKey,
    others: Vec<MasterKey>,
}

impl Keyring {
    pub fn new(first: MasterKey, others: Vec<MasterKey>) -> Self {
        Self { first, others }
    }

    /// `nonce` must be drawn at random for each call.
    pub fn seal(&self, plaintext: &[u8], nonce: [u8; NONCE_LEN]) -> Sealed {
        let ciphertext = self
            .first
            .cipher()
            .encrypt(&Nonce::from(nonce), plaintext)
            .expect("secretbox encrypts any message that fits in memory");
        let mut boxed = nonce.to_vec();
        boxed.extend_from_slice(&ciphertext);
        Sealed { key_id: self.first.id.clone(), boxed }
    }

    pub fn open(&self, sealed: &Sealed) -> Result<Secret<Vec<u8>>, SealError> {
        let key = self.keys().find(|key| key.id == sealed.key_id).ok_or_else(|| SealError::UnknownKey {
            key_id: sealed.key_id.clone(),
            held: self.keys().map(MasterKey::id).collect::<Vec<_>>().join(", "),
        })?;
        let (nonce, ciphertext) = sealed.boxed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Malformed)?;
        key.cipher()
            .decrypt(&Nonce::from(*nonce), ciphertext)
            .map(Secret::new)
            .map_err(|_| SealError::Damaged { key_id: sealed.key_id.clone() })
    }

    pub fn keys(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub fn first_id(&self) -> &str {
        self.first.id()
    }
}

impl FromStr for Keyring {
    type Err = KeyringError;

    /// Reads the setting: base64 keys of 32 bytes, separated by commas.
    fn from_str(text: &str) -> Result<Self, KeyringError> {
        let mut keys = Vec::new();
        for (index, part) in text.split(',').map(str::trim).filter(|part| !part.is_empty()).enumerate() {
            let position = index + 1;
            let bytes = Zeroizing::new(STANDARD.decode(part).map_err(|_| KeyringError::NotBase64 { position })?);
            let key = <[u8; 32]>::try_from(bytes.as_slice())
                .map_err(|_| KeyringError::Length { position, length: bytes.len() })?;
            keys.push(MasterKey::new(key));
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(KeyringError::Empty)?;
        Ok(Self { first, others: keys.collect() })
    }
}

/// An envelope. Safe to store, replicate and log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sealed {
    key_id: String,
    boxed: Vec<u8>,
}

impl Sealed {
    /// The master key this was sealed with.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.{}", self.key_id, URL_SAFE_NO_PAD.encode(&self.boxed))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({PREFIX}.{}.…)", self.key_id)
    }
}

impl From<Sealed> for String {
    fn from(sealed: Sealed) -> Self {
        sealed.to_string()
    }
}

impl TryFrom<String> for Sealed {
    type Error = SealError;

    fn try_from(text: String) -> Result<Self, SealError> {
        text.parse()
    }
}

impl FromStr for Sealed {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        let mut parts = text.splitn(3, '.');
        let (Some(PREFIX), Some(key_id), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealError::Malformed);
        };
        if key_id.len() != 8 || !key_id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(SealError::Malformed);
        }
        let boxed = URL_SAFE_NO_PAD.decode(body).map_err(|_| SealError::Malformed)?;
        if boxed.len() < NONCE_LEN {
            return Err(SealError::Malformed);
        }
        Ok(Self { key_id: key_id.to_owned(), boxed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ring(bytes: u8) -> Keyring {
        Keyring::new(MasterKey::new([bytes; 32]), vec![])
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_again(plain in proptest::collection::vec(any::<u8>(), 0..300), nonce: [u8; 24]) {
            let sealed = ring(1).seal(&plain, nonce);
            let text = sealed.to_string();
            let back: Sealed = text.parse().unwrap();
            prop_assert_eq!(&back, &sealed);
            let opened = ring(1).open(&back).unwrap();
            prop_assert_eq!(opened.expose(), &plain);
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = text.parse::<Sealed>();
        }
    }

    #[test]
    fn a_missing_key_is_named_and_a_flipped_bit_found() {
        let sealed = ring(1).seal(b"dsn", [7; 24]);
        let error = ring(2).open(&sealed).unwrap_err();
        assert!(error.to_string().contains(sealed.key_id()), "{error}");
        let mut damaged = sealed;
        *damaged.boxed.last_mut().unwrap() ^= 1;
        assert!(matches!(ring(1).open(&damaged), Err(SealError::Damaged { .. })));
    }

    #[test]
    fn every_key_of_the_ring_opens_and_the_first_seals() {
        let (old, new) = (MasterKey::new([1; 32]), MasterKey::new([2; 32]));
        let sealed_by_old = Keyring::new(old.clone(), vec![]).seal(b"x", [0; 24]);
        let both = Keyring::new(new.clone(), vec![old]);
        assert_eq!(both.open(&sealed_by_old).unwrap().expose(), b"x");
        assert_eq!(both.seal(b"x", [0; 24]).key_id(), new.id());
    }

    /// The box of NaCl's own `secretbox` test vector (tests/secretbox.c in NaCl 20110221), opened by our envelope.
    #[test]
    fn opens_a_box_made_by_nacl() {
        let key: [u8; 32] = hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389").try_into().unwrap();
        let nonce = hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
        let boxed = hex(
            "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5",
        );
        let key = MasterKey::new(key);
        let sealed = Sealed { key_id: key.id().to_owned(), boxed: [nonce, boxed].concat() };
        let plain = Keyring::new(key, vec![]).open(&sealed).unwrap();
        assert!(plain.expose().starts_with(&hex("be075fc53c81f2d5cf141316")));
    }

    #[test]
    fn the_setting_is_read_and_its_faults_named() {
        let key = STANDARD.encode([9u8; 32]);
        let ring: Keyring = format!("{key}, {}", STANDARD.encode([8u8; 32])).parse().unwrap();
        assert_eq!(ring.keys().count(), 2);
        assert_eq!("".parse::<Keyring>().unwrap_err(), KeyringError::Empty);
        assert_eq!("%%".parse::<Keyring>().unwrap_err(), KeyringError::NotBase64 { position: 1 });
        let short = format!("{key},{}", STANDARD.encode([1u8; 5]));
        assert_eq!(short.parse::<Keyring>().unwrap_err(), KeyringError::Length { position: 2, length: 5 });
    }

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }
}
