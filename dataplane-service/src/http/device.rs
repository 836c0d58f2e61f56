//! `GET` and `POST /oauth2/device` (RFC 8628 §3.3): a person connects a device that shows a code.
//!
//! ```text
//!   type the code ─▶ (/login) ─▶ is it what your device shows? allow or deny ─▶ done
//! ```
//!
//! Opening `verification_uri_complete` is the same without typing: it never allows anything by itself (§5.4). Only who
//! is signed in learns whether a code is known, and each wrong one counts (§5.1).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::authorize::SessionFacts;
use oauth_core::form::Form;
use oauth_core::waiting::UserCode;
use telemetry::context::next_step;
use tracing::Instrument as _;
use vocab::ErrorCode;

use super::answer::Answer;
use super::onward::Onward;
use super::too_many;
use super::visit::Visit;
use crate::pages::{self, Asked, PageError, qr};
use crate::store::DbError;
use crate::store::device::{self, Pending};
use crate::store::sessions::Session;
use crate::waiting;

pub(super) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    let query = visit.query()?;
    let Some(typed) = query.get("user_code") else {
        return Ok(code_page(visit, StatusCode::OK, None, ""));
    };
    let Some(code) = UserCode::parse(typed) else {
        let alert = "That is not such a code. It has nine letters and no vowels.".to_owned();
        return Ok(code_page(visit, StatusCode::BAD_REQUEST, Some(alert), typed));
    };
    let session = visit.signed_in(&Onward::Device(code.clone())).await?;
    match look_up(visit, &session, &code).await? {
        Found::Device(pending) => Ok(confirm_page(visit, &session, &code, &pending)),
        Found::Nothing => Ok(code_page(visit, StatusCode::NOT_FOUND, Some(UNKNOWN.to_owned()), &code.grouped())),
        Found::Wait(secs) => {
            Ok(too_many::page(secs, |status, alert| code_page(visit, status, Some(alert), &code.grouped())))
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
    visit.show(status, &page, None)
}

fn token_about<'a>(code: &'a UserCode, sid: &'a str) -> [&'a str; 3] {
    ["device", code.letters(), sid]
}

fn confirm_page(visit: &Visit<'_>, session: &Session, code: &UserCode, pending: &Pending) -> HttpResponse {
    let here = Onward::Device(code.clone());
    let page = pages::DeviceConfirm {
        frame: visit.frame(),
        asked: Asked::of(visit.tenant, visit.name_of(&pending.client_id), &pending.scopes, &pending.details),
        email: session.email.clone(),
        shown_code: code.grouped(),
        code: code.letters().to_owned(),
        csrf: visit.csrf(&token_about(code, &session.facts.sid.to_string())),
        qr: qr::svg(&format!("{}{}", visit.tenant.issuer, here.path())),
        switch: format!("{}&switch=1", here.by_way_of(visit, "/login")),
    };
    visit.show(StatusCode::OK, &page, None)
}

pub(super) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    let Some(code) = form.get("user_code").and_then(UserCode::parse) else {
        return Err(visit.error(ErrorCode::InvalidRequest, "The code is missing."));
    };
    let session = visit.signed_in(&Onward::Device(code.clone())).await?;
    visit.check_csrf(form, &token_about(&code, &session.facts.sid.to_string()))?;
    let answer = Answer::of(visit, form)?;
    let pending = device::find(visit.db()?, &code, visit.now).await.map_err(|e| visit.fault(&e))?;
    let is_answered = match pending {
        Some(pending) => {
            let step = next_step("answer", pending.traceparent.as_deref());
            let told = tell(visit, &session.facts, (&code, &pending), answer).instrument(step).await;
            told.map_err(|e| visit.fault(&e))?
        }
        None => false,
    };
    if !is_answered {
        return Ok(code_page(visit, StatusCode::NOT_FOUND, Some(UNKNOWN.to_owned()), &code.grouped()));
    }
    let page = pages::DeviceDone { frame: visit.frame(), is_allowed: answer == Answer::Allow };
    Ok(visit.show(StatusCode::OK, &page, None))
}

/// `false`: it did not wait any more.
async fn tell(
    visit: &Visit<'_>,
    session: &SessionFacts,
    (code, pending): (&UserCode, &Pending),
    answer: Answer,
) -> Result<bool, DbError> {
    let db = visit.tenant.db()?;
    match answer {
        Answer::Allow => {
            let approval = waiting::approval(visit.tenant, session, &pending.scopes, visit.now);
            device::approve(db, code, &approval, visit.now).await
        }
        Answer::Deny => device::deny(db, code, visit.now).await,
    }
}
