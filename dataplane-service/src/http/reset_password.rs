//! `GET` and `POST /reset-password`: whom a mail's link brought chooses another password. Opening the link uses nothing up,
//! sending the form does. Then every session and grant of the user is over, and nobody is signed in by it.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::form::Form;

use super::mail_link;
use super::visit::Visit;
use crate::pages::{self, PageError};
use crate::password::Password;
use crate::store::change_mails::Change;
use crate::store::credentials::{self, ByLink};
use crate::store::mail_links::Purpose;

pub(super) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    let query = visit.query()?;
    let code = mail_link::code(visit, &query)?;
    let email = mail_link::addressee(visit, code, Purpose::ResetPassword).await?;
    Ok(form_page(visit, StatusCode::OK, code, email, None))
}

fn form_page(
    visit: &Visit<'_>,
    status: StatusCode,
    code: &str,
    email: String,
    problem: Option<String>,
) -> HttpResponse {
    let csrf = visit.csrf(&["reset-password", code]);
    let (frame, code) = (visit.frame(), code.to_owned());
    let min_length = visit.tenant.password_min_length();
    let page = pages::ResetPassword { frame, email, problem, min_length, code, csrf };
    visit.show(status, &page, None)
}

pub(super) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    let code = mail_link::code(visit, form)?;
    visit.check_csrf(form, &["reset-password", code])?;
    // Before a password is hashed, which costs.
    let email = mail_link::addressee(visit, code, Purpose::ResetPassword).await?;
    let demands = visit.tenant.password_demands(&[&email]);
    let password = match Password::chosen(form.get("new").unwrap_or_default().to_owned(), &demands) {
        Ok(password) => password,
        Err(problem) => {
            let problem = Some(format!("The password {problem}."));
            return Ok(form_page(visit, StatusCode::UNPROCESSABLE_ENTITY, code, email, problem));
        }
    };
    let hash = visit.app.hasher.hash(password).await.map_err(|error| PageError::hashing(visit.tenant, error))?;
    let news = visit.news(Change::PasswordReset);
    let new = ByLink { code, hash: &hash, tell: &visit.tenant.told_of_logout(), news };
    let user = credentials::reset(visit.db()?, &new).await.map_err(|e| visit.fault(&e))?;
    let user = user.ok_or_else(|| mail_link::over(visit))?;
    tracing::info!(tenant = %visit.tenant.slug, %user, "a user reset the password; sessions and grants ended");
    visit.posted();
    let page = pages::Notice {
        frame: visit.frame(),
        title: "Your password is changed",
        text: "You are signed out everywhere. Go back to the application, or sign in here, with the new password.",
        onward: (visit.path("/login"), "Sign in"),
    };
    Ok(visit.show(StatusCode::OK, &page, None))
}
