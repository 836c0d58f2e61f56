//! `id_token_hint`: an ID token that comes back to its issuer, often long after it expired.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_core::issue::ID_TOKEN_TYPE;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{KeySet, VerifyError};

/// Why a hint tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintFault {
    /// Not an ID token of this issuer.
    Invalid,
    /// It says that it is one, by a key that is not kept any more. Keys go some minutes after a rotation, sessions live
    /// for weeks: clients come with such hints in good faith, and whoever makes one up gains nothing by it.
    KeyGone,
}

impl KeySet {
    /// The claims of an ID token of `issuer`, which may have expired (OIDC Core §3.1.2.1, RP-Initiated Logout §2, CIBA
    /// §7.1).
    pub fn verify_hint<T: DeserializeOwned>(&self, token: &str, issuer: &str) -> Result<T, HintFault> {
        self.verify_at(token, ID_TOKEN_TYPE, issuer, None).map_err(|error| match error {
            VerifyError::UnknownKey if claimed_issuer(token).as_deref() == Some(issuer) => HintFault::KeyGone,
            _ => HintFault::Invalid,
        })
    }
}

/// Whose it says it is, which nobody has verified.
fn claimed_issuer(token: &str) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let mut claims: Value = serde_json::from_slice(&payload).ok()?;
    match claims.get_mut("iss")?.take() {
        Value::String(issuer) => Some(issuer),
        _ => None,
    }
}
