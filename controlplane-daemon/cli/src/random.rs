//! Random text for secrets, request ids and PKCE verifiers.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// 256 random bits, base64url without padding: 43 characters, also a PKCE verifier (RFC 7636 §4.1).
pub(crate) fn token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// 32 random bytes in the form of `SECRETBOX_MASTER_KEY`.
pub(crate) fn master_key() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

/// A UUID as 32 hex digits.
pub(crate) fn uuid_hex() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().simple().to_string()
}
