//! The tokens of a user: an access token, an ID token when the scope says `openid`, a refresh token when there is one.

use oauth_core::confirmation::Confirmation;
use oauth_core::grant::{Grant, UserTokens};
use oauth_core::issue::{ACCESS_TOKEN_TYPE, AccessToken, Audience, ID_TOKEN_TYPE, IdToken, UserPart, at_hash, expiry};
use oauth_core::scope::OPENID;

use super::{Context, Failure, TokenResponse};
use crate::opaque;
use crate::signing::SignError;
use crate::store::refresh::NewRefreshToken;

/// The refresh token that will follow, if one does.
pub(super) fn next_refresh_token(context: &Context<'_>) -> NewRefreshToken {
    let idle_secs = i64::from(context.tenant.lifetimes.refresh_token_idle_secs);
    NewRefreshToken {
        value: opaque::fresh(),
        idle_until: context.now.plus_secs(idle_secs),
        confirmation: context.proof.refresh_confirmation(),
    }
}

/// Signs what was decided. `nonce` is the grant's on the first exchange only (OIDC Core §12.2).
pub(super) fn sign(
    context: &Context<'_>,
    grant: &Grant,
    tokens: &UserTokens,
    nonce: Option<&str>,
    refresh_token: Option<&NewRefreshToken>,
) -> Result<TokenResponse, Failure> {
    let Context { tenant, now, .. } = *context;
    let client_id = context.client().client_id.as_str();
    let sub = grant.user_id.to_string();
    let scope = tokens.scope.to_string();
    let access_token = tenant.keys.sign(
        ACCESS_TOKEN_TYPE,
        &AccessToken {
            iss: &tenant.issuer,
            sub: &sub,
            aud: Audience::of(&tokens.resources, context.client(), &scope, &tenant.issuer),
            client_id,
            scope: &scope,
            iat: now.secs(),
            exp: expiry(now, tenant.lifetimes.access_token_secs),
            jti: opaque::fresh_jti(),
            cnf: context.proof.confirmation(),
            user: Some(UserPart::of(grant)),
        },
    )?;
    let id_token = if tokens.scope.contains(OPENID) {
        let asked = context.client().spec.id_token_signed_response_alg;
        let algorithm = asked.or(tenant.keys.signing_algorithm()).ok_or(SignError::NoActiveKey)?;
        let claims = IdToken {
            iss: &tenant.issuer,
            sub: &sub,
            aud: client_id,
            iat: now.secs(),
            exp: expiry(now, tenant.lifetimes.id_token_secs),
            auth_time: grant.auth_time.secs(),
            nonce,
            amr: &grant.amr,
            sid: grant.sid,
            at_hash: at_hash(algorithm, &access_token),
        };
        Some(tenant.keys.sign_with(algorithm, ID_TOKEN_TYPE, &claims)?)
    } else {
        None
    };
    Ok(TokenResponse {
        access_token,
        token_type: Confirmation::token_type(context.proof.confirmation()),
        expires_in: tenant.lifetimes.access_token_secs,
        refresh_token: refresh_token.map(|token| token.value.expose().clone()),
        id_token,
        scope,
    })
}
