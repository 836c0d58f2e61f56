//! `GET` and `POST /account`: what waits for the answer of the person who is signed in, and which applications have
//! access. Every request of CIBA reaches its user here (OIDC CIBA Core 1.0 §8), by mail beside it where the tenant has one.

pub(super) mod access;
pub(super) mod factors;
pub(super) mod password;
pub(super) mod request;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use telemetry::context::next_step;
use tracing::Instrument as _;
use uuid::Uuid;
use vocab::ErrorCode;
use vocab::oauth::Mfa;

use super::login::client_name;
use super::onward::Onward;
use super::posted::Posted;
use super::visit::Visit;
use crate::app::App;
use crate::pages::{self, PageError, PageTenant, show};
use crate::store::ciba::{self, Pending};
use crate::store::sessions::Session;
use crate::store::users;
use crate::store::waiting::Approval;
use crate::waiting;

pub(super) async fn get(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    let session = visit.signed_in(&Onward::Account).await?;
    account_page(&visit, session, None).await
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
    let mut response = show(StatusCode::OK, &page.frame, &page, None);
    visit.bind(&mut response);
    Ok(response)
}

/// A request as the page shows it, with a form for this browser and session.
fn shown(visit: &Visit<'_>, pending: Pending, sid: &str) -> pages::AccountRequest {
    let id = pending.id.to_string();
    pages::AccountRequest {
        client: client_name(visit, &pending.client_id).unwrap_or_else(|| pending.client_id.clone()),
        binding_message: pending.binding_message,
        scopes: pending.scopes.iter().map(|scope| pages::describe(visit.tenant, scope)).collect(),
        details: pages::describe_details(visit.tenant, &pending.details),
        csrf: visit.csrf(&token_about(&id, sid)),
        id,
    }
}

pub(super) async fn post(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
    posted: Posted,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    let form = posted.form(&tenant)?;
    let session = visit.signed_in(&Onward::Account).await?;
    let asked = form.get("request").unwrap_or_default();
    visit.check_csrf(&form, &token_about(asked, &session.facts.sid.to_string()))?;
    let Ok(id) = asked.parse::<Uuid>() else {
        return Err(visit.error(ErrorCode::InvalidRequest, "The request is missing."));
    };
    let (is_allowed, notice) = match form.get("decision") {
        Some("allow") => (true, "You allowed it."),
        Some("deny") => (false, "You denied it."),
        _ => return Err(visit.error(ErrorCode::InvalidRequest, "Please press one of the two buttons.")),
    };
    let user = session.facts.user_id;
    let pending = ciba::pending(visit.db()?, user, visit.now).await.map_err(|e| visit.fault(&e))?;
    let is_answered = match pending.into_iter().find(|pending| pending.id == id) {
        Some(pending) => {
            let step = next_step("answer", pending.traceparent.as_deref());
            if is_allowed {
                allow(&visit, &session, &pending).instrument(step).await?
            } else {
                let denied = ciba::deny(visit.db()?, id, user, visit.now).instrument(step).await;
                denied.map_err(|e| visit.fault(&e))?
            }
        }
        None => false,
    };
    visit.app.outbox.look_at(visit.tenant.id);
    let notice = if is_answered { notice } else { "That request waits no more." };
    account_page(&visit, session, Some(notice)).await
}

async fn allow(visit: &Visit<'_>, session: &Session, pending: &Pending) -> Result<bool, PageError> {
    let approval = Approval {
        user_id: session.facts.user_id,
        auth_time: session.facts.auth_time,
        amr: &session.facts.amr,
        grant_expires_at: waiting::grant_expiry(visit.tenant, &pending.scopes, visit.now),
    };
    ciba::approve(visit.db()?, pending.id, &approval, visit.now).await.map_err(|e| visit.fault(&e))
}
