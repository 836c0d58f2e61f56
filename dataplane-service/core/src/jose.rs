//! JWTs that others signed: client assertions, request objects, DPoP proofs. Signatures are `jsonwebtoken`'s business;
//! which key and which algorithm may be used is decided here, never by the token (RFC 8725 §3.1).

pub mod encrypted;
pub mod keys;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use vocab::jwk::Jwk;
use vocab::jws::JwsAlgorithm;

pub use keys::{ClientKeys, PublicKey, SecretKey};

/// Longer ones are not read.
pub const MAX_BYTES: usize = 32 * 1024;

/// Why a token is not believed. What its sender is told, the caller decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    #[error("it is not a signed JWT in compact form")]
    Malformed,
    /// RFC 7515 §4.1.11: extensions that must be understood. None is.
    #[error("its header asks for extensions that are not understood")]
    Critical,
    #[error("its algorithm is not allowed here")]
    Algorithm,
    /// It may have been published since the keys were fetched.
    #[error("its key is not one of the client's")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("its claims are not those of such a token")]
    Claims,
}

/// A JWS in compact form (RFC 7515 §7.1), taken apart. Nothing of it is believed yet.
pub struct Jws<'a> {
    header: Header,
    /// What was signed: header, dot, payload.
    message: &'a str,
    payload: Vec<u8>,
    signature: &'a str,
}

impl std::fmt::Debug for Jws<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jws").field("alg", &self.header.alg).finish_non_exhaustive()
    }
}

/// Members that point at keys elsewhere (`jku`, `x5u`, `x5c`) are not even read (RFC 8725 §3.10).
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// For DPoP alone (RFC 9449 §4.2); nobody else looks at it.
    jwk: Option<Jwk>,
    crit: Option<IgnoredAny>,
}

impl<'a> Jws<'a> {
    pub fn parse(token: &'a str) -> Result<Self, JoseError> {
        if token.len() > MAX_BYTES {
            return Err(JoseError::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(JoseError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(JoseError::Malformed)?;
        // A dot in the payload would be five parts: encrypted.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseError::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| JoseError::Malformed)?;
        if header.crit.is_some() {
            return Err(JoseError::Critical);
        }
        Ok(Self { header, message, payload: decode(payload)?, signature })
    }

    /// The algorithm that the header names, if it is one of `allowed`.
    pub fn algorithm(&self, allowed: &[JwsAlgorithm]) -> Result<JwsAlgorithm, JoseError> {
        let named = JwsAlgorithm::parse(&self.header.alg).ok_or(JoseError::Algorithm)?;
        if allowed.contains(&named) { Ok(named) } else { Err(JoseError::Algorithm) }
    }

    /// Whether it says that nobody signed it, and nobody did (RFC 7518 §3.6).
    pub fn is_unsigned(&self) -> bool {
        self.header.alg == "none" && self.signature.is_empty()
    }

    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Whether the header's `typ` is `typ`; `application/` may be left out (RFC 7515 §4.1.9).
    pub fn has_type(&self, typ: &str) -> bool {
        self.header.typ.as_deref().is_some_and(|given| {
            let prefix = given.get(..12).filter(|start| start.eq_ignore_ascii_case("application/"));
            let given = if prefix.is_some() { given.get(12..).unwrap_or_default() } else { given };
            given.eq_ignore_ascii_case(typ)
        })
    }

    /// Whether the header says what kind of token it is.
    pub const fn is_typed(&self) -> bool {
        self.header.typ.is_some()
    }

    pub fn embedded_key(&self) -> Option<&Jwk> {
        self.header.jwk.as_ref()
    }

    /// What it says before anybody checked it: only to find out whose keys to check it with.
    pub fn unverified_claims<T: DeserializeOwned>(&self) -> Result<T, JoseError> {
        serde_json::from_slice(&self.payload).map_err(|_| JoseError::Claims)
    }

    fn verify(&self, key: &jsonwebtoken::DecodingKey, algorithm: JwsAlgorithm) -> Result<(), JoseError> {
        let verified =
            jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), key, library_name(algorithm));
        if verified == Ok(true) { Ok(()) } else { Err(JoseError::Signature) }
    }
}

/// A number of seconds since 1970 (RFC 7519 §2). A fraction is allowed, and of no interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NumericDate(i64);

impl NumericDate {
    pub const fn secs(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?.to_string();
        let whole = number.split('.').next().unwrap_or_default();
        // What has an exponent is no date.
        let plain = number.bytes().all(|b| b.is_ascii_digit() || b".-".contains(&b));
        let secs = whole.parse().ok().filter(|_| plain);
        secs.map(Self).ok_or_else(|| serde::de::Error::custom("not a number of seconds"))
    }
}

/// Whom a JWT is for: one or several (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Audiences {
    One(String),
    Many(Vec<String>),
}

const fn library_name(algorithm: JwsAlgorithm) -> Algorithm {
    match algorithm {
        JwsAlgorithm::Es256 => Algorithm::ES256,
        JwsAlgorithm::Es384 => Algorithm::ES384,
        JwsAlgorithm::EdDsa => Algorithm::EdDSA,
        JwsAlgorithm::Ps256 => Algorithm::PS256,
        JwsAlgorithm::Ps384 => Algorithm::PS384,
        JwsAlgorithm::Ps512 => Algorithm::PS512,
        JwsAlgorithm::Rs256 => Algorithm::RS256,
        JwsAlgorithm::Rs384 => Algorithm::RS384,
        JwsAlgorithm::Rs512 => Algorithm::RS512,
        JwsAlgorithm::Hs256 => Algorithm::HS256,
        JwsAlgorithm::Hs384 => Algorithm::HS384,
        JwsAlgorithm::Hs512 => Algorithm::HS512,
    }
}

#[cfg(test)]
pub(crate) mod tests;
