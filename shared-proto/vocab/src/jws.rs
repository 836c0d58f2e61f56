//! Signature algorithms that are verified here, by their names in the registry of JOSE (RFC 7518 §3.1, RFC 8037 §3.1). They
//! are more than [we sign with](crate::jose), and `none` is not among them.

use serde::{Deserialize, Serialize};

/// An `alg` of a signature that is verified here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum JwsAlgorithm {
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "ES384")]
    Es384,
    #[serde(rename = "EdDSA")]
    EdDsa,
    #[serde(rename = "PS256")]
    Ps256,
    #[serde(rename = "PS384")]
    Ps384,
    #[serde(rename = "PS512")]
    Ps512,
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "RS384")]
    Rs384,
    #[serde(rename = "RS512")]
    Rs512,
    #[serde(rename = "HS256")]
    Hs256,
    #[serde(rename = "HS384")]
    Hs384,
    #[serde(rename = "HS512")]
    Hs512,
}

impl JwsAlgorithm {
    /// With a public key: whoever verifies cannot sign.
    pub const ASYMMETRIC: [Self; 9] = [
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];
    /// With a secret that both ends have.
    pub const SYMMETRIC: [Self; 3] = [Self::Hs256, Self::Hs384, Self::Hs512];
    /// What FAPI 2.0 Security Profile §5.4.1 leaves of them.
    pub const FAPI: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Ps256];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ASYMMETRIC.into_iter().chain(Self::SYMMETRIC).find(|algorithm| algorithm.as_str() == text)
    }

    /// How long the secret of an HMAC must be: as long as the hash (RFC 7518 §3.2). `None`: it has none.
    pub const fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
        }
    }

    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_json() {
        for algorithm in JwsAlgorithm::ASYMMETRIC.into_iter().chain(JwsAlgorithm::SYMMETRIC) {
            assert_eq!(JwsAlgorithm::parse(algorithm.as_str()), Some(algorithm));
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
            assert_eq!(algorithm.is_symmetric(), algorithm.as_str().starts_with("HS"));
        }
        assert_eq!(JwsAlgorithm::parse("none"), None);
        assert_eq!(JwsAlgorithm::parse("es256"), None);
    }
}
