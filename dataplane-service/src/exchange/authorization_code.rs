//! Redeeming a code (RFC 6749 §4.1.3): find, decide, sign, take.

use oauth_core::error::OAuthError;
use oauth_core::grant::authorization_code::Request;
use oauth_core::grant::{Effect, Refusal, RevokedBecause, StoredCode};
use telemetry::context::next_step;
use tracing::Instrument as _;

use super::{Context, Failure, TokenResponse, refuse, user_tokens};
use crate::store::codes::{self, Taken};
use crate::store::refresh::Follows;

pub(super) async fn exchange(context: &Context<'_>, request: Request<'_>) -> Result<TokenResponse, Failure> {
    let found = codes::find(context.tenant.db()?, request.code).await?;
    let step = next_step("redeem the code", found.as_ref().and_then(|code| code.traceparent.as_deref()));
    redeem(context, request, found).instrument(step).await
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
