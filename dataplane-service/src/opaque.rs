//! Opaque values: codes, refresh tokens, session ids. 256 random bits; only their SHA-256 is ever stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use vocab::{Secret, SecretDigest, Timestamp};

/// A fresh opaque value: base64url, 43 characters.
pub fn fresh() -> Secret<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the process was seeded at start, after which the generator cannot fail");
    Secret::new(URL_SAFE_NO_PAD.encode(bytes))
}

/// What is stored of an opaque value, and looked up when it is presented.
pub fn digest(value: &str) -> Vec<u8> {
    SecretDigest::of(value.as_bytes()).as_bytes().to_vec()
}

/// A UUID of version 7 (RFC 9562 §5.7): what is made later sorts later, which keeps indexes compact.
pub fn fresh_id(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}

/// A UUID of version 4 for a token's `jti`, which says nothing about when it was made.
pub fn fresh_jti() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}
