//! `GET` and `POST /oauth2/logout` (OIDC RP-Initiated Logout 1.0): signs this browser out of the tenant, and tells the
//! clients that it was signed in to.
//!
//! ```text
//!   a client's request ─▶ does its hint fit the session? ─no─▶ asks the user ─▶ the form that was shown
//!                                      └─yes─▶ ends the session ◀──────────────────────┘
//!                                                  └─▶ frames of clients ─▶ back to the client
//! ```
//!
//! A link alone signs nobody out: anybody can make a browser follow one (§2). Clients of the back channel are told by
//! the [outbox](crate::outbox).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::form::Form;
use oauth_core::logout::{self, Decision, Hint, LogoutRequest};

use super::cookies::Kind;
use super::visit::{Visit, add_cookie};
use crate::pages::{PageError, SignedIn, SignedOut, see_other, show_signed_out};
use crate::signing::HintFault;
use crate::store::sessions::{self, Ended, Session};

pub(super) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    asked(visit, &visit.query()?).await
}

pub(super) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    if form.get("csrf").is_some() {
        return confirmed(visit, form).await;
    }
    if visit.session_cookie().is_none() {
        // Browsers send no SameSite=Lax cookie with a form of another site, but do with the request that follows.
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(form.iter()).finish();
        return Ok(see_other(&format!("{}?{query}", visit.path("/oauth2/logout"))));
    }
    asked(visit, form).await
}

fn validate<'v>(visit: &'v Visit<'_>, form: &Form<'_>, hint: Hint) -> Result<LogoutRequest<'v>, PageError> {
    logout::validate(form, hint, |id| visit.tenant.client(id).map(AsRef::as_ref))
        .map_err(|error| PageError::refused(visit.tenant, &error))
}

fn hint(visit: &Visit<'_>, form: &Form<'_>) -> Hint {
    let Some(hint) = form.get("id_token_hint") else { return Hint::Absent };
    let tenant = visit.tenant;
    match tenant.keys.verify_hint(hint, &tenant.issuer) {
        Ok(claims) => Hint::Of(claims),
        // As without it: the user is asked, and the client is the one that `client_id` names.
        Err(HintFault::KeyGone) => Hint::Absent,
        Err(HintFault::Invalid) => Hint::Invalid,
    }
}

/// A client's request, or a person who came by.
async fn asked(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    let request = validate(visit, form, hint(visit, form))?;
    let session = visit.session().await?;
    match (logout::decide(&request, session.as_ref().map(|session| &session.facts)), session) {
        (Decision::End, _) => end(visit, &request).await,
        (Decision::Ask, Some(session)) => Ok(ask(visit, &request, session)),
        (Decision::Done, _) | (Decision::Ask, None) => Ok(leave(visit, &request, None)),
    }
}

fn ask(visit: &Visit<'_>, request: &LogoutRequest<'_>, session: Session) -> HttpResponse {
    let mut fields = Vec::new();
    if let Some(client) = request.client {
        fields.push(("client_id", client.client_id.to_string()));
    }
    if let Some(to) = &request.return_to {
        fields.push(("post_logout_redirect_uri", to.uri.clone()));
        fields.extend(to.state.clone().map(|state| ("state", state)));
    }
    let page = SignedIn {
        frame: visit.frame(),
        email: session.email,
        csrf: visit.csrf(&["logout"]),
        asked_by: request.client.map(|client| client.spec.name.clone()),
        request: fields,
    };
    let returns_to = request.return_to.as_ref().map(|to| to.uri.as_str());
    visit.show(StatusCode::OK, &page, returns_to)
}

/// The form of the page: what it asks for is checked like any request.
async fn confirmed(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    visit.check_csrf(form, &["logout"])?;
    let request = validate(visit, form, Hint::Absent)?;
    end(visit, &request).await
}

async fn end(visit: &Visit<'_>, request: &LogoutRequest<'_>) -> Result<HttpResponse, PageError> {
    let ended = match visit.session_cookie() {
        Some(cookie) => sessions::end(visit.db()?, cookie, &visit.tenant.told_of_logout(), visit.now)
            .await
            .map_err(|e| visit.fault(&e))?,
        None => None,
    };
    visit.app.outbox.look_at(visit.tenant.id);
    let mut response = leave(visit, request, ended.as_ref());
    add_cookie(&mut response, &Kind::Session.clear(visit.tenant));
    Ok(response)
}

/// Back to the client; by way of a page where clients have to be shown.
fn leave(visit: &Visit<'_>, request: &LogoutRequest<'_>, ended: Option<&Ended>) -> HttpResponse {
    let frames = ended.map(|ended| frames(visit, ended)).unwrap_or_default();
    let return_to = request.return_to.as_ref().map(logout::ReturnTo::url);
    match return_to {
        Some(url) if frames.is_empty() => see_other(&url),
        return_to => {
            let mut response = show_signed_out(&SignedOut { frame: visit.frame(), frames, return_to });
            visit.bind(&mut response);
            response
        }
    }
}

fn frames(visit: &Visit<'_>, ended: &Ended) -> Vec<String> {
    let clients = ended.clients.iter().filter_map(|id| visit.tenant.client(id)).filter(|client| client.spec.enabled);
    clients.filter_map(|client| logout::frame_url(client, &visit.tenant.issuer, ended.sid)).collect()
}
