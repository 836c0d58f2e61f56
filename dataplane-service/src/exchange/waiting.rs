//! Tokens for a client whose user answered elsewhere: find, decide, sign, take.

use oauth_core::error::OAuthError;
use oauth_core::grant::waiting::{Answer, Waiting};
use oauth_core::grant::{Grant, UserTokens, ciba, device_code};
use telemetry::context::next_step;
use tracing::Instrument as _;

use super::{Context, Failure, TokenResponse, user_tokens};
use crate::store::codes::Taken;
use crate::store::refresh::Follows;
use crate::store::waiting::{self, Code};

pub(super) async fn device(context: &Context<'_>, request: device_code::Request<'_>) -> Result<TokenResponse, Failure> {
    let code = Code::Device(request.device_code);
    exchange(context, code, |issuer, found| request.decide(context.now, issuer, context.proof, found)).await
}

pub(super) async fn ciba(context: &Context<'_>, request: ciba::Request<'_>) -> Result<TokenResponse, Failure> {
    let code = Code::Ciba(request.auth_req_id);
    exchange(context, code, |issuer, found| request.decide(context.now, issuer, context.proof, found)).await
}

async fn exchange(
    context: &Context<'_>,
    code: Code<'_>,
    decide: impl FnOnce(&str, Option<&Waiting>) -> Result<UserTokens, OAuthError>,
) -> Result<TokenResponse, Failure> {
    let db = context.tenant.db()?;
    let found = waiting::poll(db, code, context.client().client_id.as_str(), context.now).await?;
    let tokens = decide(&context.tenant.issuer, found.as_ref())?;
    let Some(Waiting { answer: Answer::Approved(grant), traceparent, .. }) = found else { return Err(GONE.into()) };
    // Not of the questions before: one trace per question is enough of those.
    let step = next_step("redeem the code", traceparent.as_deref());
    take(context, code, &grant, &tokens).instrument(step).await
}

async fn take(
    context: &Context<'_>,
    code: Code<'_>,
    grant: &Grant,
    tokens: &UserTokens,
) -> Result<TokenResponse, Failure> {
    let follows = tokens.with_refresh_token.then(|| user_tokens::next_refresh_token(context));
    let next = follows.as_ref().map(|token| &token.value);
    let signed = user_tokens::sign(context, grant, tokens, None, next).await?;
    let follows =
        Follows { refresh_token: follows.as_ref(), access_token: signed.access_token.as_ref(), successor: None };
    match waiting::take(context.tenant.db()?, code, follows, context.now).await? {
        Taken::Won => Ok(signed.response),
        Taken::Lost => Err(GONE.into()),
    }
}

/// Another request of the client took it a moment ago.
const GONE: OAuthError = OAuthError::invalid_grant("It was used before.");
