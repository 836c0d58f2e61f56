//! What a tenant's operators decide about OAuth for all of its clients. Stored, shown, watched and obeyed in this one
//! shape; the rules for fields are those of [`crate::client`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ScopeName;
use crate::claims::ClaimSource;
use crate::fapi::Fapi;
use crate::identity_provider::IdentityProvider;
use crate::jwk::Jwks;
use crate::registration::RegistrationPolicy;

/// A tenant's `settings.oauth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuthSettings {
    /// Whether `code_challenge_method=plain` is taken (RFC 7636 §4.2). RFC 9700 §2.1.1 advises against it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_plain_pkce: bool,
    /// Whether proofs of DPoP must have a nonce of ours (RFC 9449 §8).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_dpop_nonce: bool,
    /// Whether every client must push its authorization requests (RFC 9126 §5).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_pushed_authorization_requests: bool,
    /// Whether users sign in with a second factor.
    #[serde(skip_serializing_if = "Mfa::is_default")]
    pub mfa: Mfa,
    /// Characters that a password must have at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_min_length: Option<u32>,
    /// How well and how lately a user must have signed in to use the tenant's own user API with a token of hers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_api_step_up: Option<StepUp>,
    /// How long a device and its user code wait for the user (`expires_in` of RFC 8628 §3.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_code_secs: Option<u32>,
    /// How long a client must pause between two questions whether the user has answered (RFC 8628 §3.2, OIDC CIBA §7.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub polling_interval_secs: Option<u32>,
    /// The longest that a request of CIBA waits for the user; the client may ask for less (OIDC CIBA §7.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciba_request_secs: Option<u32>,

    // What becomes of tokens.
    /// How long a refresh token that was replaced is answered with the same successor again, when the answer may have
    /// been lost. A client's own setting comes first; neither: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_grace_secs: Option<u32>,
    /// Claims that are not stored of users under their own name. A scope that lists such a claim releases it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, ClaimSource>,
    /// Issuers whose JWTs are taken as grants (RFC 7523 §2.1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_jwt_issuers: Vec<TrustedJwtIssuer>,
    /// Who may register clients by itself, and which (RFC 7591).
    #[serde(skip_serializing_if = "RegistrationPolicy::is_default")]
    pub registration: RegistrationPolicy,

    /// The FAPI 2.0 Security Profile for every client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fapi: Option<Fapi>,
    /// Where people may sign in beside here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identity_providers: Vec<IdentityProvider>,
    /// What may stand in `authorization_details`, by its `type` (RFC 9396 §2). A type that is not here does not exist.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub authorization_details_types: BTreeMap<String, AuthorizationDetailsType>,
}

/// Whether there are second factors at the sign-in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mfa {
    /// Nobody is asked for one, nor can add one.
    Off,
    /// Who has one is asked for it; who has none adds one when a client needs it.
    #[default]
    Optional,
    /// Everybody is asked; who has none adds one at the next sign-in.
    Required,
}

impl Mfa {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One type of authorization details (RFC 9396 §2), of which the tenant says what its objects look like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthorizationDetailsType {
    /// What a user who is asked reads before the members of the object.
    pub description: String,
    /// What such an object must be, `type` included. Of the kind that [`crate::json_schema`] takes.
    pub schema: serde_json::Value,
    /// Whether a user who allowed it once is not asked again for the same or less. Not for what happens anew each time,
    /// as a payment does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub remember_consent: bool,
}

/// An issuer that the tenant believes when it says for whom a client may act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustedJwtIssuer {
    /// The `iss` of its assertions.
    pub issuer: String,
    /// Its public keys, by value or where it publishes them, never both.
    #[serde(skip_serializing_if = "Jwks::is_empty")]
    pub jwks: Jwks,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Which user its `sub` is.
    pub subject: AssertedSubject,
    /// What a client may get at its word, of the scopes that it may ask for.
    pub scopes: Vec<ScopeName>,
    /// And for which audiences, of those that it may ask for; empty: for all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
}

/// How a user is known to an issuer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssertedSubject {
    /// By the id that the user has here.
    #[default]
    UserId,
    /// By an address that was verified here.
    Email,
}

/// What a protected resource asks of the authentication behind a token (RFC 9470 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StepUp {
    /// Any of these classes will do; empty: any at all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acr_values: Vec<String>,
    /// At most so many seconds since the user signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
}

impl OAuthSettings {
    /// Whether everything is as it is for a tenant that says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub fn device_code_secs(&self) -> u32 {
        self.device_code_secs.unwrap_or(600)
    }

    pub fn polling_interval_secs(&self) -> u32 {
        self.polling_interval_secs.unwrap_or(5)
    }

    pub fn ciba_request_secs(&self) -> u32 {
        self.ciba_request_secs.unwrap_or(300)
    }
}
