//! With what tokens are signed, and which key each algorithm takes.

use serde::{Deserialize, Serialize};

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

/// Keys that can stand in for one another: of each family one signs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyFamily {
    P256,
    Ed25519,
    /// 2048 bits. RS256 and PS256 share a key: RFC 8017 §8 has no objection where each message says which it is.
    Rsa,
    P384,
}

impl KeyFamily {
    pub const ALL: [Self; 4] = [Self::P256, Self::Ed25519, Self::Rsa, Self::P384];

    /// What its keys sign with; the first one is what a key is stored as.
    pub const fn algorithms(self) -> &'static [SigningAlgorithm] {
        match self {
            Self::P256 => &[SigningAlgorithm::Es256],
            Self::Ed25519 => &[SigningAlgorithm::EdDsa],
            Self::Rsa => &[SigningAlgorithm::Rs256, SigningAlgorithm::Ps256],
            Self::P384 => &[SigningAlgorithm::Es384],
        }
    }

    /// What a key of this family is stored as.
    pub const fn stored_as(self) -> SigningAlgorithm {
        match self {
            Self::P256 => SigningAlgorithm::Es256,
            Self::Ed25519 => SigningAlgorithm::EdDsa,
            Self::Rsa => SigningAlgorithm::Rs256,
            Self::P384 => SigningAlgorithm::Es384,
        }
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
            assert_eq!(family.algorithms().first(), Some(&family.stored_as()));
        }
        let of_families: usize = KeyFamily::ALL.map(|family| family.algorithms().len()).iter().sum();
        assert_eq!(of_families, SigningAlgorithm::ALL.len());
    }
}
