//! `GET` and `POST /verify-email`: a person shows that the address of the account is hers. With the code of a mail's link a
//! button confirms it, in any browser; without, who is signed in has the mail sent.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::form::Form;

use super::mail_link::{self, check_mail, pace, send};
use super::onward::Onward;
use super::too_many;
use super::visit::Visit;
use crate::pages::{self, PageError};
use crate::store::change_mails::Change;
use crate::store::mail_links::{self, Purpose, Whom};

pub(super) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    let query = visit.query()?;
    Ok(if query.get("code").is_some() {
        let code = mail_link::code(visit, &query)?;
        let email = mail_link::addressee(visit, code, Purpose::VerifyEmail).await?;
        form_page(visit, StatusCode::OK, Some(code), email, None)
    } else {
        check_mail(visit)?;
        let session = visit.signed_in(&Onward::Account).await?;
        form_page(visit, StatusCode::OK, None, session.email, None)
    })
}

fn form_page(
    visit: &Visit<'_>,
    status: StatusCode,
    code: Option<&str>,
    email: String,
    alert: Option<String>,
) -> HttpResponse {
    let csrf = visit.csrf(&["verify-email", code.unwrap_or_default()]);
    let page = pages::VerifyEmail { frame: visit.frame(), email, code: code.map(str::to_owned), alert, csrf };
    visit.show(status, &page, None)
}

pub(super) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    if form.get("code").is_some() {
        let code = mail_link::code(visit, form)?;
        visit.check_csrf(form, &["verify-email", code])?;
        return confirm(visit, code).await;
    }
    check_mail(visit)?;
    visit.check_csrf(form, &["verify-email", ""])?;
    let session = visit.signed_in(&Onward::Account).await?;
    if let Err(wait) = pace(visit) {
        return Ok(too_many::page(wait.secs, |status, alert| {
            form_page(visit, status, None, session.email, Some(alert))
        }));
    }
    send(visit, Purpose::VerifyEmail, Whom::User(session.facts.user_id)).await?;
    let text = "A link is on its way to your address. It works once, within an hour.";
    Ok(notice(visit, "Look into your mailbox", text))
}

async fn confirm(visit: &Visit<'_>, code: &str) -> Result<HttpResponse, PageError> {
    let news = visit.news(Change::EmailVerified);
    let user = mail_links::verify_email(visit.db()?, code, &news).await.map_err(|e| visit.fault(&e))?;
    let user = user.ok_or_else(|| mail_link::over(visit))?;
    tracing::info!(tenant = %visit.tenant.slug, %user, "a user confirmed the email address");
    visit.posted();
    Ok(notice(visit, "Your address is confirmed", "Thank you. Applications are told that it is yours."))
}

fn notice(visit: &Visit<'_>, title: &'static str, text: &'static str) -> HttpResponse {
    let onward = (visit.path("/account"), "Your account");
    let page = pages::Notice { frame: visit.frame(), title, text, onward };
    visit.show(StatusCode::OK, &page, None)
}
