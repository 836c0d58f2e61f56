//! `GET` and `POST /oauth2/authorize` (RFC 6749 §3.1, OIDC Core §3.1.2): the rules are `oauth_core::authorize`'s; this
//! finds the facts and carries the decision out.
//!
//! ```text
//!   /oauth2/authorize ─▶ /login ─▶ (/register) ─▶ /mfa ─▶ /consent ─▶ 303 to the client, with a code or an error
//!                 └──────────────── every step that is not needed is skipped ────────────────┘
//! ```
//!
//! Each page ends in [`resume`], which asks the rules anew: no page decides what comes after it.

use actix_web::{HttpRequest, HttpResponse, web};
use oauth_core::authorize::{
    self, AuthorizationRequest, Channel, Decision, Delivery, Facts, IdTokenHint, Refusal, ResponseType, ReturnAddress,
    SessionFacts, Site, pushed,
};
use oauth_core::client::Client;
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use oauth_core::scope::OFFLINE_ACCESS;
use serde::Deserialize;
use serde_json::Value;
use telemetry::context::next_step;
use tracing::Instrument as _;
use uuid::Uuid;
use vocab::{ScopeName, Secret};

use super::posted::Posted;
use super::visit::Visit;
use crate::app::App;
use crate::exchange::Failure;
use crate::pages::{FormPost, Frame, PageError, PageTenant, form_post, see_other};
use crate::request_object::{self, Arrival};
use crate::signing::HintFault;
use crate::store::codes::{self, NewCode};
use crate::store::consents::{self, Consent};
use crate::store::interactions::{self, Interaction, NewInteraction};
use crate::store::pushed_requests;
use crate::tenant::TenantContext;

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
    posted: Posted,
) -> Result<HttpResponse, PageError> {
    authorize(&request, &tenant, &app, posted.bytes()).await
}

async fn authorize(
    request: &HttpRequest,
    tenant: &PageTenant,
    app: &App,
    parameters: &[u8],
) -> Result<HttpResponse, PageError> {
    let form = Form::parse(parameters).map_err(|error| PageError::refused(tenant, &error.into()))?;
    let find_client = |id: &str| tenant.client(id).map(AsRef::as_ref);
    let client = authorize::known_client(&form, find_client).map_err(|e| PageError::refused(tenant, &e))?;
    let visit = Visit::of(request, tenant, app);
    if let Some(name) = pushed::reference(&form) {
        // RFC 9126 §4: what the browser says beside is not looked at.
        let key = pushed_requests::Key { name, browser: visit.browser() };
        let opened = pushed_requests::open(visit.db()?, key, client.client_id.as_str(), visit.now).await;
        let opened = opened.map_err(|error| visit.fault(&error))?;
        let opened = opened.ok_or_else(|| PageError::refused(tenant, &pushed::UNKNOWN))?;
        let step = next_step("authorize", opened.traceparent.as_deref());
        return begin(&visit, &opened.request, Some(key)).instrument(step).await;
    }
    let arrival = Arrival { tenant, verifier: &app.verifier, now: visit.now, channel: Channel::Front };
    let parameters = match request_object::parameters(arrival, client, &form).await {
        Ok(parameters) => parameters,
        Err(Failure::Database(error)) => return Err(visit.fault(&error)),
        Err(Failure::Refused(error)) => return unopened(tenant, &form, client, &error),
        Err(Failure::Signing(_)) => return unopened(tenant, &form, client, &UNSIGNED),
    };
    match site(tenant, |site| authorize::validate(&parameters, site, Channel::Front, find_client)) {
        Ok(asked) => begin(&visit, &asked, None).await,
        Err(Refusal::Page(error)) => Err(PageError::refused(tenant, &error)),
        Err(Refusal::Redirect(address, error)) => Ok(tell(tenant, &address, &error)),
    }
}

/// Answers the client at once if nobody needs to be asked; else begins the interaction.
async fn begin(
    visit: &Visit<'_>,
    asked: &AuthorizationRequest,
    pushed: Option<pushed_requests::Key<'_>>,
) -> Result<HttpResponse, PageError> {
    let session = visit.session().await?.map(|session| session.facts);
    let so_far =
        Progress { session: session.as_ref(), authenticated_sid: None, selected_sid: None, consented_here: false };
    let page = match decide(visit, asked, &so_far).await? {
        Decision::Granted(session) => {
            use_up(visit, pushed).await?;
            return grant(visit, asked, &session).await;
        }
        Decision::Error(error) => {
            use_up(visit, pushed).await?;
            return Ok(refuse(visit, asked, &error));
        }
        Decision::NeedLogin | Decision::NeedSelection => "/login",
        Decision::NeedFactor => "/mfa",
        Decision::NeedConsent(_) => "/consent",
    };
    let new =
        NewInteraction { browser: visit.browser(), request: asked, pushed: pushed.map(|key| key.name), now: visit.now };
    let id = interactions::begin(visit.db()?, new).await.map_err(|e| visit.fault(&e))?;
    let mut response = see_other(&visit.interaction_path(page, Some(id.expose())));
    visit.bind(&mut response);
    Ok(response)
}

/// Before the client is answered, so that it is answered once.
async fn use_up(visit: &Visit<'_>, pushed: Option<pushed_requests::Key<'_>>) -> Result<(), PageError> {
    let Some(key) = pushed else { return Ok(()) };
    let won = pushed_requests::use_up(visit.db()?, key).await.map_err(|e| visit.fault(&e))?;
    if won { Ok(()) } else { Err(PageError::refused(visit.tenant, &pushed::UNKNOWN)) }
}

/// Nothing is signed on the way to here.
const UNSIGNED: OAuthError = OAuthError::server_error("The request could not be read.");

/// A request whose object is not good: what stands beside it says whom to tell, if that is registered (RFC 9101 §7).
fn unopened(
    tenant: &PageTenant,
    form: &Form<'_>,
    client: &Client,
    error: &OAuthError,
) -> Result<HttpResponse, PageError> {
    match authorize::return_address(form, client) {
        Ok(address) => Ok(tell(tenant, &address, error)),
        Err(_) => Err(PageError::refused(tenant, error)),
    }
}

/// The tenant as the rules see it.
pub(super) fn site<R>(tenant: &TenantContext, ask: impl FnOnce(Site<'_>) -> R) -> R {
    let scope_claims = |scope: &ScopeName| tenant.scopes.get(scope).map(|scope| scope.claims.as_slice());
    ask(Site {
        issuer: &tenant.issuer,
        settings: &tenant.oauth,
        scope_claims: &scope_claims,
        details_types: &tenant.details_types,
    })
}

/// How far this request has come.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    pub(super) session: Option<&'a SessionFacts>,
    /// The session that was begun within the interaction.
    pub(super) authenticated_sid: Option<Uuid>,
    /// The session that was chosen within it.
    pub(super) selected_sid: Option<Uuid>,
    /// The user has just pressed "allow".
    pub(super) consented_here: bool,
}

impl<'a> Progress<'a> {
    /// Of who is signed in, when a page of the interaction is opened.
    pub(super) fn of(session: Option<&'a SessionFacts>, interaction: &Interaction) -> Self {
        Self {
            session,
            authenticated_sid: interaction.authenticated_sid,
            selected_sid: interaction.selected_sid,
            consented_here: false,
        }
    }
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
        _ => Consent::default(),
    };
    let is_this = |sid: Option<Uuid>| so_far.session.is_some_and(|session| sid == Some(session.sid));
    let facts = Facts {
        session: so_far.session.cloned(),
        subject: so_far.session.and_then(|session| visit.tenant.subject(client, session.user_id).ok()),
        signed_in_here: is_this(so_far.authenticated_sid),
        selected_here: is_this(so_far.selected_sid),
        consented: consented.scopes,
        // A type whose consent was remembered once may be asked about each time now.
        consented_details: visit.tenant.details_types.remembered(&consented.details),
        consented_here: so_far.consented_here,
        id_token_hint: id_token_hint(visit, asked),
        mfa: visit.tenant.oauth.mfa,
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
    aud: Value,
}

/// OIDC Core §3.1.2.1: an ID token of this issuer, which may have expired; one that this client was given, so that no
/// client learns by another's token who is signed in.
fn id_token_hint(visit: &Visit<'_>, asked: &AuthorizationRequest) -> IdTokenHint {
    let Some(hint) = &asked.id_token_hint else {
        return IdTokenHint::Absent;
    };
    let claims = match visit.tenant.keys.verify_hint::<HintClaims>(hint, &visit.tenant.issuer) {
        Ok(claims) => claims,
        Err(HintFault::KeyGone) => return IdTokenHint::KeyGone,
        Err(HintFault::Invalid) => return IdTokenHint::Invalid,
    };
    let is_audience = match &claims.aud {
        Value::String(one) => one == asked.client_id.as_str(),
        Value::Array(several) => several.iter().any(|one| one == asked.client_id.as_str()),
        _ => false,
    };
    if is_audience { IdTokenHint::Of(claims.sub) } else { IdTokenHint::Invalid }
}

/// Goes on with an interaction: to the page that is needed next, or back to the client.
pub(super) async fn resume(
    visit: &Visit<'_>,
    id: &str,
    interaction: &Interaction,
    so_far: &Progress<'_>,
) -> Result<HttpResponse, PageError> {
    next(visit, id, interaction, so_far).instrument(interaction.step("go on")).await
}

async fn next(
    visit: &Visit<'_>,
    id: &str,
    interaction: &Interaction,
    so_far: &Progress<'_>,
) -> Result<HttpResponse, PageError> {
    match decide(visit, &interaction.request, so_far).await? {
        Decision::NeedLogin | Decision::NeedSelection => Ok(see_other(&visit.interaction_path("/login", Some(id)))),
        Decision::NeedFactor => Ok(see_other(&visit.interaction_path("/mfa", Some(id)))),
        Decision::NeedConsent(_) => Ok(see_other(&visit.interaction_path("/consent", Some(id)))),
        Decision::Granted(session) => {
            finish(visit, id).await?;
            grant(visit, &interaction.request, &session).await
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
    tell(visit.tenant, &asked.return_address(), error)
}

/// Tells the client why it gets nothing.
pub(super) fn tell(tenant: &TenantContext, address: &ReturnAddress, error: &OAuthError) -> HttpResponse {
    deliver(tenant, authorize::failure(address, &tenant.issuer, error))
}

fn deliver(tenant: &TenantContext, delivery: Delivery) -> HttpResponse {
    match delivery {
        Delivery::Redirect(url) => see_other(&url),
        Delivery::FormPost { action, fields } => form_post(&FormPost { frame: Frame::of(tenant), action, fields }),
    }
}

/// The client gets what it asked for.
async fn grant(
    visit: &Visit<'_>,
    asked: &AuthorizationRequest,
    session: &SessionFacts,
) -> Result<HttpResponse, PageError> {
    let code = match asked.response_type {
        ResponseType::Code => Some(issue(visit, asked, session).await?),
        ResponseType::None => None,
    };
    let code = code.as_ref().map(|code| code.expose().as_str());
    Ok(deliver(visit.tenant, authorize::success(&asked.return_address(), &visit.tenant.issuer, code)))
}

async fn issue(
    visit: &Visit<'_>,
    asked: &AuthorizationRequest,
    session: &SessionFacts,
) -> Result<Secret<String>, PageError> {
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
        claims: &asked.claims,
        details: &asked.authorization_details,
        auth_time: session.auth_time,
        amr: &session.amr,
        redirect_uri: &asked.redirect_uri,
        dpop_jkt: asked.dpop_jkt,
        code_challenge: asked.code_challenge.as_ref(),
        now: visit.now,
        expires_at: code_expires_at,
        grant_expires_at,
    };
    codes::issue(visit.db()?, &new).await.map_err(|e| visit.fault(&e))
}
