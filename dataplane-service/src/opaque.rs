//! Opaque values: codes, refresh tokens, session ids. 256 random bits; only their SHA-256 is ever stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_core::waiting::UserCode;
use uuid::Uuid;
use vocab::{Secret, SecretDigest, TenantId, Timestamp};

/// A fresh opaque value: base64url, 43 characters.
pub fn fresh() -> Secret<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the process was seeded at start, after which the generator cannot fail");
    Secret::new(URL_SAFE_NO_PAD.encode(bytes))
}

/// A fresh client secret, as long as the hash of any HMAC (RFC 7518 §3.2): base64url, 86 characters.
pub fn fresh_hmac_secret() -> Secret<String> {
    let mut bytes = [0; 64];
    aws_lc_rs::rand::fill(&mut bytes).expect("the process was seeded at start, after which the generator cannot fail");
    Secret::new(URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether it could be such a value; a JWT has dots.
pub fn looks_like(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A fresh code for a person to type. Only its digest is stored, as of the others; it lives for minutes.
pub fn fresh_user_code() -> UserCode {
    let mut bytes = [0; 64];
    loop {
        aws_lc_rs::rand::fill(&mut bytes)
            .expect("the process was seeded at start, after which the generator cannot fail");
        if let Some(code) = UserCode::from_random(&bytes) {
            return code;
        }
    }
}

/// What is stored of an opaque value, and looked up when it is presented. The tenant is part of it: in a database that
/// two tenants share by mistake, or that a tenant left to its successor, the values of one are nothing to the other.
pub fn digest(tenant: TenantId, value: &str) -> Vec<u8> {
    let mut bytes = tenant.as_uuid().as_bytes().to_vec();
    bytes.extend_from_slice(value.as_bytes());
    SecretDigest::of(&bytes).as_bytes().to_vec()
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
