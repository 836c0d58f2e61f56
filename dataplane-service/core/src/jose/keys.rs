//! Keys of clients, parsed once: when the configuration arrives, or when they were fetched from a `jwks_uri`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::ThumbprintHash;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use vocab::jwk::{Jwk, Jwks, MAX_KEYS};
use vocab::jws::JwsAlgorithm;
use vocab::{Secret, SecretDigest};

use super::{JoseError, Jws};
use crate::confirmation::Thumbprint;

/// A public key that keeps to the rules of [`Jwk::problem`].
#[derive(Clone)]
pub struct PublicKey {
    jwk: Jwk,
    /// `None`: of a kind that is for encryption only.
    verifier: Option<DecodingKey>,
    thumbprint: Thumbprint,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey")
            .field("kid", &self.jwk.kid)
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

/// What else there is was made of it.
impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.jwk == other.jwk
    }
}

impl Eq for PublicKey {}

impl PublicKey {
    pub fn parse(jwk: Jwk) -> Result<Self, String> {
        if let Some(problem) = jwk.problem() {
            return Err(format!("the key {problem}"));
        }
        // The members that make the key, and no other: the library knows fewer of the rest than there are.
        let members = [("crv", &jwk.crv), ("x", &jwk.x), ("y", &jwk.y), ("n", &jwk.n), ("e", &jwk.e)];
        let mut bare: Map<String, Value> =
            members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into()))).collect();
        bare.insert("kty".to_owned(), jwk.kty.clone().into());
        if jwk.crv.as_deref() == Some("X25519") {
            // For encryption only, which the library knows nothing of.
            let thumbprint = Thumbprint::of(Value::Object(bare).to_string().as_bytes());
            return Ok(Self { jwk, verifier: None, thumbprint });
        }
        let unusable = |_| "the key cannot be used".to_owned();
        let bare: jsonwebtoken::jwk::Jwk =
            serde_json::from_value(Value::Object(bare)).map_err(|_| "the key cannot be read".to_owned())?;
        let verifier = Some(DecodingKey::from_jwk(&bare).map_err(unusable)?);
        let thumbprint = bare.thumbprint(ThumbprintHash::SHA256).map_err(unusable)?;
        let thumbprint = thumbprint.parse().map_err(|_| "the key has no thumbprint".to_owned())?;
        Ok(Self { jwk, verifier, thumbprint })
    }

    pub const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// RFC 7638.
    pub const fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// Whether a signature by `algorithm` can be one of this key: the key decides, not the token (RFC 8725 §3.1, §3.2).
    pub fn fits(&self, algorithm: JwsAlgorithm) -> bool {
        use JwsAlgorithm as A;
        let kind = match (self.jwk.kty.as_str(), self.jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => algorithm == A::Es256,
            ("EC", Some("P-384")) => algorithm == A::Es384,
            ("OKP", Some("Ed25519")) => algorithm == A::EdDsa,
            ("RSA", None) => {
                matches!(algorithm, A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512)
            }
            _ => false,
        };
        kind && self.jwk.is_for_signatures() && self.jwk.alg.as_deref().is_none_or(|alg| alg == algorithm.as_str())
    }

    /// The claims of a JWS that this very key signed.
    pub fn verify<T: DeserializeOwned>(&self, jws: &Jws<'_>, allowed: &[JwsAlgorithm]) -> Result<T, JoseError> {
        let algorithm = jws.algorithm(allowed)?;
        if !self.fits(algorithm) {
            return Err(JoseError::Algorithm);
        }
        jws.verify(self.verifier.as_ref().ok_or(JoseError::Algorithm)?, algorithm)?;
        jws.unverified_claims()
    }

    /// The DER of the certificate that goes with the key (RFC 7517 §4.7).
    pub fn certificate(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.jwk.x5c.first()?).ok()
    }
}

/// All keys of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientKeys {
    keys: Vec<PublicKey>,
}

impl ClientKeys {
    /// Of a set that the client was registered with: one bad key makes it useless as a whole.
    pub fn registered(jwks: &Jwks) -> Result<Self, String> {
        if let Some((_, problem)) = jwks.problems().into_iter().next() {
            return Err(format!("jwks: a key or the set {problem}"));
        }
        let keys = jwks.keys.iter().cloned().map(PublicKey::parse).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Of a document that the client publishes. Keys that are not understood, or not to be used, are passed over
    /// (RFC 7517 §5): among them may be one that is.
    pub fn published(document: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(document).map_err(|_| "it is not a JWK Set".to_owned())?;
        let parse = |key: Value| PublicKey::parse(serde_json::from_value(key).ok()?).ok();
        let keys: Vec<_> = set.keys.into_iter().take(MAX_KEYS).filter_map(parse).collect();
        if keys.is_empty() { Err("it holds no key that can be used".to_owned()) } else { Ok(Self { keys }) }
    }

    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter()
    }

    /// The claims of a JWS that one of these keys signed, by one of the algorithms that are allowed. With a `kid` the key
    /// of that name alone is tried; without one, each that fits.
    pub fn verify<T: DeserializeOwned>(&self, jws: &Jws<'_>, allowed: &[JwsAlgorithm]) -> Result<T, JoseError> {
        let algorithm = jws.algorithm(allowed)?;
        let named = |key: &&PublicKey| jws.kid().is_none_or(|kid| key.jwk.kid.as_deref() == Some(kid));
        let mut outcome = Err(JoseError::UnknownKey);
        for key in self.keys.iter().filter(named).filter(|key| key.fits(algorithm)) {
            outcome = key.verify(jws, allowed);
            if outcome.is_ok() {
                break;
            }
        }
        match outcome {
            // Without a name, the key that signed may be one that was published since.
            Err(JoseError::Signature) if jws.kid().is_none() => Err(JoseError::UnknownKey),
            outcome => outcome,
        }
    }
}

/// A client's secret as the key of an HMAC (OIDC Core §10.1).
#[derive(Clone)]
pub struct SecretKey {
    verifier: DecodingKey,
    bytes: usize,
    digest: SecretDigest,
}

/// What else there is was made of it.
impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for SecretKey {}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl SecretKey {
    pub fn new(secret: &Secret<Vec<u8>>) -> Self {
        let secret = secret.expose();
        Self { verifier: DecodingKey::from_secret(secret), bytes: secret.len(), digest: SecretDigest::of(secret) }
    }

    pub fn verify<T: DeserializeOwned>(&self, jws: &Jws<'_>, allowed: &[JwsAlgorithm]) -> Result<T, JoseError> {
        let algorithm = jws.algorithm(allowed)?;
        // RFC 7518 §3.2: a key at least as long as the hash.
        if algorithm.secret_bytes().is_none_or(|needed| self.bytes < needed) {
            return Err(JoseError::Algorithm);
        }
        jws.verify(&self.verifier, algorithm)?;
        jws.unverified_claims()
    }
}
