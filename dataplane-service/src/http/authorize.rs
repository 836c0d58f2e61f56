//! `GET` and `POST /oauth2/authorize` (RFC 6749 §3.1, OIDC Core §3.1.2): the rules are `oauth_core::authorize`'s; this
//! finds the facts and carries the decision out.
//!
//! ```text
//!   /oauth2/authorize ─▶ /login ─▶ (/register) ─▶ /consent ─▶ 303 to the client, with a code or an error
//!                 └──────────────── every step that is not needed is skipped ────────┘
//! ```
//!
//! Each page ends in [`resume`], which asks the rules anew: no page decides what comes after it.

use actix_web::{HttpRequest, HttpResponse, web};
use oauth_core::authorize::{
    self, AuthorizationRequest, Decision, Facts, IdTokenHint, Refusal, SessionFacts, error_url, success_url,
};
use oauth_core::client::Client;
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use oauth_core::issue::ID_TOKEN_TYPE;
use oauth_core::scope::{OFFLINE_ACCESS, ScopeSet};
use serde::Deserialize;
use uuid::Uuid;

use super::visit::{self, Visit};
use crate::app::App;
use crate::pages::{PageError, PageTenant, see_other};
use crate::store::codes::{self, NewCode};
use crate::store::consents;
use crate::store::interactions::{self, Interaction};

pub(super) async fn get(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
) -> Result<HttpResponse, PageError> {
    authorize(&request, &tenant, &app, request.query_string().as_bytes()).await
}

pub(super) async fn post(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
    body: Result<web::Bytes, actix_web::Error>,
) -> Result<HttpResponse, PageError> {
    let body = visit::body(&request, &tenant, body)?;
    authorize(&request, &tenant, &app, &body).await
}

async fn authorize(
    request: &HttpRequest,
    tenant: &PageTenant,
    app: &App,
    parameters: &[u8],
) -> Result<HttpResponse, PageError> {
    let form = Form::parse(parameters).map_err(|error| PageError::refused(tenant, &error.into()))?;
    let find_client = |id: &str| tenant.client(id).map(AsRef::as_ref);
    let asked = match authorize::validate(&form, &tenant.issuer, find_client) {
        Ok(asked) => asked,
        Err(Refusal::Page(error)) => return Err(PageError::refused(tenant, &error)),
        Err(Refusal::Redirect(address, error)) => return Ok(see_other(&error_url(&address, &tenant.issuer, &error))),
    };
    let visit = Visit::of(request, tenant, app);
    let session = visit.session().await?.map(|session| session.facts);
    let so_far = Progress { session: session.as_ref(), authenticated_sid: None, consented_here: false };
    let page = match decide(&visit, &asked, &so_far).await? {
        Decision::IssueCode(session) => return issue(&visit, &asked, &session).await,
        Decision::Error(error) => return Ok(refuse(&visit, &asked, &error)),
        Decision::NeedLogin => "/login",
        Decision::NeedConsent(_) => "/consent",
    };
    let id = interactions::begin(visit.db()?, visit.browser(), &asked, visit.now).await.map_err(|e| visit.fault(&e))?;
    let mut response = see_other(&visit.interaction_path(page, Some(id.expose())));
    visit.bind(&mut response);
    Ok(response)
}

/// How far this request has come.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    pub(super) session: Option<&'a SessionFacts>,
    /// The session that was begun within the interaction.
    pub(super) authenticated_sid: Option<Uuid>,
    /// The user has just pressed "allow".
    pub(super) consented_here: bool,
}

/// Finds the facts and asks the rules.
pub(super) async fn decide(
    visit: &Visit<'_>,
    asked: &AuthorizationRequest,
    so_far: &Progress<'_>,
) -> Result<Decision, PageError> {
    let client = client_of(visit, asked)?;
    let consented = match so_far.session {
        Some(session) if client.spec.require_consent => {
            consents::find(visit.db()?, session.user_id, client.client_id.as_str())
                .await
                .map_err(|e| visit.fault(&e))?
        }
        _ => ScopeSet::default(),
    };
    let facts = Facts {
        session: so_far.session.cloned(),
        signed_in_here: so_far.session.is_some_and(|session| so_far.authenticated_sid == Some(session.sid)),
        consented,
        consented_here: so_far.consented_here,
        id_token_hint: id_token_hint(visit, asked, client, so_far.session),
    };
    Ok(authorize::decide(visit.now, asked, client, &facts))
}

/// The client that asked, if it is still what it was when it asked.
pub(super) fn client_of<'v>(visit: &'v Visit<'_>, asked: &AuthorizationRequest) -> Result<&'v Client, PageError> {
    let client = visit.tenant.client(asked.client_id.as_str()).map(AsRef::as_ref);
    client.filter(|client: &&Client| client.spec.enabled && client.redirects_to(&asked.redirect_uri)).ok_or_else(|| {
        PageError::refused(visit.tenant, &OAuthError::invalid_request("The client has changed in the meantime."))
    })
}

#[derive(Deserialize)]
struct HintClaims {
    sub: String,
}

/// OIDC Core §3.1.2.1: an ID token of this issuer, which may have expired.
fn id_token_hint(
    visit: &Visit<'_>,
    asked: &AuthorizationRequest,
    client: &Client,
    session: Option<&SessionFacts>,
) -> IdTokenHint {
    let Some(hint) = &asked.id_token_hint else {
        return IdTokenHint::Absent;
    };
    let claims = visit.tenant.keys.verify_expired::<HintClaims>(hint, ID_TOKEN_TYPE, &visit.tenant.issuer);
    let Ok(HintClaims { sub }) = claims else { return IdTokenHint::Invalid };
    let is_them = |session: &&SessionFacts| visit.tenant.subject(client, session.user_id).is_ok_and(|own| own == sub);
    // A pairwise subject says who it is only to whoever has somebody to compare it with.
    let user = session.filter(is_them).map(|session| session.user_id).or_else(|| sub.parse().ok());
    IdTokenHint::Of(user.unwrap_or_default())
}

/// Goes on with an interaction: to the page that is needed next, or back to the client.
pub(super) async fn resume(
    visit: &Visit<'_>,
    id: &str,
    interaction: &Interaction,
    so_far: &Progress<'_>,
) -> Result<HttpResponse, PageError> {
    match decide(visit, &interaction.request, so_far).await? {
        Decision::NeedLogin => Ok(see_other(&visit.interaction_path("/login", Some(id)))),
        Decision::NeedConsent(_) => Ok(see_other(&visit.interaction_path("/consent", Some(id)))),
        Decision::IssueCode(session) => {
            finish(visit, id).await?;
            issue(visit, &interaction.request, &session).await
        }
        Decision::Error(error) => {
            finish(visit, id).await?;
            Ok(refuse(visit, &interaction.request, &error))
        }
    }
}

/// Ends the interaction before the client is answered, so that it is answered once.
pub(super) async fn finish(visit: &Visit<'_>, id: &str) -> Result<(), PageError> {
    let won = interactions::finish(visit.db()?, visit.key(id)).await.map_err(|e| visit.fault(&e))?;
    if won { Ok(()) } else { Err(visit.stale()) }
}

pub(super) fn refuse(visit: &Visit<'_>, asked: &AuthorizationRequest, error: &OAuthError) -> HttpResponse {
    see_other(&error_url(&asked.return_address(), &visit.tenant.issuer, error))
}

async fn issue(
    visit: &Visit<'_>,
    asked: &AuthorizationRequest,
    session: &SessionFacts,
) -> Result<HttpResponse, PageError> {
    let lifetimes = &visit.tenant.lifetimes;
    let code_expires_at = visit.now.plus_secs(i64::from(lifetimes.authorization_code_secs));
    // Without refresh tokens, nothing outlives the access token that the code is redeemed for.
    let grant_expires_at = if asked.scope.contains(OFFLINE_ACCESS) {
        visit.now.plus_secs(i64::from(lifetimes.refresh_token_absolute_secs))
    } else {
        code_expires_at.plus_secs(i64::from(lifetimes.access_token_secs))
    };
    let new = NewCode {
        user_id: session.user_id,
        client_id: asked.client_id.as_str(),
        sid: Some(session.sid),
        scopes: asked.scope.to_strings(),
        audience: &asked.resources,
        nonce: asked.nonce.as_deref(),
        auth_time: session.auth_time,
        amr: &session.amr,
        redirect_uri: &asked.redirect_uri,
        dpop_jkt: asked.dpop_jkt,
        code_challenge: asked.code_challenge.as_ref(),
        now: visit.now,
        expires_at: code_expires_at,
        grant_expires_at,
    };
    let code = codes::issue(visit.db()?, &new).await.map_err(|e| visit.fault(&e))?;
    Ok(see_other(&success_url(&asked.return_address(), &visit.tenant.issuer, code.expose())))
}
