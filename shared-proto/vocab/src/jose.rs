//! With what tokens are signed, to what requests are encrypted, and which key each algorithm takes.

use serde::{Deserialize, Serialize};

use crate::jwe::JweAlgorithm;

/// A JWS `alg` that is signed with here (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA")]
    EdDsa,
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "PS256")]
    Ps256,
    #[serde(rename = "ES384")]
    Es384,
}

impl SigningAlgorithm {
    /// As discovery lists them.
    pub const ALL: [Self; 5] = [Self::Es256, Self::EdDsa, Self::Rs256, Self::Ps256, Self::Es384];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es384 => "ES384",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    /// The keys that sign so.
    pub const fn family(self) -> KeyFamily {
        match self {
            Self::Es256 => KeyFamily::P256,
            Self::EdDsa => KeyFamily::Ed25519,
            Self::Rs256 | Self::Ps256 => KeyFamily::Rsa,
            Self::Es384 => KeyFamily::P384,
        }
    }
}

/// Keys that can stand in for one another: of each family one is in use at a time. No key is for signatures and for
/// encryption (RFC 7517 §4.2). In JSON it goes by the first of its algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyFamily {
    #[serde(rename = "ES256")]
    P256,
    #[serde(rename = "EdDSA")]
    Ed25519,
    /// 2048 bits. RS256 and PS256 share a key: RFC 8017 §8 has no objection where each message says which it is.
    #[serde(rename = "RS256", alias = "PS256")]
    Rsa,
    #[serde(rename = "ES384")]
    P384,
    /// 2048 bits, to which requests are encrypted.
    #[serde(rename = "RSA-OAEP-256")]
    RsaEncryption,
    /// On P-256, to agree with on a key for a request.
    #[serde(rename = "ECDH-ES")]
    P256Encryption,
}

impl KeyFamily {
    pub const ALL: [Self; 6] =
        [Self::P256, Self::Ed25519, Self::Rsa, Self::P384, Self::RsaEncryption, Self::P256Encryption];
    pub const SIGNING: [Self; 4] = [Self::P256, Self::Ed25519, Self::Rsa, Self::P384];

    /// What its keys sign with. Those that do not sign have none.
    pub const fn algorithms(self) -> &'static [SigningAlgorithm] {
        match self {
            Self::P256 => &[SigningAlgorithm::Es256],
            Self::Ed25519 => &[SigningAlgorithm::EdDsa],
            Self::Rsa => &[SigningAlgorithm::Rs256, SigningAlgorithm::Ps256],
            Self::P384 => &[SigningAlgorithm::Es384],
            Self::RsaEncryption | Self::P256Encryption => &[],
        }
    }

    /// How something is encrypted to its keys. Those that sign have none.
    pub const fn encryption(self) -> &'static [JweAlgorithm] {
        match self {
            Self::P256 | Self::Ed25519 | Self::Rsa | Self::P384 => &[],
            Self::RsaEncryption => &[JweAlgorithm::RsaOaep256],
            Self::P256Encryption => &[JweAlgorithm::EcdhEs, JweAlgorithm::EcdhEsA256Kw],
        }
    }

    pub const fn is_for_encryption(self) -> bool {
        matches!(self, Self::RsaEncryption | Self::P256Encryption)
    }

    /// The one algorithm that its keys are for, if it is only one (RFC 7517 §4.4).
    pub const fn only_algorithm(self) -> Option<&'static str> {
        match (self.algorithms(), self.encryption()) {
            ([only], []) => Some(only.as_str()),
            ([], [only]) => Some(only.as_str()),
            _ => None,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "ES256",
            Self::Ed25519 => "EdDSA",
            Self::Rsa => "RS256",
            Self::P384 => "ES384",
            Self::RsaEncryption => "RSA-OAEP-256",
            Self::P256Encryption => "ECDH-ES",
        }
    }

    /// By any of its algorithms.
    pub fn parse(text: &str) -> Option<Self> {
        let signing = SigningAlgorithm::parse(text).map(SigningAlgorithm::family);
        signing.or_else(|| Self::ALL.into_iter().find(|family| family.as_str() == text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_json() {
        for algorithm in SigningAlgorithm::ALL {
            assert_eq!(SigningAlgorithm::parse(algorithm.as_str()), Some(algorithm));
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
        }
        for none in ["none", "HS256", "es256", ""] {
            assert_eq!(SigningAlgorithm::parse(none), None);
        }
    }

    #[test]
    fn every_algorithm_is_of_the_family_that_names_it() {
        for family in KeyFamily::ALL {
            assert!(family.algorithms().iter().all(|algorithm| algorithm.family() == family));
            assert!(family.encryption().iter().all(|algorithm| algorithm.family() == family));
            assert_eq!(family.algorithms().is_empty(), family.is_for_encryption());
            assert_eq!(family.encryption().is_empty(), !family.is_for_encryption());
            assert_eq!(serde_json::to_value(family).unwrap(), family.as_str());
            assert_eq!(KeyFamily::parse(family.as_str()), Some(family));
        }
        let of_families: usize = KeyFamily::ALL.map(|family| family.algorithms().len()).iter().sum();
        assert_eq!(of_families, SigningAlgorithm::ALL.len());
        let of_families: usize = KeyFamily::ALL.map(|family| family.encryption().len()).iter().sum();
        assert_eq!(of_families, JweAlgorithm::ALL.len());
        // What was stored before a key was known by its family.
        assert_eq!(serde_json::from_str::<KeyFamily>("\"PS256\"").unwrap(), KeyFamily::Rsa);
        assert_eq!(KeyFamily::parse("PS256"), Some(KeyFamily::Rsa));
        assert_eq!(KeyFamily::parse("HS256"), None);
    }
}
