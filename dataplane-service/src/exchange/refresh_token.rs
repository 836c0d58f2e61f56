//! Refreshing (RFC 6749 §6): rotate outright in the usual case. Else find, decide, sign, rotate; or answer the same again to
//! who may not have got it.

use oauth_core::error::OAuthError;
use oauth_core::grant::refresh_token::{Decision, REUSED, Request};
use oauth_core::grant::{Effect, Grant, Refusal, RevokedBecause, UserTokens};
use uuid::Uuid;

use super::{Context, Failure, TokenResponse, refuse, user_tokens};
use crate::store::codes::Taken;
use crate::store::outright;
use crate::store::refresh::{self, Follows};
use crate::successor;

pub(super) async fn exchange(context: &Context<'_>, request: Request<'_>) -> Result<TokenResponse, Failure> {
    if let Some(response) = outright(context, &request).await? {
        return Ok(response);
    }
    let presented = request.refresh_token;
    let (grant, decision) = decide(context, request.clone()).await?;
    let tokens = match decision {
        Decision::Repeat(tokens, sealed) => return repeat(context, presented, &grant, &tokens, &sealed).await,
        Decision::Keep(tokens) => return keep(context, presented, &grant, &tokens).await,
        Decision::Rotate(tokens) => tokens,
    };
    let next = user_tokens::next_refresh_token(context);
    let signed = user_tokens::sign(context, &grant, &tokens, None, Some(&next.value)).await?;
    let sealed = (context.refresh_grace_secs() > 0).then(|| successor::seal(presented, &next.value));
    let follows = Follows {
        refresh_token: Some(&next),
        access_token: signed.access_token.as_ref(),
        successor: sealed.as_deref(),
    };
    match refresh::rotate(context.tenant.db()?, presented, follows, context.now).await? {
        Taken::Won => Ok(signed.response),
        // Another request used the token a moment ago: one of the two is not the client (RFC 9700 §4.14.2), or the
        // client asked twice.
        Taken::Lost => match decide(context, request).await? {
            (grant, Decision::Repeat(tokens, sealed)) => repeat(context, presented, &grant, &tokens, &sealed).await,
            (grant, Decision::Rotate(_) | Decision::Keep(_)) => {
                Err(refuse(context, lost(), Some(grant.id), None).await)
            }
        },
    }
}

/// Rotates in one round trip, if the token meets the terms under which that is sure to be right.
async fn outright(context: &Context<'_>, request: &Request<'_>) -> Result<Option<TokenResponse>, Failure> {
    let (issuer, rotation) = (&context.tenant.issuer, context.rotation());
    let usual = user_tokens::are_sure_to_be_made(context).then(|| request.terms(issuer, context.proof, rotation));
    let Some(terms) = usual.flatten() else { return Ok(None) };
    let (presented, next) = (request.refresh_token, user_tokens::next_refresh_token(context));
    let sealed = (context.refresh_grace_secs() > 0).then(|| successor::seal(presented, &next.value));
    let taken =
        outright::rotate(context.tenant.db()?, presented, &terms, &next, sealed.as_deref(), context.now).await?;
    let Some(found) = taken else { return Ok(None) };
    match request.clone().decide(context.now, issuer, context.proof, rotation, Some(&found)) {
        Ok(Decision::Rotate(tokens)) => {
            Ok(Some(user_tokens::sign(context, &found.grant, &tokens, None, Some(&next.value)).await?.response))
        }
        refused => {
            tracing::error!(?refused, "a refresh token met the terms and is refused");
            Err(lost().error.into())
        }
    }
}

/// The token stays as it is and can be used again.
async fn keep(
    context: &Context<'_>,
    presented: &str,
    grant: &Grant,
    tokens: &UserTokens,
) -> Result<TokenResponse, Failure> {
    let signed = user_tokens::sign(context, grant, tokens, None, None).await?;
    let idle_until = user_tokens::idle_until(context);
    let token = signed.access_token.as_ref();
    match refresh::keep(context.tenant.db()?, presented, idle_until, token, context.now).await? {
        Taken::Won => Ok(signed.response),
        Taken::Lost => Err(OAuthError::invalid_grant("The refresh token or its user has ended meanwhile.").into()),
    }
}

async fn decide(context: &Context<'_>, request: Request<'_>) -> Result<(Grant, Decision), Failure> {
    let found = refresh::find(context.tenant.db()?, request.refresh_token).await?;
    let grant_id: Option<Uuid> = found.as_ref().map(|token| token.grant.id);
    let rotation = context.rotation();
    match (request.decide(context.now, &context.tenant.issuer, context.proof, rotation, found.as_ref()), found) {
        (Ok(decision), Some(found)) => Ok((found.grant, decision)),
        (Err(refusal), _) => Err(refuse(context, refusal, grant_id, None).await),
        (Ok(_), None) => Err(lost().error.into()),
    }
}

/// Answers the successor that was answered before, unless it was used: then its holder has it, and this is somebody else.
/// Never a second one.
async fn repeat(
    context: &Context<'_>,
    presented: &str,
    grant: &Grant,
    tokens: &UserTokens,
    sealed: &str,
) -> Result<TokenResponse, Failure> {
    let reused = async || Err(refuse(context, REUSED, Some(grant.id), None).await);
    let Some(next) = successor::open(presented, sealed) else { return reused().await };
    let found = refresh::find(context.tenant.db()?, next.expose()).await?;
    if !found.is_some_and(|found| found.rotated_at.is_none() && context.now < found.expires_at) {
        return reused().await;
    }
    let signed = user_tokens::sign(context, grant, tokens, None, Some(&next)).await?;
    if let Some(token) = &signed.access_token {
        crate::store::access_tokens::store(context.tenant.db()?, token, context.now).await?;
    }
    Ok(signed.response)
}

const fn lost() -> Refusal {
    Refusal {
        error: OAuthError::invalid_grant("The refresh token was used before."),
        effect: Effect::RevokeGrant(RevokedBecause::RefreshTokenReused),
    }
}
