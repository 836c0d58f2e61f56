//! An access token in the form that its client gets: signed, or random with its claims in the database.

use oauth_core::issue::{ACCESS_TOKEN_TYPE, AccessToken};
use uuid::Uuid;
use vocab::client::AccessTokenFormat;
use vocab::{Secret, Timestamp};

use super::{Context, Failure};
use crate::opaque;
use crate::store::access_tokens::{self, NewAccessToken};

/// A token that was made, and what must be stored before it means anything.
pub(super) enum Issued {
    Jwt(String),
    Opaque(NewAccessToken),
}

impl Issued {
    pub(super) fn value(&self) -> &str {
        match self {
            Self::Jwt(jwt) => jwt,
            Self::Opaque(token) => token.value.expose(),
        }
    }

    pub(super) fn into_value(self) -> String {
        match self {
            Self::Jwt(jwt) => jwt,
            Self::Opaque(token) => Secret::expose(&token.value).clone(),
        }
    }

    /// For the statement that uses up what it was issued for.
    pub(super) const fn to_store(&self) -> Option<&NewAccessToken> {
        match self {
            Self::Jwt(_) => None,
            Self::Opaque(token) => Some(token),
        }
    }

    /// Stores it on its own, when nothing is used up for it. A JWT touches no database.
    pub(super) async fn store(&self, context: &Context<'_>) -> Result<(), Failure> {
        if let Some(token) = self.to_store() {
            access_tokens::store(context.tenant.db()?, token, context.now).await?;
        }
        Ok(())
    }
}

pub(super) fn access_token(
    context: &Context<'_>,
    claims: &AccessToken<'_>,
    grant: Option<Uuid>,
) -> Result<Issued, Failure> {
    match context.client().spec.access_token_format {
        AccessTokenFormat::Jwt => Ok(Issued::Jwt(context.tenant.keys.sign(ACCESS_TOKEN_TYPE, claims)?)),
        AccessTokenFormat::Opaque => Ok(Issued::Opaque(NewAccessToken {
            value: opaque::fresh(),
            grant,
            client_id: claims.client_id.to_owned(),
            claims: serde_json::to_value(claims).map_err(crate::signing::SignError::from)?,
            expires_at: Timestamp::from_secs(claims.exp),
        })),
    }
}
