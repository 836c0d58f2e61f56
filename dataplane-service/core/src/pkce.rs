//! Proof Key for Code Exchange (RFC 7636): `S256` (RFC 9700 §2.1.1), and `plain` for tenants that cannot do without.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::error::OAuthError;

/// A code challenge with its method (RFC 7636 §4.2). As text, the way it is stored, `S256` is the base64url of a
/// SHA-256, and `plain` has [`PLAIN`] before it: no verifier can make the one pass for the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Challenge(String);

/// Stands in no base64url and in no verifier.
const PLAIN: &str = "plain:";

/// The text was not the base64url of 32 bytes, or, for `plain`, not a verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a code challenge is the base64url of a SHA-256, 43 characters without padding")]
pub struct InvalidChallenge;

impl Challenge {
    /// An `S256` challenge.
    pub fn parse(text: &str) -> Result<Self, InvalidChallenge> {
        match URL_SAFE_NO_PAD.decode(text) {
            Ok(digest) if digest.len() == 32 => Ok(Self(text.to_owned())),
            _ => Err(InvalidChallenge),
        }
    }

    /// A `plain` challenge: the verifier itself.
    pub fn plain(text: &str) -> Result<Self, InvalidChallenge> {
        if is_verifier(text) { Ok(Self(format!("{PLAIN}{text}"))) } else { Err(InvalidChallenge) }
    }

    /// The `S256` challenge that this verifier answers, if it is one.
    pub fn answered_by(verifier: &str) -> Option<Self> {
        is_verifier(verifier).then(|| Self(URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))))
    }

    /// As it came out of the store.
    pub fn stored(text: &str) -> Result<Self, InvalidChallenge> {
        text.strip_prefix(PLAIN).map_or_else(|| Self::parse(text), Self::plain)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The method is the challenge's own: what it was asked for with, nothing at the token endpoint changes
    /// (RFC 9700 §4.8.2).
    fn matches(&self, verifier: &str) -> bool {
        if let Some(plain) = self.0.strip_prefix(PLAIN) {
            return plain.as_bytes().ct_eq(verifier.as_bytes()).into();
        }
        let computed = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        self.0.as_bytes().ct_eq(computed.as_bytes()).into()
    }
}

impl TryFrom<String> for Challenge {
    type Error = InvalidChallenge;

    fn try_from(text: String) -> Result<Self, InvalidChallenge> {
        Self::stored(&text)
    }
}

impl From<Challenge> for String {
    fn from(challenge: Challenge) -> Self {
        challenge.0
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the one who redeems a code is the one who asked for it (RFC 7636 §4.6).
pub fn verify(challenge: Option<&Challenge>, verifier: Option<&str>) -> Result<(), OAuthError> {
    match (challenge, verifier) {
        (None, None) => Ok(()),
        // A verifier without a challenge means that somebody took the challenge out of the request (RFC 9700 §4.8.2).
        (None, Some(_)) => Err(OAuthError::invalid_grant("The code was asked for without a code_challenge.")),
        (Some(_), None) => Err(OAuthError::invalid_grant("The code_verifier is missing.")),
        (Some(_), Some(verifier)) if !is_verifier(verifier) => {
            Err(OAuthError::invalid_grant("A code_verifier has 43 to 128 of A-Z, a-z, 0-9, -, ., _ and ~."))
        }
        (Some(challenge), Some(verifier)) if challenge.matches(verifier) => Ok(()),
        (Some(_), Some(_)) => Err(OAuthError::invalid_grant("The code_verifier does not match.")),
    }
}

/// `43*128unreserved` (RFC 7636 §4.1).
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use proptest::prelude::*;
    use rstest::rstest;

    /// RFC 7636 Appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[rstest]
    #[case(Some(CHALLENGE), Some(VERIFIER), true)]
    #[case(None, None, true)]
    #[case(None, Some(VERIFIER), false)]
    #[case(Some(CHALLENGE), None, false)]
    #[case(Some(CHALLENGE), Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl"), false)]
    #[case(Some(CHALLENGE), Some(CHALLENGE), false)]
    #[case(Some(CHALLENGE), Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjX"), false)]
    #[case(Some(CHALLENGE), Some("dBjftJeZ4CVP mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), false)]
    fn verification(#[case] challenge: Option<&str>, #[case] verifier: Option<&str>, #[case] passes: bool) {
        let challenge = challenge.map(|text| Challenge::parse(text).unwrap());
        match verify(challenge.as_ref(), verifier) {
            Ok(()) => assert!(passes),
            Err(error) => {
                assert!(!passes);
                assert_eq!(error.code(), Code::InvalidGrant);
            }
        }
    }

    #[test]
    fn neither_method_passes_for_the_other() {
        let s256 = Challenge::parse(CHALLENGE).unwrap();
        let plain = Challenge::plain(VERIFIER).unwrap();
        assert!(verify(Some(&plain), Some(VERIFIER)).is_ok());
        // The verifier of `plain` would be the challenge itself.
        assert!(verify(Some(&s256), Some(CHALLENGE)).is_err());
        assert!(verify(Some(&Challenge::plain(CHALLENGE).unwrap()), Some(VERIFIER)).is_err());
        for challenge in [s256, plain] {
            assert_eq!(Challenge::stored(challenge.as_str()).unwrap(), challenge);
        }
        assert!(Challenge::stored("plain:short").is_err() && Challenge::plain("plain:").is_err());
    }

    #[test]
    fn verifiers_have_43_to_128_characters() {
        for (length, good) in [(42, false), (43, true), (128, true), (129, false)] {
            assert_eq!(is_verifier(&"a".repeat(length)), good, "{length}");
        }
    }

    #[test]
    fn challenges_have_43_characters() {
        for bad in
            ["", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=", "ü"]
        {
            assert!(Challenge::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_well_formed_verifier_matches_its_own_challenge_only(a in "[A-Za-z0-9._~-]{43,128}", b in "[A-Za-z0-9._~-]{43,128}") {
            let challenge = Challenge(URL_SAFE_NO_PAD.encode(Sha256::digest(a.as_bytes())));
            prop_assert!(verify(Some(&challenge), Some(&a)).is_ok());
            prop_assert_eq!(verify(Some(&challenge), Some(&b)).is_ok(), a == b);
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = Challenge::parse(&text);
        }
    }
}
