//! Taking JWTs apart, checking them, and forging wrong ones.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

#[derive(Clone, Debug)]
pub struct Jwt {
    pub header: Value,
    pub claims: Value,
    pub signature: Vec<u8>,
}

impl Jwt {
    /// Reads it without checking anything.
    #[track_caller]
    pub fn parse(token: &str) -> Self {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else { panic!("not a JWT: {token}") };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
        let json = |part: &str| serde_json::from_slice(&decode(part)).expect("JSON");
        Self { header: json(header), claims: json(claims), signature: decode(signature) }
    }

    /// Header and claims as they stand, with no signature.
    pub fn unsigned(&self) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", encode(&self.header), encode(&self.claims))
    }

    /// Put together again, with that signature.
    pub fn signed_with(&self, signature: &[u8]) -> String {
        format!("{}.{}", self.unsigned(), URL_SAFE_NO_PAD.encode(signature))
    }

    /// `alg: none` and an empty signature (RFC 8725 §2.1).
    pub fn with_alg_none(mut self) -> String {
        self.header["alg"] = "none".into();
        self.signed_with(&[])
    }

    /// `alg: HS256`, keyed with something that is public (RFC 8725 §2.1).
    pub fn with_hs256(mut self, key: &[u8]) -> String {
        self.header["alg"] = "HS256".into();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), self.unsigned().as_bytes());
        self.signed_with(tag.as_ref())
    }
}

/// Checks the signature by the key that the header names and that the token is in its time, and returns the claims.
pub fn verify(token: &str, jwks: &Value) -> Result<Value, String> {
    verify_with(token, jwks, |_| {})
}

/// As [`verify`], of a JWT that does not end.
pub fn verify_signature(token: &str, jwks: &Value) -> Result<Value, String> {
    verify_with(token, jwks, |validation| validation.required_spec_claims.clear())
}

fn verify_with(token: &str, jwks: &Value, change: impl FnOnce(&mut Validation)) -> Result<Value, String> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
    let set: JwkSet = serde_json::from_value(jwks.clone()).map_err(|error| error.to_string())?;
    let kid = header.kid.ok_or("no kid")?;
    let key = set.find(&kid).ok_or_else(|| format!("no key {kid}"))?;
    let key = DecodingKey::from_jwk(key).map_err(|error| error.to_string())?;
    let mut validation = Validation::new(header.alg);
    validation.validate_aud = false;
    change(&mut validation);
    jsonwebtoken::decode::<Value>(token, &key, &validation).map(|data| data.claims).map_err(|error| error.to_string())
}

/// `at_hash` of an access token under a SHA-256 algorithm (OIDC Core §3.1.3.6).
pub fn at_hash(access_token: &str) -> String {
    at_hash_by("ES256", access_token)
}

/// `at_hash` in an ID token that is signed so.
pub fn at_hash_by(algorithm: &str, access_token: &str) -> String {
    let digest = match algorithm {
        "ES384" => Sha384::digest(access_token.as_bytes()).to_vec(),
        "EdDSA" => Sha512::digest(access_token.as_bytes()).to_vec(),
        _ => Sha256::digest(access_token.as_bytes()).to_vec(),
    };
    URL_SAFE_NO_PAD.encode(&digest[..digest.len() / 2])
}
