//! Signing with the keys of the state: a JWS (RFC 7515) of claims, of one kind each. And what is taken of others'.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use controlplane_core::SigningKey;
use controlplane_core::model::KeyFamily;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::Serialize;
use vocab::{Keyring, Secret};

/// What others may have signed with. With `none` or HMAC anybody who knows the public key could sign (RFC 8725 §3.1).
pub const PUBLIC_KEY_ALGORITHMS: [Algorithm; 9] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// What another issuer's clock and ours may differ by.
pub const LEEWAY_SECS: i64 = 60;

/// Why nothing was signed. The texts name no secret.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("the private key cannot be opened: {0}")]
    Sealed(#[from] vocab::SealError),
    #[error("the key is for encryption")]
    Purpose,
    #[error("the private key cannot be used: {0}")]
    Unusable(#[from] jsonwebtoken::errors::Error),
}

/// `kind` becomes `typ`, so that nothing that is signed for one purpose is good for another (RFC 8725 §3.11).
pub fn sign(key: &SigningKey, keyring: &Keyring, kind: &str, claims: &impl Serialize) -> Result<String, SignError> {
    let pkcs8 = keyring.open(&key.private_key)?;
    let signing_key = match key.family {
        KeyFamily::P256 | KeyFamily::P384 => EncodingKey::from_ec_der(pkcs8.expose()),
        KeyFamily::Ed25519 => EncodingKey::from_ed_der(pkcs8.expose()),
        KeyFamily::RsaEncryption | KeyFamily::P256Encryption => return Err(SignError::Purpose),
        KeyFamily::Rsa => {
            // jsonwebtoken takes RSA keys as PKCS#8 in PEM only.
            let body = Secret::new(STANDARD.encode(pkcs8.expose()));
            let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", body.expose());
            EncodingKey::from_rsa_pem(Secret::new(pem).expose().as_bytes())?
        }
    };
    let header = Header {
        typ: Some(kind.to_owned()),
        kid: Some(key.kid.as_str().to_owned()),
        ..Header::new(algorithm(key.family).ok_or(SignError::Purpose)?)
    };
    Ok(jsonwebtoken::encode(&header, claims, &signing_key)?)
}

/// `None`: its public half cannot be read.
pub fn verifying_key(key: &SigningKey) -> Option<DecodingKey> {
    let jwk: Jwk = serde_json::from_str(&key.public_jwk).ok()?;
    DecodingKey::from_jwk(&jwk).ok()
}

/// What a key of the family signs with here; `None`: it is for encryption.
pub const fn algorithm(family: KeyFamily) -> Option<Algorithm> {
    match family {
        KeyFamily::P256 => Some(Algorithm::ES256),
        KeyFamily::Ed25519 => Some(Algorithm::EdDSA),
        KeyFamily::Rsa => Some(Algorithm::RS256),
        KeyFamily::P384 => Some(Algorithm::ES384),
        KeyFamily::RsaEncryption | KeyFamily::P256Encryption => None,
    }
}
