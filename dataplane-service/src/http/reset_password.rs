//! `GET` and `POST /reset-password`: whom a mail's link brought chooses another password. Opening the link uses nothing up,
//! sending the form does. Then every session and grant of the user is over, and nobody is signed in by it.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use oauth_core::form::Form;
use vocab::ErrorCode;

use super::posted::Posted;
use super::visit::{self, Visit};
use crate::app::App;
use crate::opaque;
use crate::pages::{self, PageError, PageTenant, show};
use crate::password::Password;
use crate::store::credentials::{self, ByLink};
use crate::store::mail_links::{self, Purpose};

pub(super) async fn get(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    let query = visit::form(&tenant, request.query_string().as_bytes())?;
    let code = code(&visit, &query)?;
    let email = live(&visit, code, Purpose::ResetPassword).await?;
    let mut response = form_page(&visit, StatusCode::OK, code, email, None);
    visit.bind(&mut response);
    Ok(response)
}

pub(super) fn code<'f>(visit: &Visit<'_>, form: &'f Form<'_>) -> Result<&'f str, PageError> {
    let code = form.get("code").filter(|code| opaque::looks_like(code));
    code.ok_or_else(|| visit.error(ErrorCode::InvalidRequest, "The link is not whole. Please copy all of it."))
}

/// The address of the user whom the link is for; a page if it is worth nothing any more.
pub(super) async fn live(visit: &Visit<'_>, code: &str, purpose: Purpose) -> Result<String, PageError> {
    let found = mail_links::find(visit.db()?, code, purpose, visit.now).await.map_err(|e| visit.fault(&e))?;
    found.ok_or_else(|| over(visit))
}

pub(super) fn over(visit: &Visit<'_>) -> PageError {
    let detail = "This link was used, is older than an hour, or a later mail has another. Please ask for a new one.";
    visit.error(ErrorCode::NotFound, detail)
}

fn form_page(
    visit: &Visit<'_>,
    status: StatusCode,
    code: &str,
    email: String,
    problem: Option<String>,
) -> HttpResponse {
    let csrf = visit.csrf(&["reset-password", code]);
    let page = pages::ResetPassword { frame: visit.frame(), email, problem, code: code.to_owned(), csrf };
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
    let code = code(&visit, &form)?;
    visit.check_csrf(&form, &["reset-password", code])?;
    // Before a password is hashed, which costs.
    let email = live(&visit, code, Purpose::ResetPassword).await?;
    let password = match Password::chosen(form.get("new").unwrap_or_default().to_owned()) {
        Ok(password) => password,
        Err(problem) => {
            let problem = Some(format!("The password {problem}."));
            return Ok(form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, code, email, problem));
        }
    };
    let hash = app.hasher.hash(password).await.map_err(|error| PageError::hashing(&tenant, error))?;
    let new = ByLink { code, hash: &hash, tell: &tenant.told_of_logout(), now: visit.now };
    let user = credentials::reset(visit.db()?, &new).await.map_err(|e| visit.fault(&e))?;
    let user = user.ok_or_else(|| over(&visit))?;
    tracing::info!(tenant = %tenant.slug, %user, "a user reset the password; sessions and grants ended");
    app.outbox.look_at(tenant.id);
    let page = pages::Notice {
        frame: visit.frame(),
        title: "Your password is changed",
        text: "You are signed out everywhere. Go back to the application, or sign in here, with the new password.",
        onward: (visit.path("/login"), "Sign in"),
    };
    Ok(show(StatusCode::OK, &page.frame, &page, None))
}
