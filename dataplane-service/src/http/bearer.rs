//! Who calls a protected endpoint: an access token of this tenant, checked to the end (RFC 6750, RFC 9068 §4).

use actix_web::HttpRequest;
use oauth_core::bearer::{self, Claims};
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use oauth_core::issue::ACCESS_TOKEN_TYPE;
use oauth_core::userinfo::User;
use vocab::Timestamp;

use super::form_body;
use super::respond::BearerFailure;
use crate::store::grants;
use crate::tenant::TenantContext;

/// The proof that the request carries a good access token with the scope that was asked for.
#[derive(Debug)]
pub struct Bearer {
    pub claims: Claims,
    /// The active user behind it; `None`: a client on its own behalf.
    pub user: Option<User>,
}

/// Checks the request's access token: signed by a key of this tenant, an access token by type, of this issuer, in its
/// time, with `scope` and the issuer as audience; its client enabled; the grant behind it, if any, not revoked.
///
/// `body` is given by endpoints that accept the token in a form (RFC 6750 §2.2).
pub async fn authenticate(
    request: &HttpRequest,
    body: Option<&Form<'_>>,
    tenant: &TenantContext,
    now: Timestamp,
    scope: &'static str,
) -> Result<Bearer, BearerFailure> {
    let refused = |error| BearerFailure::Refused { realm: tenant.slug.clone(), error, scope };
    let authorization = form_body::authorization(request).map_err(refused)?;
    let token = bearer::presented(authorization, body)
        .map_err(refused)?
        .ok_or_else(|| BearerFailure::Missing { realm: tenant.slug.clone() })?;
    let claims: Claims = tenant
        .keys
        .verify(token, ACCESS_TOKEN_TYPE, &tenant.issuer, now)
        .map_err(|error| refused(OAuthError::quoting(INVALID, &format!("The access token is no good: {error}."))))?;
    claims.permit(scope, &tenant.issuer).map_err(refused)?;
    let ended = || refused(OAuthError::invalid_token("The access token was revoked."));
    if !tenant.client(&claims.client_id).is_some_and(|client| client.spec.enabled) {
        return Err(ended());
    }
    let user = match claims.hj_grant {
        None => None,
        Some(grant) => {
            let user = claims.sub.parse().map_err(|_| ended())?;
            Some(grants::live_user(tenant.db()?, grant, user).await?.ok_or_else(ended)?)
        }
    };
    Ok(Bearer { claims, user })
}

const INVALID: oauth_core::error::Code = oauth_core::error::Code::InvalidToken;

#[cfg(test)]
mod tests;
