//! An access token that came back: what it says, and whether it still holds. For every door that takes one.

use oauth_core::bearer::Claims;
use oauth_core::issue::ACCESS_TOKEN_TYPE;
use serde::Deserialize as _;
use serde_json::{Map, Value};
use vocab::Timestamp;

use crate::opaque;
use crate::signing::VerifyError;
use crate::store::grants::{self, LiveUser};
use crate::store::{DbError, access_tokens, denied};
use crate::tenant::TenantContext;

/// A token of this tenant in its time. Whether it [still holds](holder) is another question.
#[derive(Debug)]
pub struct AccessToken {
    pub claims: Claims,
    /// All claims, with those that nothing here looks at.
    pub all: Map<String, Value>,
}

/// Why a token opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("The access token is no good: {0}.")]
    Invalid(#[from] VerifyError),
    #[error("The access token was revoked.")]
    Revoked,
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Reads a token. A JWT: signed by a key of this tenant, an access token by type, of this issuer, in its time. An opaque
/// one: stored in this tenant's database, in its time.
pub async fn read(tenant: &TenantContext, token: &str, now: Timestamp) -> Result<AccessToken, Failure> {
    let all: Map<String, Value> = if opaque::looks_like(token) {
        // A tenant without a database has issued none.
        let db = tenant.db().map_err(|_| VerifyError::Malformed)?;
        access_tokens::find(db, token, now).await?.ok_or(VerifyError::Malformed)?
    } else {
        tenant.keys.verify(token, ACCESS_TOKEN_TYPE, &tenant.issuer, now)?
    };
    let claims = Claims::deserialize(&all).map_err(|_| VerifyError::Claims)?;
    Ok(AccessToken { claims, all })
}

/// Gives a token up for good.
pub async fn revoke(tenant: &TenantContext, token: &str, found: &AccessToken, now: Timestamp) -> Result<(), DbError> {
    let db = tenant.db()?;
    if opaque::looks_like(token) {
        return access_tokens::remove(db, token).await;
    }
    denied::deny(db, found.claims.jti, Timestamp::from_secs(found.claims.exp), now).await
}

/// Who holds a token that still holds: the active user behind it, or `None` for a client on its own behalf. Its client is
/// enabled, the grant behind it stands, it was not revoked.
pub async fn holder(tenant: &TenantContext, claims: &Claims, now: Timestamp) -> Result<Option<LiveUser>, Failure> {
    if !tenant.client(&claims.client_id).is_some_and(|client| client.spec.enabled) {
        return Err(Failure::Revoked);
    }
    let Some(grant) = claims.hj_grant else {
        // Without a database nothing can have been revoked.
        return match tenant.db() {
            Ok(db) if denied::is_denied(db, claims.jti, now).await? => Err(Failure::Revoked),
            Ok(_) | Err(_) => Ok(None),
        };
    };
    grants::live_user(tenant.db()?, grant, claims.jti).await?.map(Some).ok_or(Failure::Revoked)
}
