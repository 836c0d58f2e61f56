//! Administrators who sign in at an OpenID Connect issuer instead of holding a credential of ours.
//!
//! ```text
//!   ID or access token ─▶ issuer (discovery, its keys) ─▶ verify (is it genuine, is it for us) ─▶ roles (who is that here)
//! ```
//!
//! Law: an issuer's token is good at `/auth/token` only, where it is traded for one of ours, so that there is one kind of
//! bearer. What the holder may do is read off the mapping at each use: it never stands in a token.

mod issuer;
mod roles;
mod verify;

use std::path::PathBuf;

use controlplane_core::Role;
use serde_json::{Map, Value};
use vocab::{Secret, Timestamp};

use issuer::{Issuer, IssuerError};
pub(crate) use issuer::{check_url, is_this_machine};
pub use roles::{ClaimPath, RoleMap};
pub use verify::{Refusal, TokenKind};

/// `--admin-oidc-…`
#[derive(Clone, Debug)]
pub struct OidcSettings {
    /// As it stands in `iss`, byte by byte.
    pub issuer: String,
    /// The client id at the issuer: what `aud` must name.
    pub audience: String,
    pub claim: ClaimPath,
    pub roles: RoleMap,
    /// Certificates that the issuer's may be signed by, beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// What somebody presents. With both, the access token only opens the issuer's userinfo.
#[derive(Debug)]
pub struct Tokens {
    pub id_token: Option<Secret<String>>,
    pub access_token: Option<Secret<String>>,
}

/// Somebody the issuer vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub subject: String,
    /// Those of the claim's values that the mapping knows; never empty.
    pub values: Vec<String>,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The caller's fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Genuine, but nothing here is for that person.
    #[error("no role is mapped to what the claim {claim} says of {subject}")]
    NoRole { subject: String, claim: String },
    /// The issuer's, or the network's: a retry may help.
    #[error("the issuer cannot be asked: {0}")]
    Unreachable(String),
}

/// The one issuer that is trusted.
#[derive(Debug)]
pub struct Oidc {
    settings: OidcSettings,
    issuer: Issuer,
}

impl Oidc {
    pub fn new(settings: OidcSettings) -> Result<Self, String> {
        let issuer = Issuer::new(&settings.issuer, settings.ca_file.as_deref())?;
        Ok(Self { settings, issuer })
    }

    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The client id that `hellojohn login --oidc` signs in as.
    pub fn client_id(&self) -> &str {
        &self.settings.audience
    }

    /// What the mapping gives to these values; the first of its pairs that matches.
    pub fn role(&self, values: &[String]) -> Option<&Role> {
        self.settings.roles.role(values)
    }

    pub async fn identify(&self, tokens: &Tokens, now: Timestamp) -> Result<Identity, OidcError> {
        let (token, kind) = match (&tokens.id_token, &tokens.access_token) {
            (Some(token), _) => (token, TokenKind::Id),
            (None, Some(token)) => (token, TokenKind::Access),
            (None, None) => return Err(Refusal::Malformed.into()),
        };
        let header = verify::read_header(token.expose(), kind)?;
        let key = self.issuer.key(header.kid.as_deref()).await.map_err(|why| match why {
            IssuerError::UnknownKey => OidcError::Refused(Refusal::UnknownKey),
            IssuerError::Unreachable(why) => OidcError::Unreachable(why),
        })?;
        let expected = verify::Expected { issuer: &self.settings.issuer, audience: &self.settings.audience, kind };
        let claims = verify::verify(token.expose(), &header, &key, &expected, now)?;
        let subject = verify::subject(&claims)?;
        let mut values = self.settings.claim.values(&claims);
        if values.is_empty()
            && let Some(access_token) = &tokens.access_token
        {
            values = self.settings.claim.values(&self.userinfo(access_token, &subject).await?);
        }
        values.retain(|value| self.settings.roles.knows(value));
        if values.is_empty() {
            return Err(OidcError::NoRole { subject, claim: self.settings.claim.to_string() });
        }
        Ok(Identity { subject, values })
    }

    /// What the issuer says of the bearer. It must be about the same person (OIDC Core §5.3.2).
    async fn userinfo(&self, access_token: &Secret<String>, subject: &str) -> Result<Map<String, Value>, OidcError> {
        let Some(claims) = self.issuer.userinfo(access_token).await.map_err(OidcError::Unreachable)? else {
            return Ok(Map::new());
        };
        if claims.get("sub").and_then(Value::as_str) == Some(subject) {
            Ok(claims)
        } else {
            Err(Refusal::Subject.into())
        }
    }
}
