//! How answers are encrypted to a client, and requests to us, by the names of the registry of JOSE (RFC 7518 §4.1, §5.1).

use serde::{Deserialize, Serialize};

use crate::jose::KeyFamily;
use crate::jwk::Jwk;

/// How the key of the content reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JweAlgorithm {
    #[serde(rename = "RSA-OAEP-256")]
    RsaOaep256,
    #[serde(rename = "ECDH-ES")]
    EcdhEs,
    #[serde(rename = "ECDH-ES+A256KW")]
    EcdhEsA256Kw,
}

impl JweAlgorithm {
    pub const ALL: [Self; 3] = [Self::RsaOaep256, Self::EcdhEs, Self::EcdhEsA256Kw];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaOaep256 => "RSA-OAEP-256",
            Self::EcdhEs => "ECDH-ES",
            Self::EcdhEsA256Kw => "ECDH-ES+A256KW",
        }
    }

    /// Our keys that something is encrypted to in this way.
    pub const fn family(self) -> KeyFamily {
        match self {
            Self::RsaOaep256 => KeyFamily::RsaEncryption,
            Self::EcdhEs | Self::EcdhEsA256Kw => KeyFamily::P256Encryption,
        }
    }

    /// Whether something may be encrypted to `key` in this way.
    pub fn fits(self, key: &Jwk) -> bool {
        let kind = match (key.kty.as_str(), key.crv.as_deref()) {
            ("RSA", None) => self == Self::RsaOaep256,
            ("EC", Some("P-256" | "P-384")) | ("OKP", Some("X25519")) => self != Self::RsaOaep256,
            _ => false,
        };
        kind && key.is_for_encryption() && key.alg.as_deref().is_none_or(|alg| alg == self.as_str())
    }
}

/// How the content is encrypted. Not by CBC: what is wrong with it has been found too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentEncryption {
    #[serde(rename = "A256GCM")]
    A256Gcm,
}

impl ContentEncryption {
    pub const ALL: [Self; 1] = [Self::A256Gcm];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A256Gcm => "A256GCM",
        }
    }
}

/// What a client asks for, both halves of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encryption {
    pub alg: JweAlgorithm,
    pub enc: ContentEncryption,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_json() {
        for alg in JweAlgorithm::ALL {
            assert_eq!(serde_json::to_value(alg).unwrap(), alg.as_str());
        }
        for enc in ContentEncryption::ALL {
            assert_eq!(serde_json::to_value(enc).unwrap(), enc.as_str());
        }
        for wrong in ["dir", "RSA-OAEP", "RSA1_5", "none"] {
            assert!(serde_json::from_value::<JweAlgorithm>(wrong.into()).is_err());
        }
    }

    #[test]
    fn which_keys_fit() {
        let key = |json: &str| serde_json::from_str::<Jwk>(json).unwrap();
        for (json, rsa, ecdh) in [
            (r#"{"kty":"RSA"}"#, true, false),
            (r#"{"kty":"RSA","use":"sig"}"#, false, false),
            (r#"{"kty":"RSA","use":"enc","alg":"RSA-OAEP"}"#, false, false),
            (r#"{"kty":"EC","crv":"P-256","use":"enc","alg":"ECDH-ES"}"#, false, true),
            (r#"{"kty":"EC","crv":"P-256","alg":"ES256"}"#, false, false),
            (r#"{"kty":"EC","crv":"P-256","key_ops":["verify"]}"#, false, false),
            (r#"{"kty":"OKP","crv":"X25519"}"#, false, true),
            (r#"{"kty":"OKP","crv":"Ed25519"}"#, false, false),
        ] {
            let key = key(json);
            assert_eq!((JweAlgorithm::RsaOaep256.fits(&key), JweAlgorithm::EcdhEs.fits(&key)), (rsa, ecdh), "{json}");
        }
    }
}
