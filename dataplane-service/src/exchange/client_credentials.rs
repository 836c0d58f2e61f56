//! A client on its own behalf (RFC 6749 §4.4): one signature; no database, but for an opaque token; no lock.

use oauth_core::confirmation::Confirmation;
use oauth_core::grant::client_credentials::Request;
use oauth_core::issue::{AccessToken, Audience, expiry};

use super::{Context, Failure, TokenResponse, issue};
use crate::opaque;

pub(super) async fn exchange(context: &Context<'_>, request: Request<'_>) -> Result<TokenResponse, Failure> {
    let tenant = context.tenant;
    let client = context.client();
    let token = request.decide(context.proof, &tenant.issuer, &tenant.details_types)?;
    let lifetime_secs = tenant.lifetimes.access_token_secs;
    let claims = AccessToken {
        iss: &tenant.issuer,
        sub: client.client_id.as_str(),
        aud: Audience::of(&token.resources, client, &token.scope, &tenant.issuer),
        client_id: client.client_id.as_str(),
        scope: &token.scope,
        iat: context.now.secs(),
        exp: expiry(context.now, lifetime_secs),
        jti: opaque::fresh_jti(),
        cnf: context.proof.confirmation(),
        act: None,
        may_act: None,
        authorization_details: token.details.non_empty(),
        user: None,
    };
    let issued = issue::access_token(context, &claims, None)?;
    issued.store(context).await?;
    Ok(TokenResponse {
        access_token: issued.into_value(),
        issued_token_type: None,
        token_type: Confirmation::token_type(context.proof.confirmation()),
        expires_in: lifetime_secs,
        refresh_token: None,
        id_token: None,
        scope: token.scope,
        authorization_details: token.details,
    })
}
