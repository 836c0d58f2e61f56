//! Refreshing (RFC 6749 §6): find, decide, sign, rotate.

use oauth_core::error::OAuthError;
use oauth_core::grant::refresh_token::Request;
use oauth_core::grant::{Effect, Refusal, RevokedBecause};

use super::{Context, Failure, TokenResponse, refuse, user_tokens};
use crate::store::codes::Taken;
use crate::store::refresh;

pub(super) async fn exchange(context: &Context<'_>, request: Request<'_>) -> Result<TokenResponse, Failure> {
    let db = context.tenant.db()?;
    let presented = request.refresh_token;
    let found = refresh::find(db, presented).await?;
    let grant_id = found.as_ref().map(|token| token.grant.id);
    let decision = request.decide(context.now, &context.tenant.issuer, context.proof, found.as_ref());
    let (tokens, found) = match (decision, found) {
        (Ok(tokens), Some(found)) => (tokens, found),
        (Err(refusal), _) => return Err(refuse(context, refusal, grant_id, None).await),
        (Ok(_), None) => return Err(lost().error.into()),
    };
    let next = user_tokens::next_refresh_token(context);
    let response = user_tokens::sign(context, &found.grant, &tokens, None, Some(&next))?;
    match refresh::rotate(db, presented, &next, context.now).await? {
        Taken::Won => Ok(response),
        // Another request used the token a moment ago: one of the two is not the client (RFC 9700 §4.14.2).
        Taken::Lost => Err(refuse(context, lost(), Some(found.grant.id), None).await),
    }
}

const fn lost() -> Refusal {
    Refusal {
        error: OAuthError::invalid_grant("The refresh token was used before."),
        effect: Effect::RevokeGrant(RevokedBecause::RefreshTokenReused),
    }
}
