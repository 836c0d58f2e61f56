//! `GET` and `POST /oauth2/device` (RFC 8628 §3.3): a person connects a device that shows a code.
//!
//! ```text
//!   type the code ─▶ (/login) ─▶ is it what your device shows? allow or deny ─▶ done
//! ```
//!
//! Opening `verification_uri_complete` is the same without typing: it never allows anything by itself (§5.4). Only who
//! is signed in learns whether a code is known, and each wrong one counts (§5.1).

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use oauth_core::waiting::UserCode;
use telemetry::context::next_step;
use tracing::Instrument as _;
use vocab::ErrorCode;

use super::login::client_name;
use super::onward::Onward;
use super::posted::Posted;
use super::visit::{self, Visit};
use crate::app::App;
use crate::pages::{self, PageError, PageTenant, qr, show};
use crate::store::device::{self, Pending};
use crate::store::sessions::Session;
use crate::store::waiting::Approval;
use crate::waiting;

pub(super) async fn get(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    let query = visit::form(&tenant, request.query_string().as_bytes())?;
    let Some(typed) = query.get("user_code") else {
        return Ok(code_page(&visit, StatusCode::OK, None, ""));
    };
    let Some(code) = UserCode::parse(typed) else {
        let alert = "That is not such a code. It has nine letters and no vowels.".to_owned();
        return Ok(code_page(&visit, StatusCode::BAD_REQUEST, Some(alert), typed));
    };
    let session = visit.signed_in(&Onward::Device(code.clone())).await?;
    match look_up(&visit, &session, &code).await? {
        Found::Device(pending) => Ok(confirm_page(&visit, &session, &code, &pending)),
        Found::Nothing => Ok(code_page(&visit, StatusCode::NOT_FOUND, Some(UNKNOWN.to_owned()), &code.grouped())),
        Found::Wait(secs) => {
            let alert = format!("Too many attempts. Please wait {secs} seconds and try again.");
            let mut response = code_page(&visit, StatusCode::TOO_MANY_REQUESTS, Some(alert), &code.grouped());
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
            Ok(response)
        }
    }
}

const UNKNOWN: &str = "No device waits with this code. It may be too late: look at your device for a new one.";

enum Found {
    Device(Pending),
    Nothing,
    Wait(u32),
}

/// Guessing is counted per user and address, and per address.
async fn look_up(visit: &Visit<'_>, session: &Session, code: &UserCode) -> Result<Found, PageError> {
    let who = format!("(device) {}", session.facts.user_id);
    let attempt = match visit.app.throttle.begin(visit.tenant.id, &who, visit.address, visit.now) {
        Ok(attempt) => attempt,
        Err(wait) => return Ok(Found::Wait(wait.secs)),
    };
    let found = device::find(visit.db()?, code, visit.now).await;
    // A right one takes nothing off the count of wrong ones: a guesser may have a device of his own.
    if !matches!(found, Ok(None)) {
        visit.app.throttle.abandoned(&attempt);
    }
    Ok(found.map_err(|e| visit.fault(&e))?.map_or(Found::Nothing, Found::Device))
}

fn code_page(visit: &Visit<'_>, status: StatusCode, alert: Option<String>, code: &str) -> HttpResponse {
    let page = pages::DeviceCode { frame: visit.frame(), alert, code: code.chars().take(40).collect() };
    let mut response = show(status, &page.frame, &page, None);
    visit.bind(&mut response);
    response
}

fn token_about<'a>(code: &'a UserCode, sid: &'a str) -> [&'a str; 3] {
    ["device", code.letters(), sid]
}

fn confirm_page(visit: &Visit<'_>, session: &Session, code: &UserCode, pending: &Pending) -> HttpResponse {
    let here = Onward::Device(code.clone());
    let page = pages::DeviceConfirm {
        frame: visit.frame(),
        client: client_name(visit, &pending.client_id).unwrap_or_else(|| pending.client_id.clone()),
        email: session.email.clone(),
        scopes: pending.scopes.iter().map(|scope| pages::describe(visit.tenant, scope)).collect(),
        details: pages::describe_details(visit.tenant, &pending.details),
        shown_code: code.grouped(),
        code: code.letters().to_owned(),
        csrf: visit.csrf(&token_about(code, &session.facts.sid.to_string())),
        qr: qr::svg(&format!("{}{}", visit.tenant.issuer, here.path())),
        switch: format!("{}&switch=1", here.by_way_of(visit, "/login")),
    };
    let mut response = show(StatusCode::OK, &page.frame, &page, None);
    visit.bind(&mut response);
    response
}

pub(super) async fn post(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
    posted: Posted,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    let form = posted.form(&tenant)?;
    let Some(code) = form.get("user_code").and_then(UserCode::parse) else {
        return Err(visit.error(ErrorCode::InvalidRequest, "The code is missing."));
    };
    let session = visit.signed_in(&Onward::Device(code.clone())).await?;
    visit.check_csrf(&form, &token_about(&code, &session.facts.sid.to_string()))?;
    let is_allowed = match form.get("decision") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(visit.error(ErrorCode::InvalidRequest, "Please press one of the two buttons.")),
    };
    let pending = device::find(visit.db()?, &code, visit.now).await.map_err(|e| visit.fault(&e))?;
    let is_answered = match pending {
        Some(pending) => {
            let step = next_step("answer", pending.traceparent.as_deref());
            if is_allowed {
                allow(&visit, &session, &code, &pending).instrument(step).await?
            } else {
                let denied = device::deny(visit.db()?, &code, visit.now).instrument(step).await;
                denied.map_err(|e| visit.fault(&e))?
            }
        }
        None => false,
    };
    if !is_answered {
        return Ok(code_page(&visit, StatusCode::NOT_FOUND, Some(UNKNOWN.to_owned()), &code.grouped()));
    }
    let page = pages::DeviceDone { frame: visit.frame(), is_allowed };
    Ok(show(StatusCode::OK, &page.frame, &page, None))
}

async fn allow(visit: &Visit<'_>, session: &Session, code: &UserCode, pending: &Pending) -> Result<bool, PageError> {
    let approval = Approval {
        user_id: session.facts.user_id,
        auth_time: session.facts.auth_time,
        amr: &session.facts.amr,
        grant_expires_at: waiting::grant_expiry(visit.tenant, &pending.scopes, visit.now),
    };
    device::approve(visit.db()?, code, &approval, visit.now).await.map_err(|e| visit.fault(&e))
}
