//! JWT assertions as grants (RFC 7523 §2.1): verify, find the user, decide, note the assertion, store a grant, sign.

use oauth_core::grant::jwt_bearer::{Assertion, Request, UNUSABLE};
use vocab::oauth::AssertedSubject;

use super::{Context, Failure, TokenResponse, user_tokens};
use crate::email::Email;
use crate::store::access_tokens;
use crate::store::grants::{self, NewGrant};
use crate::store::proofs::{self, Proof};
use crate::store::users;

pub(super) async fn exchange(context: &Context<'_>, request: Request<'_>) -> Result<TokenResponse, Failure> {
    let Context { tenant, now, proof, .. } = *context;
    let (assertion, by) = Assertion::verify(request.assertion, &tenant.trusted_jwt_issuers, &tenant.issuer, now)?;
    let db = tenant.db()?;
    let found = match by.spec.subject {
        AssertedSubject::UserId => match assertion.sub.parse() {
            Ok(id) => users::find_active(db, id).await?,
            Err(_) => None,
        },
        AssertedSubject::Email => match Email::parse(&assertion.sub) {
            Ok(email) => users::find_verified(db, &email).await?,
            Err(_) => None,
        },
    };
    let user = found.ok_or(UNUSABLE)?;
    let tokens = request.decide(proof, by, &tenant.issuer)?;
    let once = Proof { kind: "jwt bearer grant", owner: &assertion.iss, jti: &assertion.jti };
    if !proofs::first_use(db, once, assertion.ends(), now).await? {
        return Err(UNUSABLE.into());
    }
    let new = NewGrant {
        user_id: user,
        client_id: context.client().client_id.as_str(),
        scope: &tokens.scope,
        audience: &tokens.resources,
        now,
        expires_at: now.plus_secs(i64::from(tenant.lifetimes.access_token_secs)),
    };
    let grant = grants::create(db, &new).await?;
    let signed = user_tokens::sign(context, &grant, &tokens, None, None).await?;
    if let Some(token) = &signed.access_token {
        access_tokens::store(db, token, now).await?;
    }
    Ok(signed.response)
}
