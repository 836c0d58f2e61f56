//! What a tenant lets be registered at its registration endpoint (RFC 7591): its `settings.oauth.registration`.
//!
//! The control plane enforces it, in the very entry that makes the client; pods only read from it what they advertise.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::client::{AuthMethod, GrantType};
use crate::{RegistrationTokenId, ScopeName, Secret, SecretDigest};

/// Empty lists mean what is safe for strangers, not everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrationPolicy {
    pub mode: RegistrationMode,
    /// Grants that may be registered. Empty: `authorization_code` and `refresh_token`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grant_types: Vec<GrantType>,
    /// Ways to authenticate that may be registered. Empty: each that exists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_methods: Vec<AuthMethod>,
    /// Scopes that may be registered, and that who names none gets. Empty: [`USUAL_SCOPES`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<ScopeName>,
    /// Whether users are not asked before a client that registered itself first gets something.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip_consent: bool,
    /// Whose software statements are believed (RFC 7591 §2.3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statement_issuers: Vec<StatementIssuer>,
    /// Whether nobody registers without a software statement.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_statement: bool,
    /// How long the secrets live that clients are given. Who changes its registration in the second half of that time is given
    /// the next one. Absent: until somebody removes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_lifetime_secs: Option<u32>,
    /// Whether each change of a registration brings another registration access token (RFC 7592 §3).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rotate_access_token: bool,
    /// How many registrations a pod takes from one address in a minute.
    #[serde(skip_serializing_if = "is_usual_pace")]
    pub per_minute: u32,
}

impl RegistrationPolicy {
    /// Whether everything is as it is for a tenant that says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub fn allows_grant(&self, grant: GrantType) -> bool {
        if self.grant_types.is_empty() {
            return matches!(grant, GrantType::AuthorizationCode | GrantType::RefreshToken);
        }
        self.grant_types.contains(&grant)
    }

    pub fn allows_scope(&self, scope: &str) -> bool {
        if self.scopes.is_empty() {
            return USUAL_SCOPES.contains(&scope);
        }
        self.scopes.iter().any(|allowed| allowed.as_str() == scope)
    }

    pub fn allows_auth_method(&self, method: AuthMethod) -> bool {
        self.token_endpoint_auth_methods.is_empty() || self.token_endpoint_auth_methods.contains(&method)
    }
}

impl Default for RegistrationPolicy {
    fn default() -> Self {
        Self {
            mode: RegistrationMode::default(),
            grant_types: Vec::new(),
            token_endpoint_auth_methods: Vec::new(),
            scopes: Vec::new(),
            skip_consent: false,
            statement_issuers: Vec::new(),
            require_statement: false,
            client_secret_lifetime_secs: None,
            rotate_access_token: false,
            per_minute: USUAL_PACE,
        }
    }
}

/// The standard scopes about the user who signs in (OIDC Core §5.4, §11).
pub const USUAL_SCOPES: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];

const USUAL_PACE: u32 = 20;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_usual_pace(per_minute: &u32) -> bool {
    *per_minute == USUAL_PACE
}

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationMode {
    /// Nobody; the endpoint is not advertised.
    #[default]
    Off,
    /// Who has an initial access token (RFC 7591 §3).
    Token,
    /// Everybody.
    Open,
}

/// Somebody who vouches for software.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementIssuer {
    /// The `iss` of its statements.
    pub issuer: String,
    /// Its public keys, a JWK Set (RFC 7517 §5).
    pub jwks: Value,
}

/// An initial access token (RFC 7591 §3): `hjr_<its id, 32 hex digits>_<secret>`. The control plane shows it once and keeps
/// the secret's digest; a pod sends on no more than that.
#[derive(Clone, Debug)]
pub struct InitialToken {
    pub id: RegistrationTokenId,
    secret: Secret<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an initial access token")]
pub struct NotAnInitialToken;

impl InitialToken {
    const PREFIX: &str = "hjr_";
    const MAX_SECRET_LEN: usize = 256;

    /// `secret`: at least 128 random bits in base64url.
    pub const fn new(id: RegistrationTokenId, secret: Secret<String>) -> Self {
        Self { id, secret }
    }

    pub fn digest(&self) -> SecretDigest {
        SecretDigest::of(self.secret.expose().as_bytes())
    }

    /// The text that is shown once.
    pub fn reveal(&self) -> Secret<String> {
        Secret::new(format!("{}{}_{}", Self::PREFIX, self.id.as_uuid().simple(), self.secret.expose()))
    }
}

impl FromStr for InitialToken {
    type Err = NotAnInitialToken;

    fn from_str(text: &str) -> Result<Self, NotAnInitialToken> {
        let (id, secret) =
            text.strip_prefix(Self::PREFIX).and_then(|rest| rest.split_once('_')).ok_or(NotAnInitialToken)?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if id.len() != 32 || !(1..=Self::MAX_SECRET_LEN).contains(&secret.len()) || !secret.bytes().all(allowed) {
            return Err(NotAnInitialToken);
        }
        let id = Uuid::try_parse(id).map_err(|_| NotAnInitialToken)?;
        Ok(Self { id: RegistrationTokenId::from_uuid(id), secret: Secret::new(secret.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initial_token_reads_back_and_shows_nothing() {
        let made =
            InitialToken::new(RegistrationTokenId::from_uuid(Uuid::from_u128(7)), Secret::new("s-_e".to_owned()));
        let read: InitialToken = made.reveal().expose().parse().unwrap();
        assert_eq!((read.id, read.digest()), (made.id, SecretDigest::of(b"s-_e")));
        assert!(!format!("{made:?}").contains("s-_e"));
        for bad in
            ["", "hjr_", "hjr_7_s", "hja_00000000000000000000000000000007_s", "hjr_00000000000000000000000000000007_"]
        {
            assert!(bad.parse::<InitialToken>().is_err(), "{bad}");
        }
    }

    #[test]
    fn strangers_get_what_is_safe() {
        let policy = RegistrationPolicy::default();
        assert!(policy.allows_grant(GrantType::RefreshToken) && !policy.allows_grant(GrantType::ClientCredentials));
        assert!(policy.allows_scope("email") && !policy.allows_scope("hj:users.read"));
        assert_eq!(serde_json::to_string(&policy).unwrap(), r#"{"mode":"off"}"#);
    }
}
