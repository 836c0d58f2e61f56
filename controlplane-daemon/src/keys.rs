//! Makes keys, for signatures and for encryption. Only the leader does, while it stamps an entry; everybody else reads them from the state.
//!
//! The private key leaves this file sealed; the public key leaves it as a JWK whose `kid` is its own thumbprint.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use controlplane_core::FreshKey;
use controlplane_core::model::KeyFamily;
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

/// A fresh key pair: private key as sealed PKCS#8 DER, public key as JWK. RSA takes about 100 ms of CPU.
///
/// A JWK has no `alg` if the key is for more than one (RFC 7517 §4.4 leaves the member out then), such as RS256 and PS256.
pub fn generate(family: KeyFamily, keyring: &Keyring) -> Result<FreshKey, KeyGenError> {
    let pair = Pair::generate(family)?;
    let kid = pair.public.thumbprint();
    let alg = family.only_algorithm().map(|only| ("alg", only.to_owned()));
    let usage = if family.is_for_encryption() { "enc" } else { "sig" };
    let about = [("kid", kid.as_str().to_owned()), ("use", usage.to_owned())];
    let public_jwk = json_object(pair.public.members().into_iter().chain(alg).chain(about));
    let private_key = keyring.seal(pair.pkcs8.expose(), rand::random());
    Ok(FreshKey { kid, family, public_jwk, private_key })
}

/// No key, but as large as one: to see how large an entry with such keys would be.
pub fn stand_in(family: KeyFamily, number: usize, keyring: &Keyring) -> FreshKey {
    let (public_bytes, private_bytes) = match family {
        KeyFamily::P256 | KeyFamily::P256Encryption => (224, 138),
        KeyFamily::P384 => (274, 185),
        KeyFamily::Ed25519 => (135, 83),
        KeyFamily::Rsa | KeyFamily::RsaEncryption => (471, 1217),
    };
    let kid = format!("stand-in-{number:034}").parse().expect("is a key id by its grammar");
    let private_key = keyring.seal(&vec![0; private_bytes], [0; 24]);
    FreshKey { kid, family, public_jwk: format!("{:public_bytes$}", "{}"), private_key }
}

struct Pair {
    pkcs8: Secret<Vec<u8>>,
    public: PublicKey,
}

impl Pair {
    fn generate(family: KeyFamily) -> Result<Self, KeyGenError> {
        match family {
            KeyFamily::P256 | KeyFamily::P256Encryption => {
                Self::on_curve("P-256", 32, &ECDSA_P256_SHA256_FIXED_SIGNING)
            }
            KeyFamily::P384 => Self::on_curve("P-384", 48, &ECDSA_P384_SHA384_FIXED_SIGNING),
            KeyFamily::Ed25519 => {
                let pair = Ed25519KeyPair::generate()?;
                let public = PublicKey::Ed25519 { x: pair.public_key().as_ref().to_vec() };
                Ok(Self { pkcs8: Secret::new(pair.to_pkcs8v1()?.as_ref().to_vec()), public })
            }
            KeyFamily::Rsa | KeyFamily::RsaEncryption => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
                let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let der: Pkcs8V1Der<'static> = pair.as_der()?;
                Ok(Self { pkcs8: Secret::new(der.as_ref().to_vec()), public: PublicKey::Rsa { n, e } })
            }
        }
    }

    fn on_curve(
        crv: &'static str,
        coordinate_bytes: usize,
        algorithm: &'static EcdsaSigningAlgorithm,
    ) -> Result<Self, KeyGenError> {
        let pair = EcdsaKeyPair::generate(algorithm)?;
        // SEC 1 §2.3.3: 0x04 ‖ x ‖ y
        let point = pair.public_key().as_ref();
        let (x, y) = point.get(1..).and_then(|xy| xy.split_at_checked(coordinate_bytes)).ok_or(KeyGenError)?;
        let public = PublicKey::Ec { crv, x: x.to_vec(), y: y.to_vec() };
        Ok(Self { pkcs8: Secret::new(pair.to_pkcs8v1()?.as_ref().to_vec()), public })
    }
}

enum PublicKey {
    Ec { crv: &'static str, x: Vec<u8>, y: Vec<u8> },
    Ed25519 { x: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl PublicKey {
    /// The members RFC 7638 §3.2 hashes, in its lexicographic order (for OKP: RFC 8037 §2).
    fn members(&self) -> Vec<(&'static str, String)> {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ec { crv, x, y } => {
                vec![("crv", (*crv).to_owned()), ("kty", "EC".to_owned()), ("x", b64(x)), ("y", b64(y))]
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
        for family in KeyFamily::SIGNING {
            let fresh = generate(family, &ring()).unwrap();
            let other = generate(family, &ring()).unwrap();
            assert_ne!(fresh.kid, other.kid);
            let pkcs8 = ring().open(&fresh.private_key).unwrap();
            let (alg, signing_key) = match family {
                KeyFamily::RsaEncryption | KeyFamily::P256Encryption => continue,
                KeyFamily::P256 => (Algorithm::ES256, EncodingKey::from_ec_der(pkcs8.expose())),
                KeyFamily::P384 => (Algorithm::ES384, EncodingKey::from_ec_der(pkcs8.expose())),
                KeyFamily::Ed25519 => (Algorithm::EdDSA, EncodingKey::from_ed_der(pkcs8.expose())),
                KeyFamily::Rsa => {
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
            assert!(verify(&fresh.public_jwk).is_ok(), "{family:?}");
            assert!(verify(&other.public_jwk).is_err(), "{family:?}");
        }
    }

    #[test]
    fn a_stand_in_is_as_large_as_a_key() {
        for family in KeyFamily::ALL {
            let [key, stand_in] = [generate(family, &ring()).unwrap(), stand_in(family, 7, &ring())]
                .map(|key| serde_json::to_vec(&key).unwrap().len());
            assert!(key.abs_diff(stand_in) <= 32, "{family:?}: {key}, {stand_in}");
        }
    }

    #[test]
    fn the_jwk_says_what_it_is_for_and_holds_nothing_private() {
        for family in KeyFamily::ALL {
            let fresh = generate(family, &ring()).unwrap();
            let jwk: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&fresh.public_jwk).unwrap();
            assert_eq!(jwk["kid"], fresh.kid.as_str());
            let several = matches!(family, KeyFamily::Rsa | KeyFamily::P256Encryption);
            let alg = (!several).then(|| family.as_str().into());
            assert_eq!(jwk.get("alg"), alg.as_ref());
            assert_eq!(jwk["use"], if family.is_for_encryption() { "enc" } else { "sig" });
            for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert!(!jwk.contains_key(private), "{private}");
            }
        }
    }
}
