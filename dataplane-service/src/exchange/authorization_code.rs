//! Redeeming a code (RFC 6749 §4.1.3): take it outright in the usual case; else find, decide, sign, take.

use oauth_core::client::GrantType;
use oauth_core::error::OAuthError;
use oauth_core::grant::authorization_code::Request;
use oauth_core::grant::{Effect, Refusal, RevokedBecause, StoredCode};
use telemetry::context::next_step;
use tracing::Instrument as _;

use super::{Context, Failure, TokenResponse, refuse, user_tokens};
use crate::store::codes::{self, Taken};
use crate::store::outright;
use crate::store::refresh::Follows;

pub(super) async fn exchange(context: &Context<'_>, request: Request<'_>) -> Result<TokenResponse, Failure> {
    if let Some(response) = outright(context, &request).await? {
        return Ok(response);
    }
    let found = codes::find(context.tenant.db()?, request.code).await?;
    let step = next_step("redeem the code", found.as_ref().and_then(|code| code.traceparent.as_deref()));
    redeem(context, request, found).instrument(step).await
}

/// Redeems in one round trip, if the code meets the terms under which that is sure to be right.
async fn outright(context: &Context<'_>, request: &Request<'_>) -> Result<Option<TokenResponse>, Failure> {
    let issuer = &context.tenant.issuer;
    let usual = user_tokens::are_sure_to_be_made(context).then(|| request.terms(issuer, context.proof));
    let Some(terms) = usual.flatten() else { return Ok(None) };
    let may_refresh = context.client().may_use(GrantType::RefreshToken);
    let next = may_refresh.then(|| user_tokens::next_refresh_token(context));
    let taken = outright::redeem(context.tenant.db()?, request.code, &terms, next.as_ref(), context.now).await?;
    let Some(found) = taken else { return Ok(None) };
    let decision = request.clone().decide(context.now, issuer, context.proof, Some(&found));
    let Ok(tokens) = decision else {
        tracing::error!(refused = ?decision, "a code met the terms and is refused");
        return Err(lost().error.into());
    };
    let next = next.as_ref().filter(|_| tokens.with_refresh_token).map(|token| &token.value);
    let step = next_step("redeem the code", found.traceparent.as_deref());
    let signed = user_tokens::sign(context, &found.grant, &tokens, found.grant.nonce.as_deref(), next);
    Ok(Some(signed.instrument(step).await?.response))
}

async fn redeem(
    context: &Context<'_>,
    request: Request<'_>,
    found: Option<StoredCode>,
) -> Result<TokenResponse, Failure> {
    let (db, code) = (context.tenant.db()?, request.code);
    let grant_id = found.as_ref().map(|code| code.grant.id);
    let decision = request.decide(context.now, &context.tenant.issuer, context.proof, found.as_ref());
    let (tokens, found) = match (decision, found) {
        (Ok(tokens), Some(found)) => (tokens, found),
        (Err(refusal), _) => return Err(refuse(context, refusal, grant_id, Some(code)).await),
        (Ok(_), None) => return Err(lost().error.into()),
    };
    let follows = tokens.with_refresh_token.then(|| user_tokens::next_refresh_token(context));
    let next = follows.as_ref().map(|token| &token.value);
    let signed = user_tokens::sign(context, &found.grant, &tokens, found.grant.nonce.as_deref(), next).await?;
    let follows =
        Follows { refresh_token: follows.as_ref(), access_token: signed.access_token.as_ref(), successor: None };
    match codes::redeem(db, code, follows, context.now).await? {
        Taken::Won => Ok(signed.response),
        // Another request used the code a moment ago (RFC 6749 §4.1.2).
        Taken::Lost => Err(refuse(context, lost(), Some(found.grant.id), None).await),
    }
}

const fn lost() -> Refusal {
    Refusal {
        error: OAuthError::invalid_grant("The code was used before."),
        effect: Effect::RevokeGrant(RevokedBecause::CodeReused),
    }
}
