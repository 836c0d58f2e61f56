//! What a token is bound to beside its bearer: a key of DPoP (RFC 9449 §6) or a certificate (RFC 8705 §3). A token with a
//! confirmation is good only together with a proof that its holder has that key.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256, in base64url wherever it is written: of a JWK (RFC 7638) or of a certificate's DER (RFC 8705 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Of a certificate's DER, this is its `x5t#S256`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Names a public key, so there is nothing to hide.
impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 in base64url")]
pub struct NotAThumbprint;

impl FromStr for Thumbprint {
    type Err = NotAThumbprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAThumbprint)?;
        bytes.try_into().map(Self).map_err(|_| NotAThumbprint)
    }
}

impl TryFrom<String> for Thumbprint {
    type Error = NotAThumbprint;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Thumbprint> for String {
    fn from(thumbprint: Thumbprint) -> Self {
        thumbprint.to_string()
    }
}

/// The claim `cnf` (RFC 7800 §3.1) of a token: `{"jkt": "…"}` or `{"x5t#S256": "…"}`. One of a kind we do not know makes a
/// token unreadable rather than free for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confirmation {
    /// The key that signs DPoP proofs.
    #[serde(rename = "jkt")]
    Key(Thumbprint),
    /// The certificate of mutual TLS.
    #[serde(rename = "x5t#S256")]
    Certificate(Thumbprint),
}

impl Confirmation {
    /// The `token_type` of a token that is bound so (RFC 9449 §5; RFC 8705 leaves it at Bearer).
    pub const fn token_type(bound: Option<Self>) -> &'static str {
        match bound {
            Some(Self::Key(_)) => "DPoP",
            Some(Self::Certificate(_)) | None => "Bearer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claim_is_that_of_the_rfcs() {
        let thumbprint: Thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap();
        for (confirmation, json) in [
            (Confirmation::Key(thumbprint), r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#),
            (Confirmation::Certificate(thumbprint), r#"{"x5t#S256":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#),
        ] {
            assert_eq!(serde_json::to_string(&confirmation).unwrap(), json);
            assert_eq!(serde_json::from_str::<Confirmation>(json).unwrap(), confirmation);
        }
        for unknown in [r#"{"kid":"x"}"#, r#"{"jkt":"x"}"#, "{}", r#"{"jkt":"","x5t#S256":""}"#] {
            assert!(serde_json::from_str::<Confirmation>(unknown).is_err(), "{unknown}");
        }
        assert_eq!(Confirmation::token_type(Some(Confirmation::Key(thumbprint))), "DPoP");
        assert_eq!(Confirmation::token_type(None), "Bearer");
    }
}
