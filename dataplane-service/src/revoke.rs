//! The revocation endpoint's use case (RFC 7009 §2): a client gives a token of its own up.
//!
//! A refresh token goes with its whole family; an access token alone. A token that is unknown, or has ended, is as good
//! as revoked (§2.2).

use oauth_core::client_auth;
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use oauth_core::grant::RevokedBecause;
use vocab::Timestamp;

use crate::access_token;
use crate::caller;
use crate::exchange::{Failure, TokenRequest};
use crate::opaque;
use crate::store::{grants, refresh};
use crate::tenant::TenantContext;

/// §2.1: the client is told, in the words of RFC 6749 §5.2.
const ANOTHERS: OAuthError = OAuthError::invalid_grant("The token was issued to another client.");

pub async fn revoke(tenant: &TenantContext, now: Timestamp, request: &TokenRequest<'_>) -> Result<(), Failure> {
    client_auth::refuse_query_parameters(request.query)?;
    let form = Form::parse(request.body).map_err(OAuthError::from)?;
    let proof = caller::authenticate(tenant, now, &request.caller, &form).await?;
    let own = proof.client().client_id.as_str();
    // A hint is not needed to tell the kinds apart, and a wrong one must not mislead (§2.1).
    let token = form.get("token").ok_or(OAuthError::invalid_request("The token is missing."))?;
    match access_token::read(tenant, token, now).await {
        Ok(found) if found.claims.client_id != own => return Err(ANOTHERS.into()),
        Ok(found) => return Ok(access_token::revoke(tenant, token, &found, now).await?),
        Err(access_token::Failure::Database(error)) => return Err(error.into()),
        Err(_) => {}
    }
    if opaque::looks_like(token)
        && let Ok(db) = tenant.db()
        && let Some(found) = refresh::find(db, token).await?
    {
        if found.grant.client_id != own {
            return Err(ANOTHERS.into());
        }
        grants::revoke(db, found.grant.id, RevokedBecause::ClientAsked, now).await?;
    }
    Ok(())
}
