//! The tokens of a user: an access token, an ID token when the scope says `openid`, a refresh token when there is one.

use oauth_core::acr::Acr;
use oauth_core::confirmation::Confirmation;
use oauth_core::grant::{Grant, UserTokens};
use oauth_core::issue::{AccessToken, Audience, ID_TOKEN_TYPE, IdToken, Party, UserPart, at_hash, expiry};
use oauth_core::scope::OPENID;
use oauth_core::userinfo;
use serde_json::{Map, Value};
use vocab::client::AccessTokenFormat;
use vocab::{Secret, Timestamp};

use super::issue::{self, Issued};
use super::{Context, Failure, TokenResponse};
use crate::encryption::{self, Content};
use crate::opaque;
use crate::signing::SignError;
use crate::store::access_tokens::NewAccessToken;
use crate::store::refresh::NewRefreshToken;
use crate::store::users;

/// How long a refresh token that is made or used now lives unless it is used again.
pub(super) fn idle_until(context: &Context<'_>) -> Timestamp {
    context.now.plus_secs(i64::from(context.tenant.lifetimes.refresh_token_idle_secs))
}

/// The refresh token that will follow, if one does.
pub(super) fn next_refresh_token(context: &Context<'_>) -> NewRefreshToken {
    NewRefreshToken {
        value: opaque::fresh(),
        idle_until: idle_until(context),
        confirmation: context.proof.refresh_confirmation(),
    }
}

/// Whether all it takes to make the tokens is at hand, so that a code or refresh token may be used up before they are made:
/// keys to sign with, none to be fetched, and nothing that must be stored with it.
pub(super) fn are_sure_to_be_made(context: &Context<'_>) -> bool {
    let (spec, keys) = (&context.client().spec, &context.tenant.keys);
    let algorithm = spec.id_token_signed_response_alg.or(keys.signing_algorithm());
    spec.access_token_format == AccessTokenFormat::Jwt
        && spec.id_token_encryption().is_none()
        && keys.signing_algorithm().is_some()
        && algorithm.is_some_and(|algorithm| keys.can_sign_with(algorithm))
}

/// The answer, and what must be stored before it goes out.
pub(super) struct Signed {
    pub response: TokenResponse,
    /// When it is opaque.
    pub access_token: Option<NewAccessToken>,
}

/// The claims about the user that the ID token was asked to have (OIDC Core §5.5): read only when there are any.
async fn about_user(context: &Context<'_>, grant: &Grant) -> Result<Map<String, Value>, Failure> {
    if grant.claims.id_token.is_empty() {
        return Ok(Map::new());
    }
    let found = users::find(context.tenant.db()?, grant.user_id).await?;
    let sources = &context.tenant.oauth.claims;
    let claims = found.map(|row| {
        let user = userinfo::with_sources(row.user, sources);
        userinfo::aggregated(userinfo::single_claims(&user, &grant.claims.id_token), sources)
    });
    Ok(claims.unwrap_or_default())
}

/// Signs what was decided. `nonce` is the grant's on the first exchange only (OIDC Core §12.2).
pub(super) async fn sign(
    context: &Context<'_>,
    grant: &Grant,
    tokens: &UserTokens,
    nonce: Option<&str>,
    refresh_token: Option<&Secret<String>>,
) -> Result<Signed, Failure> {
    let Context { tenant, now, .. } = *context;
    let client_id = context.client().client_id.as_str();
    let sub = tenant.subject(context.client(), grant.user_id)?;
    let scope = tokens.scope.to_string();
    let access_token = issue::access_token(
        context,
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
            act: None,
            may_act: context.client().spec.may_act.as_ref().map(|client| Party { sub: client.as_str() }),
            authorization_details: tokens.details.non_empty(),
            user: Some(UserPart::of(grant)),
        },
        Some(grant.id),
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
            acr: Acr::of(&grant.amr).told(&grant.claims.acr().map(|(values, _)| values).unwrap_or_default()),
            sid: grant.sid,
            at_hash: at_hash(algorithm, access_token.value()),
            about_user: about_user(context, grant).await?,
        };
        let signed = tenant.keys.sign_with(algorithm, ID_TOKEN_TYPE, &claims)?;
        Some(match context.client().spec.id_token_encryption() {
            Some(asked) => {
                encryption::encrypt(context.verifier, context.client(), asked, Content::Jwt(&signed)).await?
            }
            None => signed,
        })
    } else {
        None
    };
    let (access_token, to_store) = match access_token {
        Issued::Jwt(jwt) => (jwt, None),
        Issued::Opaque(token) => (token.value.expose().clone(), Some(token)),
    };
    let response = TokenResponse {
        access_token,
        issued_token_type: None,
        token_type: Confirmation::token_type(context.proof.confirmation()),
        expires_in: tenant.lifetimes.access_token_secs,
        refresh_token: refresh_token.map(|token| token.expose().clone()),
        id_token,
        scope,
        authorization_details: tokens.details.clone(),
    };
    Ok(Signed { response, access_token: to_store })
}
