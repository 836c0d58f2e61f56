//! `GET` and `POST /account`: what waits for the answer of the person who is signed in, and which applications have
//! access. Every request of CIBA reaches its user here (OIDC CIBA Core 1.0 §8), by mail beside it where the tenant has one.

pub(super) mod access;
pub(super) mod factors;
pub(super) mod password;
pub(super) mod request;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::authorize::SessionFacts;
use oauth_core::form::Form;
use telemetry::context::next_step;
use tracing::Instrument as _;
use uuid::Uuid;
use vocab::ErrorCode;
use vocab::oauth::Mfa;

use super::answer::Answer;
use super::onward::Onward;
use super::visit::Visit;
use crate::pages::{self, Asked, PageError};
use crate::store::ciba::{self, Pending};
use crate::store::sessions::Session;
use crate::store::{DbError, users};
use crate::waiting;

pub(super) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    let session = visit.signed_in(&Onward::Account).await?;
    account_page(visit, session, None).await
}

fn token_about<'a>(id: &'a str, sid: &'a str) -> [&'a str; 3] {
    ["account", id, sid]
}

async fn account_page(
    visit: &Visit<'_>,
    session: Session,
    notice: Option<&'static str>,
) -> Result<HttpResponse, PageError> {
    let pending = ciba::pending(visit.db()?, session.facts.user_id, visit.now).await;
    let sid = session.facts.sid.to_string();
    let pending = pending.map_err(|e| visit.fault(&e))?;
    let requests = pending.into_iter().map(|pending| shown(visit, pending, &sid)).collect();
    let access = access::rows(visit, &session).await?;
    let has_factors = visit.tenant.oauth.mfa != Mfa::Off;
    let verify = if visit.app.sends_mail(visit.tenant) {
        let found = users::find(visit.db()?, session.facts.user_id).await.map_err(|e| visit.fault(&e))?;
        found.filter(|row| !row.user.email_verified).map(|_| visit.path("/verify-email"))
    } else {
        None
    };
    let email = session.email;
    let page = pages::Account { frame: visit.frame(), email, notice, verify, requests, access, has_factors };
    Ok(visit.show(StatusCode::OK, &page, None))
}

/// A request as the page shows it, with a form for this browser and session.
fn shown(visit: &Visit<'_>, pending: Pending, sid: &str) -> pages::AccountRequest {
    let id = pending.id.to_string();
    pages::AccountRequest {
        asked: Asked::of(visit.tenant, visit.name_of(&pending.client_id), &pending.scopes, &pending.details),
        binding_message: pending.binding_message,
        csrf: visit.csrf(&token_about(&id, sid)),
        id,
    }
}

pub(super) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    let session = visit.signed_in(&Onward::Account).await?;
    let asked = form.get("request").unwrap_or_default();
    visit.check_csrf(form, &token_about(asked, &session.facts.sid.to_string()))?;
    let Ok(id) = asked.parse::<Uuid>() else {
        return Err(visit.error(ErrorCode::InvalidRequest, "The request is missing."));
    };
    let answer = Answer::of(visit, form)?;
    let pending = ciba::pending(visit.db()?, session.facts.user_id, visit.now).await.map_err(|e| visit.fault(&e))?;
    let is_answered = match pending.into_iter().find(|pending| pending.id == id) {
        Some(pending) => {
            let step = next_step("answer", pending.traceparent.as_deref());
            let told = tell(visit, &session.facts, &pending, answer).instrument(step).await;
            told.map_err(|e| visit.fault(&e))?
        }
        None => false,
    };
    visit.app.outbox.look_at(visit.tenant.id);
    let notice = match answer {
        _ if !is_answered => "That request waits no more.",
        Answer::Allow => "You allowed it.",
        Answer::Deny => "You denied it.",
    };
    account_page(visit, session, Some(notice)).await
}

/// `false`: it did not wait any more.
async fn tell(visit: &Visit<'_>, session: &SessionFacts, pending: &Pending, answer: Answer) -> Result<bool, DbError> {
    let db = visit.tenant.db()?;
    match answer {
        Answer::Allow => {
            let approval = waiting::approval(visit.tenant, session, &pending.scopes, visit.now);
            ciba::approve(db, pending.id, &approval, visit.now).await
        }
        Answer::Deny => ciba::deny(db, pending.id, session.user_id, visit.now).await,
    }
}
