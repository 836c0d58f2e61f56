//! A tenant's signing keys: one of each family signs, all that are published verify.
//!
//! Private keys are parsed once and kept, and the JWS (RFC 7515 §3.1) is put together around them: parsing a key for
//! each signature would cost as much as the signature itself.

mod hint;

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::{DecodingKey, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use vocab::{KeyFamily, KeyId, Keyring, SealError, Sealed, SigningAlgorithm, Timestamp};

use crate::decryption::DecryptionKeys;
pub use hint::HintFault;

/// Where a key stands in its life. Revoked keys never come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    Next,
    Active,
    Retiring,
}

/// A key as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    pub kid: KeyId,
    pub family: KeyFamily,
    pub status: KeyStatus,
    /// A JWK, JSON text.
    pub public_jwk: String,
    /// PKCS#8 DER (RFC 5208).
    pub private_key: Sealed,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    #[error("the private key is sealed: {0}")]
    Sealed(#[from] SealError),
    #[error("the private key is not one for {alg} in PKCS#8", alg = .0.as_str())]
    PrivateKey(KeyFamily),
    #[error("the public JWK is not usable: {0}")]
    PublicKey(String),
}

#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("the tenant has no active signing key for what is asked")]
    NoActiveKey,
    #[error("the claims cannot be written as JSON: {0}")]
    Claims(#[from] serde_json::Error),
    #[error("the signature failed")]
    Signature,
}

/// Why a token is not one of ours, or no longer. For the log: callers are told no more than `invalid_token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("it is not a JWS of a known form")]
    Malformed,
    #[error("its key is not one of the tenant's")]
    UnknownKey,
    #[error("its algorithm is not its key's")]
    Algorithm,
    #[error("its type is another")]
    Type,
    #[error("its signature is wrong")]
    Signature,
    #[error("it was issued by another issuer")]
    Issuer,
    #[error("it has expired, or is not yet valid")]
    Expired,
    #[error("its claims are not those of such a token")]
    Claims,
}

enum Signer {
    /// On either curve.
    Ec(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    fn parse(family: KeyFamily, pkcs8: &[u8]) -> Result<Self, KeyFault> {
        match family {
            KeyFamily::P256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(Self::Ec),
            KeyFamily::P384 => EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8).map(Self::Ec),
            KeyFamily::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map(Self::EdDsa),
            KeyFamily::Rsa => RsaKeyPair::from_pkcs8(pkcs8).map(Self::Rsa),
            KeyFamily::RsaEncryption | KeyFamily::P256Encryption => return Err(KeyFault::PrivateKey(family)),
        }
        .map_err(|_| KeyFault::PrivateKey(family))
    }

    /// Appends the base64url of the signature of all that is in `jws`.
    fn sign_onto(&self, algorithm: SigningAlgorithm, jws: &mut String) -> Result<(), SignError> {
        let encode = |signature: &[u8], jws: &mut String| {
            jws.push('.');
            URL_SAFE_NO_PAD.encode_string(signature, jws);
        };
        let failed = |_| SignError::Signature;
        match self {
            // RFC 7518 §3.4: r and s side by side, not DER. The hash is the curve's.
            Self::Ec(pair) => {
                let signature = pair.sign(&SystemRandom::new(), jws.as_bytes()).map_err(failed)?;
                encode(signature.as_ref(), jws);
            }
            Self::EdDsa(pair) => {
                let signature = pair.try_sign(jws.as_bytes()).map_err(failed)?;
                encode(signature.as_ref(), jws);
            }
            // A quarter of a millisecond, on the worker that answers: handing it to a thread costs less than that but frees no
            // processor, and there are as many workers as processors. Who wants speed takes ES256, the default.
            Self::Rsa(pair) => {
                let padding = if algorithm == SigningAlgorithm::Ps256 { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), jws.as_bytes(), &mut signature).map_err(failed)?;
                encode(&signature, jws);
            }
        }
        Ok(())
    }
}

/// A key ready for use. Made once and shared by every later picture of the tenant in which it is unchanged.
pub struct SigningKey {
    kid: KeyId,
    family: KeyFamily,
    status: KeyStatus,
    public: Map<String, Value>,
    verifier: DecodingKey,
    signer: Option<Signer>,
    /// One for each algorithm of the family.
    headers: Vec<Headers>,
}

/// `base64url(header).` of the two types that are issued all the time.
struct Headers {
    algorithm: SigningAlgorithm,
    access_token: String,
    jwt: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).field("status", &self.status).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Opens the private key of a key that signs or will sign; a retiring one only verifies.
    pub fn open(record: &KeyRecord, keyring: &Keyring) -> Result<Self, KeyFault> {
        let fault = |error: &dyn std::fmt::Display| KeyFault::PublicKey(error.to_string());
        let public = public_jwk(record)?;
        let jwk = serde_json::from_value(Value::Object(public.clone())).map_err(|e| fault(&e))?;
        let verifier = DecodingKey::from_jwk(&jwk).map_err(|e| fault(&e))?;
        let signer = match record.status {
            KeyStatus::Next | KeyStatus::Active => {
                Some(Signer::parse(record.family, keyring.open(&record.private_key)?.expose())?)
            }
            KeyStatus::Retiring => None,
        };
        let headers = record.family.algorithms().iter().map(|algorithm| Headers {
            algorithm: *algorithm,
            access_token: header(*algorithm, &record.kid, ACCESS_TOKEN),
            jwt: header(*algorithm, &record.kid, JWT),
        });
        Ok(Self {
            headers: headers.collect(),
            kid: record.kid.clone(),
            family: record.family,
            status: record.status,
            public,
            verifier,
            signer,
        })
    }
}

/// A key's JWK as it is published, with nothing in it but what belongs there.
pub(crate) fn public_jwk(record: &KeyRecord) -> Result<Map<String, Value>, KeyFault> {
    let given: Map<String, Value> =
        serde_json::from_str(&record.public_jwk).map_err(|error| KeyFault::PublicKey(error.to_string()))?;
    let mut public: Map<String, Value> =
        given.into_iter().filter(|(name, _)| public_members(record.family).contains(&name.as_str())).collect();
    let usage = if record.family.is_for_encryption() { "enc" } else { "sig" };
    public.insert("kid".to_owned(), record.kid.as_str().into());
    public.insert("use".to_owned(), usage.into());
    // RFC 7517 §4.4: the one algorithm that a key is for. An RSA key that signs is for two.
    if let Some(only) = record.family.only_algorithm() {
        public.insert("alg".to_owned(), only.into());
    }
    Ok(public)
}

/// The public members of a JWK (RFC 7518 §6, RFC 8037 §2).
const fn public_members(family: KeyFamily) -> &'static [&'static str] {
    match family {
        KeyFamily::P256 | KeyFamily::P384 | KeyFamily::P256Encryption => &["kty", "crv", "x", "y"],
        KeyFamily::Ed25519 => &["kty", "crv", "x"],
        KeyFamily::Rsa | KeyFamily::RsaEncryption => &["kty", "n", "e"],
    }
}

const fn verifier(algorithm: SigningAlgorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        SigningAlgorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        SigningAlgorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        SigningAlgorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        SigningAlgorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        SigningAlgorithm::Es384 => jsonwebtoken::Algorithm::ES384,
    }
}

/// RFC 9068 §2.1.
const ACCESS_TOKEN: &str = "at+jwt";
const JWT: &str = "JWT";

/// `base64url(header).` (RFC 7515 §3.1). Neither member needs escaping: a `KeyId` is checked, a type is ours.
fn header(algorithm: SigningAlgorithm, kid: &KeyId, typ: &str) -> String {
    let json = format!(r#"{{"alg":"{}","typ":"{typ}","kid":"{kid}"}}"#, algorithm.as_str());
    let mut header = URL_SAFE_NO_PAD.encode(json);
    header.push('.');
    header
}

/// All keys of a tenant that are not revoked.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<SigningKey>>,
    /// Those that sign, one of a family; the one of the tenant's own algorithm first.
    active: Vec<Arc<SigningKey>>,
    /// The tenant's own.
    algorithm: Option<SigningAlgorithm>,
    /// Those that requests are encrypted to.
    decryption: DecryptionKeys,
    jwks: Bytes,
}

impl KeySet {
    /// `wanted` is what the tenant signs with of itself. Without a key for it, it is whatever there is a key for.
    pub fn new(mut keys: Vec<Arc<SigningKey>>, wanted: Option<SigningAlgorithm>) -> Self {
        keys.sort_by(|a, b| a.kid.cmp(&b.kid));
        let signs = |key: &&Arc<SigningKey>| key.status == KeyStatus::Active && key.signer.is_some();
        let mut active: Vec<_> = keys.iter().filter(signs).cloned().collect();
        active.sort_by_key(|key| (Some(key.family) != wanted.map(SigningAlgorithm::family), key.family));
        let algorithm = active.first().and_then(|key| match wanted {
            Some(wanted) if wanted.family() == key.family => Some(wanted),
            _ => key.family.algorithms().first().copied(),
        });
        Self { keys, active, algorithm, ..Self::default() }.with_decryption(DecryptionKeys::default())
    }

    /// With the keys that requests are encrypted to.
    #[must_use]
    pub fn with_decryption(mut self, decryption: DecryptionKeys) -> Self {
        let public: Vec<_> = self.keys.iter().map(|key| &key.public).chain(decryption.published()).collect();
        self.jwks = serde_json::json!({ "keys": public }).to_string().into();
        self.decryption = decryption;
        self
    }

    pub const fn decryption(&self) -> &DecryptionKeys {
        &self.decryption
    }

    /// The JWK Set document (RFC 7517 §5).
    pub fn jwks(&self) -> Bytes {
        self.jwks.clone()
    }

    /// The `alg` of what [`KeySet::sign`] makes.
    pub const fn signing_algorithm(&self) -> Option<SigningAlgorithm> {
        self.algorithm
    }

    /// Whether [`KeySet::sign_with`] has a key for it.
    pub fn can_sign_with(&self, algorithm: SigningAlgorithm) -> bool {
        self.active.iter().any(|key| key.family == algorithm.family())
    }

    /// A JWS in compact form (RFC 7515 §7.1) of `claims`, as the tenant signs, its header's `typ` as given.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, SignError> {
        self.sign_with(self.algorithm.ok_or(SignError::NoActiveKey)?, typ, claims)
    }

    /// As [`KeySet::sign`], by an algorithm that somebody asks for.
    pub fn sign_with(
        &self,
        algorithm: SigningAlgorithm,
        typ: &str,
        claims: &impl Serialize,
    ) -> Result<String, SignError> {
        let key = self.active.iter().find(|key| key.family == algorithm.family()).ok_or(SignError::NoActiveKey)?;
        let signer = key.signer.as_ref().ok_or(SignError::NoActiveKey)?;
        let headers = key.headers.iter().find(|it| it.algorithm == algorithm).ok_or(SignError::NoActiveKey)?;
        let payload = serde_json::to_vec(claims)?;
        // Header, payload in base64, and the signature of the longest usual key (RSA 2048: 342 characters).
        let mut jws = String::with_capacity(128 + payload.len() * 4 / 3 + 4 + 344);
        match typ {
            ACCESS_TOKEN => jws.push_str(&headers.access_token),
            JWT => jws.push_str(&headers.jwt),
            other => jws.push_str(&header(algorithm, &key.kid, other)),
        }
        URL_SAFE_NO_PAD.encode_string(&payload, &mut jws);
        signer.sign_onto(algorithm, &mut jws)?;
        Ok(jws)
    }

    /// The claims of `token`, when it was signed by one of these keys, as a `typ`, by `issuer`, and is valid at `now`.
    ///
    /// The algorithm is one of the key's, whatever the header says (RFC 8725 §3.1); the type is compared (§3.11).
    pub fn verify<T: DeserializeOwned>(
        &self,
        token: &str,
        typ: &str,
        issuer: &str,
        now: Timestamp,
    ) -> Result<T, VerifyError> {
        self.verify_at(token, typ, issuer, Some(now))
    }

    fn verify_at<T: DeserializeOwned>(
        &self,
        token: &str,
        typ: &str,
        issuer: &str,
        now: Option<Timestamp>,
    ) -> Result<T, VerifyError> {
        let header = read_header(token)?;
        let key = self.keys.iter().find(|key| key.kid.as_str() == header.kid).ok_or(VerifyError::UnknownKey)?;
        let algorithm = key.family.algorithms().iter().find(|algorithm| algorithm.as_str() == header.alg);
        let algorithm = *algorithm.ok_or(VerifyError::Algorithm)?;
        // RFC 7515 §4.1.9: `application/` may be left out.
        let given = header.typ.to_ascii_lowercase();
        if given.strip_prefix("application/").unwrap_or(&given) != typ.to_ascii_lowercase() {
            return Err(VerifyError::Type);
        }
        let mut rules = Validation::new(verifier(algorithm));
        // Checked below, against the clock that was passed in.
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let claims =
            jsonwebtoken::decode::<Value>(token, &key.verifier, &rules).map_err(|_| VerifyError::Signature)?.claims;
        if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
            return Err(VerifyError::Issuer);
        }
        if let Some(now) = now {
            let expires = claims.get("exp").and_then(Value::as_i64).ok_or(VerifyError::Claims)?;
            let begins = claims.get("nbf").map_or(Some(i64::MIN), Value::as_i64).ok_or(VerifyError::Claims)?;
            if now.secs() >= expires || now.secs() < begins {
                return Err(VerifyError::Expired);
            }
        }
        serde_json::from_value(claims).map_err(|_| VerifyError::Claims)
    }
}

#[derive(serde::Deserialize)]
struct JoseHeader {
    alg: String,
    kid: String,
    #[serde(default)]
    typ: String,
    /// RFC 7515 §4.1.11: extensions that must be understood. None is.
    crit: Option<Value>,
}

fn read_header(token: &str) -> Result<JoseHeader, VerifyError> {
    let (encoded, _) = token.split_once('.').ok_or(VerifyError::Malformed)?;
    let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| VerifyError::Malformed)?;
    let header: JoseHeader = serde_json::from_slice(&json).map_err(|_| VerifyError::Malformed)?;
    if header.crit.is_some() { Err(VerifyError::Malformed) } else { Ok(header) }
}

#[cfg(test)]
pub(crate) mod tests;
