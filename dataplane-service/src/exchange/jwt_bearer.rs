//! JWT assertions as grants (RFC 7523 §2.1): verify, find the user, decide, note the assertion, store a grant, sign.

use oauth_core::client_auth::assertion::NotProven;
use oauth_core::error::OAuthError;
use oauth_core::grant::jwt_bearer::{Assertion, Request, TrustedIssuer, UNUSABLE};
use vocab::oauth::AssertedSubject;

use super::{Context, Failure, TokenResponse, user_tokens};
use crate::email::Email;
use crate::store::access_tokens;
use crate::store::grants::{self, NewGrant};
use crate::store::proofs::{self, Proof};
use crate::store::users;

pub(super) async fn exchange(context: &Context<'_>, request: Request<'_>) -> Result<TokenResponse, Failure> {
    let Context { tenant, now, proof, .. } = *context;
    let by = Assertion::claimed_issuer(request.assertion, &tenant.trusted_jwt_issuers)?;
    let assertion = verified(context, request.assertion, by).await?;
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

/// What the issuer really said, by its keys, wherever they are.
async fn verified(context: &Context<'_>, assertion: &str, by: &TrustedIssuer) -> Result<Assertion, OAuthError> {
    let verifier = context.verifier;
    let verify = |keys| Assertion::verify(assertion, by, keys, &context.tenant.issuer, context.now);
    let outcome = match by.spec.jwks_uri.as_deref() {
        None => verify(&by.keys),
        Some(uri) => {
            let told = "The keys at the issuer's jwks_uri could not be fetched.";
            let unreachable = |_| OAuthError::invalid_grant(told);
            let published = &verifier.published_keys;
            let held = published.get(&verifier.fetcher, uri).await.map_err(unreachable)?;
            match verify(&held) {
                // It may have been published since.
                Err(NotProven::UnknownKey) => {
                    verify(&*published.renew(&verifier.fetcher, uri, &held).await.map_err(unreachable)?)
                }
                outcome => outcome,
            }
        }
    };
    outcome.map_err(|why| match why {
        NotProven::UnknownKey => UNUSABLE,
        NotProven::Refused(error) => error,
    })
}
