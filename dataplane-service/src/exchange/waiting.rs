//! Tokens for a client whose user answered elsewhere (RFC 8628 §3.4, OIDC CIBA §10): take the answer outright in the usual
//! case, which is found out in the statement that notes that the client asked; else decide, sign, take.

use oauth_core::client::GrantType;
use oauth_core::error::OAuthError;
use oauth_core::grant::waiting::{Answer, Request, Waiting};
use oauth_core::grant::{Grant, UserTokens};
use telemetry::context::next_step;
use tracing::Instrument as _;

use super::{Context, Failure, TokenResponse, user_tokens};
use crate::store::codes::Taken;
use crate::store::refresh::Follows;
use crate::store::waiting::{self, Found, Outright};

pub(super) async fn exchange(context: &Context<'_>, request: Request<'_>) -> Result<TokenResponse, Failure> {
    let (db, issuer, code) = (context.tenant.db()?, &context.tenant.issuer, request.code);
    let usual = user_tokens::are_sure_to_be_made(context).then(|| request.terms(issuer, context.proof));
    let terms = usual.flatten();
    let may_refresh = terms.is_some() && context.client().may_use(GrantType::RefreshToken);
    let next = may_refresh.then(|| user_tokens::next_refresh_token(context));
    let outright = terms.as_ref().map(|terms| Outright { terms, refresh_token: next.as_ref() });
    let found = match waiting::ask(db, code, context.client().client_id.as_str(), outright, context.now).await? {
        Some(Found::Taken { grant, traceparent }) => {
            let decision = request.allowed(issuer, context.proof, &grant);
            let Ok(tokens) = decision else {
                tracing::error!(refused = ?decision, "an answer met the terms and is refused");
                return Err(GONE.into());
            };
            let next = next.as_ref().filter(|_| tokens.with_refresh_token).map(|token| &token.value);
            let signed = user_tokens::sign(context, &grant, &tokens, None, next);
            return Ok(signed.instrument(next_step("redeem the code", traceparent.as_deref())).await?.response);
        }
        Some(Found::Waits(waiting)) => Some(waiting),
        None => None,
    };
    let tokens = request.clone().decide(context.now, issuer, context.proof, found.as_ref())?;
    let Some(Waiting { answer: Answer::Approved(grant), traceparent, .. }) = found else { return Err(GONE.into()) };
    // Not of the questions before: one trace per question is enough of those.
    let step = next_step("redeem the code", traceparent.as_deref());
    take(context, &request, &grant, &tokens).instrument(step).await
}

async fn take(
    context: &Context<'_>,
    request: &Request<'_>,
    grant: &Grant,
    tokens: &UserTokens,
) -> Result<TokenResponse, Failure> {
    let follows = tokens.with_refresh_token.then(|| user_tokens::next_refresh_token(context));
    let next = follows.as_ref().map(|token| &token.value);
    let signed = user_tokens::sign(context, grant, tokens, None, next).await?;
    let follows =
        Follows { refresh_token: follows.as_ref(), access_token: signed.access_token.as_ref(), successor: None };
    match waiting::take(context.tenant.db()?, request.code, follows, context.now).await? {
        Taken::Won => Ok(signed.response),
        Taken::Lost => Err(GONE.into()),
    }
}

/// Another request of the client took it a moment ago.
const GONE: OAuthError = OAuthError::invalid_grant("It was used before.");
