//! OpenID providers that a tenant's people may sign in at instead of by a password here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Sealed;

/// One of them, and how the tenant is its client.
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
    /// How the tenant proves there that it is that client.
    #[serde(skip_serializing_if = "ProviderAuthMethod::is_default")]
    pub token_endpoint_auth_method: ProviderAuthMethod,
    /// What the provider gave it for that, sealed before it came here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Sealed>,
    /// What is asked for beside `openid`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Who may come.
    #[serde(skip_serializing_if = "People::is_default")]
    pub people: People,
    /// Claims of a person that is made, by the claim of the ID token that each is taken from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
    /// The claim that is `true` where the provider has seen that the address is the person's, if it is not
    /// `email_verified` (OIDC Core §5.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_verified_claim: Option<String>,
}

impl IdentityProvider {
    pub fn email_verified_claim(&self) -> &str {
        self.email_verified_claim.as_deref().unwrap_or("email_verified")
    }
}

/// How a client authenticates at the token endpoint of a provider (OIDC Core §9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderAuthMethod {
    /// With the keys that the tenant publishes: there is no secret to keep.
    #[default]
    PrivateKeyJwt,
    ClientSecretBasic,
    ClientSecretPost,
}

impl ProviderAuthMethod {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub const fn needs_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
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
