//! `GET` and `POST /verify-email`: a person shows that the address of the account is hers. With the code of a mail's link a
//! button confirms it, in any browser; without, who is signed in has the mail sent.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::forgot_password::{check_mail, pace, send};
use super::onward::Onward;
use super::posted::Posted;
use super::reset_password::{code, live, over};
use super::visit::{self, Visit};
use crate::app::App;
use crate::pages::{self, PageError, PageTenant, show};
use crate::store::mail_links::{self, Purpose, Whom};

pub(super) async fn get(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    let query = visit::form(&tenant, request.query_string().as_bytes())?;
    let mut response = if query.get("code").is_some() {
        let code = code(&visit, &query)?;
        let email = live(&visit, code, Purpose::VerifyEmail).await?;
        form_page(&visit, StatusCode::OK, Some(code), email, None)
    } else {
        check_mail(&visit)?;
        let session = visit.signed_in(&Onward::Account).await?;
        form_page(&visit, StatusCode::OK, None, session.email, None)
    };
    visit.bind(&mut response);
    Ok(response)
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
    show(status, &page.frame, &page, None)
}

pub(super) async fn post(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
    posted: Posted,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    let form = posted.form(&tenant)?;
    if form.get("code").is_some() {
        let code = code(&visit, &form)?;
        visit.check_csrf(&form, &["verify-email", code])?;
        return confirm(&visit, code).await;
    }
    check_mail(&visit)?;
    visit.check_csrf(&form, &["verify-email", ""])?;
    let session = visit.signed_in(&Onward::Account).await?;
    if let Err(wait) = pace(&visit) {
        let alert = Some(format!("Too many attempts. Please wait {} seconds and try again.", wait.secs));
        let mut response = form_page(&visit, StatusCode::TOO_MANY_REQUESTS, None, session.email, alert);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.secs));
        return Ok(response);
    }
    send(&visit, Purpose::VerifyEmail, Whom::User(session.facts.user_id)).await?;
    let text = "A link is on its way to your address. It works once, within an hour.";
    Ok(notice(&visit, "Look into your mailbox", text))
}

async fn confirm(visit: &Visit<'_>, code: &str) -> Result<HttpResponse, PageError> {
    let user = mail_links::verify_email(visit.db()?, code, visit.now).await.map_err(|e| visit.fault(&e))?;
    let user = user.ok_or_else(|| over(visit))?;
    tracing::info!(tenant = %visit.tenant.slug, %user, "a user confirmed the email address");
    Ok(notice(visit, "Your address is confirmed", "Thank you. Applications are told that it is yours."))
}

fn notice(visit: &Visit<'_>, title: &'static str, text: &'static str) -> HttpResponse {
    let onward = (visit.path("/account"), "Your account");
    let page = pages::Notice { frame: visit.frame(), title, text, onward };
    show(StatusCode::OK, &page.frame, &page, None)
}
