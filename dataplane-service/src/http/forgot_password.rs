//! `GET` and `POST /forgot-password`: a link to choose another password, sent to the address of an account. Whether there
//! is one, the answer does not tell, nor the time it takes (ASVS 6.3.8).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::form::Form;

use super::mail_link::{check_mail, pace, send};
use super::too_many;
use super::visit::Visit;
use crate::email::Email;
use crate::pages::{self, PageError};
use crate::store::mail_links::{Purpose, Whom};

pub(super) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    check_mail(visit)?;
    Ok(form_page(visit, StatusCode::OK, None, ""))
}

fn form_page(visit: &Visit<'_>, status: StatusCode, alert: Option<String>, email: &str) -> HttpResponse {
    let csrf = visit.csrf(&["forgot-password"]);
    let page = pages::ForgotPassword { frame: visit.frame(), alert, email: email.to_owned(), csrf };
    visit.show(status, &page, None)
}

pub(super) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    check_mail(visit)?;
    visit.check_csrf(form, &["forgot-password"])?;
    let typed = form.get("email").unwrap_or_default();
    let email = match Email::parse(typed) {
        Ok(email) => email,
        Err(problem) => {
            let alert = Some(format!("The email address {problem}."));
            return Ok(form_page(visit, StatusCode::UNPROCESSABLE_ENTITY, alert, typed));
        }
    };
    if let Err(wait) = pace(visit) {
        return Ok(too_many::page(wait.secs, |status, alert| form_page(visit, status, Some(alert), typed)));
    }
    send(visit, Purpose::ResetPassword, Whom::Address(&email)).await?;
    let page = pages::Notice {
        frame: visit.frame(),
        title: "Look into your mailbox",
        text: "If there is an account with this address, a link to choose a new password is on its way. It works once, \
               within an hour.",
        onward: (visit.path("/login"), "Back to sign-in"),
    };
    Ok(visit.show(StatusCode::OK, &page, None))
}
