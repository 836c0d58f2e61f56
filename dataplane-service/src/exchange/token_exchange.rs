//! Token exchange (RFC 8693): look at what is shown, decide, sign. Nothing is used up.

use oauth_core::acr::Acr;
use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::confirmation::Confirmation;
use oauth_core::error::OAuthError;
use oauth_core::grant::Grant;
use oauth_core::grant::token_exchange::{Party, Request, Shown, TokenType, UserParty};
use oauth_core::issue::{AccessToken, Audience, ID_TOKEN_TYPE, UserPart, expiry};
use oauth_core::scope::ScopeSet;
use serde::Deserialize;
use uuid::Uuid;
use vocab::Timestamp;

use super::{Context, Failure, TokenResponse, issue};
use crate::access_token;
use crate::opaque;
use crate::store::{grants, refresh};

/// RFC 8693 §2.2.2: whatever is wrong with a token that was shown.
const UNUSABLE: OAuthError = OAuthError::invalid_request(
    "The subject_token or actor_token is not one of this issuer, has ended or was revoked.",
);

pub(super) async fn exchange(context: &Context<'_>, request: Request<'_>) -> Result<TokenResponse, Failure> {
    let subject = look_at(context, request.subject).await?;
    let actor = match request.actor {
        Some(shown) => Some(look_at(context, shown).await?),
        None => None,
    };
    let decided = request.decide(context.proof, &subject, actor.as_ref())?;
    let Context { tenant, now, .. } = *context;
    let client = context.client();
    let scope = decided.scope.to_string();
    let ends = expiry(now, tenant.lifetimes.access_token_secs).min(decided.ends_by.secs());
    // As the client that gets the token knows the user, whoever was known by what before.
    let sub = match &subject.user {
        Some(user) => tenant.subject(client, user.id)?,
        None => subject.sub,
    };
    let claims = AccessToken {
        iss: &tenant.issuer,
        sub: &sub,
        aud: Audience::of(&decided.audience, client, &scope, &tenant.issuer),
        client_id: client.client_id.as_str(),
        scope: &scope,
        iat: now.secs(),
        exp: ends,
        jti: opaque::fresh_jti(),
        cnf: context.proof.confirmation(),
        act: decided.act.as_ref(),
        may_act: None,
        authorization_details: None,
        user: subject.user.as_ref().map(|user| UserPart {
            auth_time: user.auth_time.secs(),
            acr: user.acr.as_str(),
            sid: user.sid,
            hj_grant: user.grant,
        }),
    };
    let issued = issue::access_token(context, &claims, subject.user.as_ref().map(|user| user.grant))?;
    issued.store(context).await?;
    Ok(TokenResponse {
        access_token: issued.into_value(),
        issued_token_type: Some(TokenType::AccessToken.as_str()),
        token_type: Confirmation::token_type(context.proof.confirmation()),
        expires_in: u32::try_from(ends - now.secs()).unwrap_or_default(),
        refresh_token: None,
        id_token: None,
        scope,
        authorization_details: AuthorizationDetails::default(),
    })
}

/// What a token of this issuer that still holds stands for.
async fn look_at(context: &Context<'_>, shown: Shown<'_>) -> Result<Party, Failure> {
    let found = match shown.kind {
        TokenType::AccessToken => access_token_party(context, shown.token).await?,
        TokenType::IdToken => id_token_party(context, shown.token).await?,
        TokenType::RefreshToken => refresh_token_party(context, shown.token).await?,
        TokenType::Jwt => match access_token_party(context, shown.token).await? {
            Some(found) => Some(found),
            None => id_token_party(context, shown.token).await?,
        },
    };
    found.ok_or_else(|| UNUSABLE.into())
}

async fn access_token_party(context: &Context<'_>, token: &str) -> Result<Option<Party>, Failure> {
    let Context { tenant, now, .. } = *context;
    let found = async {
        let found = access_token::read(tenant, token, now).await?;
        let holder = access_token::holder(tenant, &found.claims, now).await?;
        Ok((found, holder))
    };
    let (found, holder) = match found.await {
        Ok(found) => found,
        Err(access_token::Failure::Database(error)) => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    let (claims, all) = (found.claims, found.all);
    let auth_time = all.get("auth_time").and_then(serde_json::Value::as_i64).unwrap_or_default();
    let sid = all.get("sid").and_then(|sid| sid.as_str()?.parse().ok());
    Ok(Some(Party {
        user: claims.hj_grant.zip(holder).map(|(grant, holder)| UserParty {
            id: holder.user.id,
            grant,
            auth_time: Timestamp::from_secs(auth_time),
            acr: claims.acr.unwrap_or(Acr::SingleFactor),
            sid,
        }),
        sub: claims.sub,
        client_id: claims.client_id,
        scope: ScopeSet::parse(&claims.scope)?,
        audience: claims.aud,
        expires_at: Timestamp::from_secs(claims.exp),
        act: all.get("act").cloned(),
        may_act: all.get("may_act").cloned(),
        cnf: claims.cnf,
    }))
}

#[derive(Deserialize)]
struct IdTokenClaims {
    sub: String,
    aud: String,
    exp: i64,
    sid: Uuid,
}

/// An ID token says who signed in, not what was allowed: that is said by the newest grant of its session and client.
async fn id_token_party(context: &Context<'_>, token: &str) -> Result<Option<Party>, Failure> {
    let Context { tenant, now, .. } = *context;
    let Ok(claims) = tenant.keys.verify::<IdTokenClaims>(token, ID_TOKEN_TYPE, &tenant.issuer, now) else {
        return Ok(None);
    };
    let found = grants::newest_of_session(tenant.db()?, claims.sid, &claims.aud, now).await?;
    Ok(found.filter(|grant| is_live(context, grant)).map(|grant| Party {
        sub: claims.sub,
        expires_at: Timestamp::from_secs(claims.exp),
        ..party_of(context, grant)
    }))
}

/// A refresh token is shown, not used: it stays as it is.
async fn refresh_token_party(context: &Context<'_>, token: &str) -> Result<Option<Party>, Failure> {
    let found = refresh::find(context.tenant.db()?, token).await?;
    let live = found
        .filter(|token| token.rotated_at.is_none() && context.now < token.expires_at && is_live(context, &token.grant));
    Ok(live.map(|token| Party { cnf: token.confirmation, ..party_of(context, token.grant) }))
}

fn is_live(context: &Context<'_>, grant: &Grant) -> bool {
    let client = context.tenant.client(&grant.client_id);
    !grant.is_revoked
        && grant.user_is_active
        && context.now < grant.expires_at
        && client.is_some_and(|client| client.spec.enabled)
}

fn party_of(context: &Context<'_>, grant: Grant) -> Party {
    let client = context.tenant.client(&grant.client_id);
    let default = || client.and_then(|client| client.spec.audiences.first().cloned()).into_iter().collect();
    Party {
        sub: grant.user_id.to_string(),
        audience: if grant.audience.is_empty() { default() } else { grant.audience },
        may_act: client
            .and_then(|client| client.spec.may_act.as_ref())
            .map(|may_act| serde_json::json!({ "sub": may_act.as_str() })),
        user: Some(UserParty {
            id: grant.user_id,
            grant: grant.id,
            auth_time: grant.auth_time,
            acr: Acr::of(&grant.amr),
            sid: grant.sid,
        }),
        client_id: grant.client_id,
        scope: grant.scope,
        expires_at: grant.expires_at,
        act: None,
        cnf: None,
    }
}
