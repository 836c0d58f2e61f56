//! OpenID providers that a tenant's people may sign in at instead of by a password here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One of them. The tenant is its client by `private_key_jwt` (OIDC Core §9), with the keys that the tenant publishes: there
/// is no secret to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityProvider {
    /// What it is called in paths: its redirect URI is `{issuer}/login/{id}/callback`, of no other provider (RFC 9700
    /// §4.4.2.2).
    pub id: String,
    /// What people read on the button.
    pub display_name: String,
    /// The `iss` of its ID tokens, where its metadata are found (OIDC Discovery §4).
    pub issuer: String,
    /// What the tenant is called there.
    pub client_id: String,
    /// What is asked for beside `openid`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Who may come.
    #[serde(skip_serializing_if = "People::is_default")]
    pub people: People,
    /// Claims of a person that is made, by the claim of the ID token that each is taken from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
}

/// Who may sign in at a provider. A person is known by the provider's issuer and subject; the first time by an address that
/// both sides have verified, never by another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum People {
    /// Those who have an account here.
    #[default]
    Known,
    /// Those, and others, who get one.
    Anybody,
}

impl People {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
