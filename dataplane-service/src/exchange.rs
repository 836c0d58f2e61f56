//! The token endpoint's use case (RFC 6749 §3.2): authenticate the client, decide, issue, store, in this order.
//!
//! The grants load facts, ask `oauth-core` and carry out what it decided. Tokens are signed before anything is
//! written, and what is written goes in one statement: whatever fails on the way, no code and no refresh token is
//! lost. What a refusal leaves behind (a used-up code, a revoked grant) is on disk before the refusal is answered.

mod authorization_code;
mod client_credentials;
mod issue;
mod jwt_bearer;
mod refresh_token;
mod token_exchange;
mod user_tokens;
mod waiting;

use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::client::Client;
use oauth_core::client_auth::{self, AuthenticatedClient};
use oauth_core::error::OAuthError;
use oauth_core::fapi;
use oauth_core::form::Form;
use oauth_core::grant::refresh_token::Rotation;
use oauth_core::grant::{Effect, Refusal, Request};
use serde::Serialize;
use uuid::Uuid;
use vocab::Timestamp;

use crate::caller::{self, Caller, Verifier, possession};
use crate::signing::SignError;
use crate::store::{DbError, grants};
use crate::tenant::TenantContext;

/// A request to the token endpoint, or to another that authenticates clients as that does, as it came.
#[derive(Debug)]
pub struct TokenRequest<'a> {
    pub caller: Caller<'a>,
    pub query: &'a str,
    pub body: &'a [u8],
}

/// A successful answer (RFC 6749 §5.1, OIDC Core §3.1.3.3).
#[derive(Serialize)]
pub struct TokenResponse {
    access_token: String,
    /// RFC 8693 §2.2.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
    token_type: &'static str,
    expires_in: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    /// RFC 9396 §7.
    #[serde(skip_serializing_if = "AuthorizationDetails::is_empty")]
    authorization_details: AuthorizationDetails,
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenResponse").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Refused(#[from] OAuthError),
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Signing(#[from] SignError),
}

/// Who is served, by whom, at what time.
#[derive(Clone, Copy)]
struct Context<'a> {
    tenant: &'a TenantContext,
    proof: AuthenticatedClient<'a>,
    now: Timestamp,
    /// For the keys that the client publishes.
    verifier: &'a Verifier,
}

impl<'a> Context<'a> {
    const fn client(&self) -> &'a Client {
        self.proof.client()
    }

    /// What becomes of a refresh token that the client uses.
    fn rotation(&self) -> Rotation {
        if fapi::rotates(fapi::of(self.client(), &self.tenant.oauth), self.client()) {
            Rotation::Replace { grace_secs: self.refresh_grace_secs() }
        } else {
            Rotation::Keep
        }
    }

    /// How long a replaced refresh token of the client is answered with its successor again.
    fn refresh_grace_secs(&self) -> u32 {
        let of_client = self.client().spec.refresh_token_grace_secs;
        of_client.or(self.tenant.oauth.refresh_token_grace_secs).unwrap_or_default()
    }
}

pub async fn exchange(
    tenant: &TenantContext,
    now: Timestamp,
    request: &TokenRequest<'_>,
) -> Result<TokenResponse, Failure> {
    client_auth::refuse_query_parameters(request.query)?;
    let form = Form::parse(request.body).map_err(OAuthError::from)?;
    let proof = caller::authenticate(tenant, now, &request.caller, &form).await?;
    let proof = possession::bind(tenant, now, &request.caller, proof).await?;
    let context = Context { tenant, proof, now, verifier: request.caller.verifier };
    let request = Request::parse(&form, proof.client())?;
    let grant_type = request.grant_type();
    let response = match request {
        Request::ClientCredentials(request) => client_credentials::exchange(&context, request).await?,
        Request::AuthorizationCode(request) => authorization_code::exchange(&context, request).await?,
        Request::RefreshToken(request) => refresh_token::exchange(&context, request).await?,
        Request::TokenExchange(request) => token_exchange::exchange(&context, request).await?,
        Request::Waiting(request) => waiting::exchange(&context, request).await?,
        Request::JwtBearer(request) => jwt_bearer::exchange(&context, request).await?,
    };
    tenant.issued.count(grant_type);
    Ok(response)
}

/// Makes a refusal's effect durable, then is the refusal.
async fn refuse(context: &Context<'_>, refusal: Refusal, grant: Option<Uuid>, code: Option<&str>) -> Failure {
    let db = match context.tenant.db() {
        Ok(db) => db,
        Err(error) => return error.into(),
    };
    let done = match (refusal.effect, grant, code) {
        (Effect::RevokeGrant(because), Some(grant), _) => {
            tracing::warn!(tenant = %context.tenant.slug, %grant, because = because.as_str(), "a grant was revoked");
            grants::revoke(db, grant, because, context.now).await
        }
        (Effect::BurnCode, _, Some(code)) => crate::store::codes::burn(db, code, context.now).await,
        _ => Ok(()),
    };
    match done {
        Ok(()) => refusal.error.into(),
        Err(error) => error.into(),
    }
}

#[cfg(test)]
mod tests;
