//! `GET` and `POST /forgot-password`: a link to choose another password, sent to the address of an account. Whether there
//! is one, the answer does not tell, nor the time it takes (ASVS 6.3.8).

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use vocab::ErrorCode;

use super::posted::Posted;
use super::visit::Visit;
use crate::app::App;
use crate::email::Email;
use crate::opaque;
use crate::pages::{self, PageError, PageTenant, show};
use crate::store::mail_links::{self, NewLink, Purpose, Whom};
use crate::throttle::Wait;

/// Links that a pod sends at the word of one address.
const MAILS_PER_MINUTE: u32 = 6;

pub(super) async fn get(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    check_mail(&visit)?;
    let mut response = form_page(&visit, StatusCode::OK, None, "");
    visit.bind(&mut response);
    Ok(response)
}

/// Without a mail server there is nothing here.
pub(super) fn check_mail(visit: &Visit<'_>) -> Result<(), PageError> {
    if visit.app.sends_mail(visit.tenant) {
        return Ok(());
    }
    Err(visit.error(ErrorCode::NotConfigured, "Mail is not set up here. Please ask whoever sent you."))
}

/// Counts one more mail at the word of this address.
pub(super) fn pace(visit: &Visit<'_>) -> Result<(), Wait> {
    visit.app.mails.step(visit.tenant.id, visit.address, MAILS_PER_MINUTE, visit.now)
}

fn form_page(visit: &Visit<'_>, status: StatusCode, alert: Option<String>, email: &str) -> HttpResponse {
    let csrf = visit.csrf(&["forgot-password"]);
    let page = pages::ForgotPassword { frame: visit.frame(), alert, email: email.to_owned(), csrf };
    show(status, &page.frame, &page, None)
}

pub(super) async fn post(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
    posted: Posted,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    check_mail(&visit)?;
    let form = posted.form(&tenant)?;
    visit.check_csrf(&form, &["forgot-password"])?;
    let typed = form.get("email").unwrap_or_default();
    let email = match Email::parse(typed) {
        Ok(email) => email,
        Err(problem) => {
            let alert = Some(format!("The email address {problem}."));
            return Ok(form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, alert, typed));
        }
    };
    if let Err(wait) = pace(&visit) {
        let alert = Some(format!("Too many attempts. Please wait {} seconds and try again.", wait.secs));
        let mut response = form_page(&visit, StatusCode::TOO_MANY_REQUESTS, alert, typed);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.secs));
        return Ok(response);
    }
    send(&visit, Purpose::ResetPassword, Whom::Address(&email)).await?;
    let page = pages::Notice {
        frame: visit.frame(),
        title: "Look into your mailbox",
        text: "If there is an account with this address, a link to choose a new password is on its way. It works once, \
               within an hour.",
        onward: (visit.path("/login"), "Back to sign-in"),
    };
    Ok(show(StatusCode::OK, &page.frame, &page, None))
}

/// The mail is written down when this returns; whoever is there sends it.
pub(super) async fn send(visit: &Visit<'_>, purpose: Purpose, whom: Whom<'_>) -> Result<(), PageError> {
    let link = NewLink { id: opaque::fresh_id(visit.now), purpose, whom, now: visit.now };
    mail_links::ask(visit.db()?, &link).await.map_err(|e| visit.fault(&e))?;
    visit.app.outbox.look_at(visit.tenant.id);
    Ok(())
}
