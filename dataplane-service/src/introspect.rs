//! The introspection endpoint's use case (RFC 7662 §2): authenticate the caller, find the token, tell what may be told.

use oauth_core::client_auth::{self, AuthenticatedClient};
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use oauth_core::introspection::{self, Answer};
use vocab::Timestamp;

use crate::access_token;
use crate::caller;
use crate::exchange::{Failure, TokenRequest};
use crate::opaque;
use crate::store::{DbError, refresh};
use crate::tenant::TenantContext;

/// What is known of the token, and who asked.
#[derive(Debug)]
pub struct Introspected<'t> {
    pub answer: Answer,
    pub caller: AuthenticatedClient<'t>,
}

pub async fn introspect<'t>(
    tenant: &'t TenantContext,
    now: Timestamp,
    request: &TokenRequest<'_>,
) -> Result<Introspected<'t>, Failure> {
    client_auth::refuse_query_parameters(request.query)?;
    let form = Form::parse(request.body).map_err(OAuthError::from)?;
    let proof = caller::authenticate(tenant, now, &request.caller, &form).await?;
    let token = introspection::token(&form, proof)?;
    let answer = look_up(tenant, now, proof, token).await?;
    Ok(Introspected { answer, caller: proof })
}

async fn look_up(
    tenant: &TenantContext,
    now: Timestamp,
    caller: AuthenticatedClient<'_>,
    token: &str,
) -> Result<Answer, DbError> {
    match access_token::read(tenant, token, now).await {
        Ok(found) if introspection::may_ask(caller.client(), &found.claims) => {
            match access_token::holder(tenant, &found.claims, now).await {
                Ok(_) => Ok(introspection::access_token(found.all)),
                Err(access_token::Failure::Database(error)) => Err(error),
                Err(_) => Ok(Answer::Inactive),
            }
        }
        Err(access_token::Failure::Database(error)) => Err(error),
        Err(_) if opaque::looks_like(token) => {
            // A tenant without a database has issued none.
            let Ok(db) = tenant.db() else { return Ok(Answer::Inactive) };
            let found = refresh::find(db, token).await?;
            let user = found.as_ref().map(|token| token.grant.user_id);
            let subject = user.map(|user| tenant.subject(caller.client(), user)).transpose()?.unwrap_or_default();
            Ok(introspection::refresh_token(caller.client(), found.as_ref(), &subject, &tenant.issuer, now))
        }
        _ => Ok(Answer::Inactive),
    }
}
