//! Who calls a protected endpoint: an access token of this tenant, checked to the end (RFC 6750, RFC 9068 §4).

use actix_web::HttpRequest;
use oauth_core::bearer::{self, Claims, Scheme};
use oauth_core::error::{Code, OAuthError};
use oauth_core::form::Form;
use oauth_core::resource::{metadata_url, path_for};
use vocab::Timestamp;
use vocab::oauth::StepUp;

use super::caller;
use super::respond::BearerFailure;
use crate::access_token;
use crate::app::App;
use crate::caller::possession;
use crate::store::grants::LiveUser;
use crate::tenant::TenantContext;

/// The proof that the request carries a good access token with the scope that was asked for.
#[derive(Debug)]
pub struct Bearer {
    pub claims: Claims,
    /// The active user behind it; `None`: a client on its own behalf.
    pub user: Option<LiveUser>,
    /// How the token was shown.
    pub shown: Scheme,
}

/// Checks the request's access token: signed by a key of this tenant, an access token by type, of this issuer, in its
/// time, with `scope` and the issuer as audience; its client enabled; neither it nor the grant behind it revoked; with a proof of what it is bound to, if it is.
///
/// `body` is given by endpoints that accept the token in a form (RFC 6750 §2.2).
pub async fn authenticate(
    request: &HttpRequest,
    body: Option<&Form<'_>>,
    tenant: &TenantContext,
    app: &App,
    scope: &'static str,
) -> Result<Bearer, BearerFailure> {
    let metadata = || metadata_url(&tenant.issuer, path_for(scope).unwrap_or_default());
    let refused_as = |shown: Scheme| {
        move |error| BearerFailure::Refused { realm: tenant.slug.clone(), metadata: metadata(), shown, error, scope }
    };
    let now = app.clock.now();
    let caller = caller::of(request, app).map_err(refused_as(Scheme::Bearer))?;
    let (shown, token) = bearer::presented(caller.authorization, body)
        .map_err(refused_as(Scheme::Bearer))?
        .ok_or_else(|| BearerFailure::Missing { realm: tenant.slug.clone(), metadata: metadata() })?;
    let refused = refused_as(shown);
    let unusable = |failure| match failure {
        access_token::Failure::Database(error) => BearerFailure::Database(error),
        told => refused(OAuthError::quoting(Code::InvalidToken, &told.to_string())),
    };
    let claims = access_token::read(tenant, token, now).await.map_err(unusable)?.claims;
    claims.permit(scope, &tenant.issuer).map_err(refused)?;
    let confirmed = possession::confirm(tenant, now, &caller, claims.cnf, shown, token).await;
    confirmed.map_err(|failure| BearerFailure::of(failure, refused))?;
    let user = access_token::holder(tenant, &claims, now).await.map_err(unusable)?;
    Ok(Bearer { claims, user, shown })
}

impl Bearer {
    /// Asks the user behind the token, if there is one, for a better or later sign-in (RFC 9470).
    pub fn require(
        &self,
        needed: Option<&StepUp>,
        tenant: &TenantContext,
        now: Timestamp,
    ) -> Result<(), BearerFailure> {
        let Some(needed) = needed else {
            return Ok(());
        };
        self.claims.is_stepped_up(needed, now).map_err(|error| BearerFailure::StepUp {
            realm: tenant.slug.clone(),
            metadata: metadata_url(&tenant.issuer, "/api/v1/users"),
            shown: self.shown,
            error,
            needed: needed.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
