//! Makes signing keys. Only the leader does, while it stamps an entry; everybody else reads them from the state.
//!
//! The private key leaves this file sealed; the public key leaves it as a JWK whose `kid` is its own thumbprint.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use controlplane_core::FreshKey;
use controlplane_core::model::SigningAlgorithm;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use vocab::{ErrorCode, KeyId, Keyring, Secret};

/// The generator failed: the machine has no entropy or no memory. Nothing a caller can do but try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key could not be generated")]
pub struct KeyGenError;

impl KeyGenError {
    pub const fn code(self) -> ErrorCode {
        ErrorCode::Internal
    }
}

impl From<aws_lc_rs::error::Unspecified> for KeyGenError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self
    }
}

/// A fresh key pair for `algorithm`: private key as sealed PKCS#8 DER, public key as JWK. RSA takes about 100 ms of CPU.
pub fn generate(algorithm: SigningAlgorithm, keyring: &Keyring) -> Result<FreshKey, KeyGenError> {
    let pair = Pair::generate(algorithm)?;
    let kid = pair.public.thumbprint();
    let public_jwk = json_object(pair.public.members().into_iter().chain([
        ("alg", algorithm.as_str().to_owned()),
        ("kid", kid.as_str().to_owned()),
        ("use", "sig".to_owned()),
    ]));
    let private_key = keyring.seal(pair.pkcs8.expose(), rand::random());
    Ok(FreshKey { kid, algorithm, public_jwk, private_key })
}

struct Pair {
    pkcs8: Secret<Vec<u8>>,
    public: PublicKey,
}

impl Pair {
    fn generate(algorithm: SigningAlgorithm) -> Result<Self, KeyGenError> {
        match algorithm {
            SigningAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
                // SEC 1 §2.3.3: 0x04 ‖ x ‖ y
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).and_then(|xy| xy.split_at_checked(32)).ok_or(KeyGenError)?;
                let public = PublicKey::P256 { x: x.to_vec(), y: y.to_vec() };
                Ok(Self { pkcs8: Secret::new(pair.to_pkcs8v1()?.as_ref().to_vec()), public })
            }
            SigningAlgorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate()?;
                let public = PublicKey::Ed25519 { x: pair.public_key().as_ref().to_vec() };
                Ok(Self { pkcs8: Secret::new(pair.to_pkcs8v1()?.as_ref().to_vec()), public })
            }
            SigningAlgorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
                let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let der: Pkcs8V1Der<'static> = pair.as_der()?;
                Ok(Self { pkcs8: Secret::new(der.as_ref().to_vec()), public: PublicKey::Rsa { n, e } })
            }
        }
    }
}

enum PublicKey {
    P256 { x: Vec<u8>, y: Vec<u8> },
    Ed25519 { x: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl PublicKey {
    /// The members RFC 7638 §3.2 hashes, in its lexicographic order (for OKP: RFC 8037 §2).
    fn members(&self) -> Vec<(&'static str, String)> {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::P256 { x, y } => {
                vec![("crv", "P-256".to_owned()), ("kty", "EC".to_owned()), ("x", b64(x)), ("y", b64(y))]
            }
            Self::Ed25519 { x } => vec![("crv", "Ed25519".to_owned()), ("kty", "OKP".to_owned()), ("x", b64(x))],
            Self::Rsa { n, e } => vec![("e", b64(e)), ("kty", "RSA".to_owned()), ("n", b64(n))],
        }
    }

    /// RFC 7638 §3: SHA-256 over the required members, sorted, without white space.
    fn thumbprint(&self) -> KeyId {
        let members: Vec<String> =
            self.members().into_iter().map(|(name, value)| format!("{}:{}", json!(name), json!(value))).collect();
        let digest = Sha256::digest(format!("{{{}}}", members.join(",")).as_bytes());
        URL_SAFE_NO_PAD.encode(digest).parse().expect("43 characters of base64url are a key id")
    }
}

fn json_object(members: impl Iterator<Item = (&'static str, String)>) -> String {
    serde_json::Value::Object(members.map(|(name, value)| (name.to_owned(), value.into())).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
    use vocab::MasterKey;

    const ALL: [SigningAlgorithm; 3] = [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa, SigningAlgorithm::Rs256];

    fn ring() -> Keyring {
        Keyring::new(MasterKey::new([3; 32]), vec![])
    }

    /// RFC 7638 §3.1.
    #[test]
    fn the_thumbprint_is_that_of_the_rfcs_example() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = PublicKey::Rsa { n: URL_SAFE_NO_PAD.decode(n).unwrap(), e: vec![1, 0, 1] };
        assert_eq!(key.thumbprint().as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn what_a_generated_key_signs_its_jwk_verifies_and_no_other() {
        for algorithm in ALL {
            let fresh = generate(algorithm, &ring()).unwrap();
            let other = generate(algorithm, &ring()).unwrap();
            assert_ne!(fresh.kid, other.kid);
            let pkcs8 = ring().open(&fresh.private_key).unwrap();
            let (alg, signing_key) = match algorithm {
                SigningAlgorithm::Es256 => (Algorithm::ES256, EncodingKey::from_ec_der(pkcs8.expose())),
                SigningAlgorithm::EdDsa => (Algorithm::EdDSA, EncodingKey::from_ed_der(pkcs8.expose())),
                SigningAlgorithm::Rs256 => {
                    let body = base64::engine::general_purpose::STANDARD.encode(pkcs8.expose());
                    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
                    (Algorithm::RS256, EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap())
                }
            };
            let token = jsonwebtoken::encode(&Header::new(alg), &json!({"sub": "x"}), &signing_key).unwrap();
            let mut rules = Validation::new(alg);
            rules.required_spec_claims.clear();
            rules.validate_exp = false;
            let verify = |jwk: &str| {
                let jwk: Jwk = serde_json::from_str(jwk).unwrap();
                let key = DecodingKey::from_jwk(&jwk).unwrap();
                jsonwebtoken::decode::<serde_json::Value>(&token, &key, &rules)
            };
            assert!(verify(&fresh.public_jwk).is_ok(), "{algorithm:?}");
            assert!(verify(&other.public_jwk).is_err(), "{algorithm:?}");
        }
    }

    #[test]
    fn the_jwk_says_what_it_is_for_and_holds_nothing_private() {
        for algorithm in ALL {
            let fresh = generate(algorithm, &ring()).unwrap();
            let jwk: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&fresh.public_jwk).unwrap();
            assert_eq!(jwk["kid"], fresh.kid.as_str());
            assert_eq!(jwk["alg"], algorithm.as_str());
            assert_eq!(jwk["use"], "sig");
            for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert!(!jwk.contains_key(private), "{private}");
            }
        }
    }
}
