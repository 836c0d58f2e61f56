//! What a tenant's operators decide about OAuth for all of its clients. Stored, shown, watched and obeyed in this one
//! shape; the rules for fields are those of [`crate::client`].

use serde::{Deserialize, Serialize};

/// A tenant's `settings.oauth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuthSettings {
    /// Whether `code_challenge_method=plain` is taken (RFC 7636 §4.2). RFC 9700 §2.1.1 advises against it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_plain_pkce: bool,
}

impl OAuthSettings {
    /// Whether everything is as it is for a tenant that says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
