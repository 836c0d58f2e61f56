//! `GET` and `POST /account/password`: a person who knows the current password chooses another. Every other session ends,
//! and whatever applications were given; this one goes on, under a fresh cookie.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::form::Form;

use super::account_page;
use crate::email::Email;
use crate::http::cookies::Kind;
use crate::http::login::{Person, begin_session};
use crate::http::onward::Onward;
use crate::http::too_many;
use crate::http::visit::{Visit, add_cookie};
use crate::pages::{self, PageError};
use crate::password::Password;
use crate::store::change_mails::Change;
use crate::store::credentials::{self, NewPassword};
use crate::store::sessions::Session;

fn token_about(sid: &str) -> [&str; 2] {
    ["password", sid]
}

/// What was wrong with what was typed.
#[derive(Default)]
struct Problems {
    alert: Option<String>,
    current: Option<String>,
    new: Option<String>,
}

pub(in crate::http) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    let session = visit.signed_in(&Onward::Account).await?;
    Ok(form_page(visit, &session, StatusCode::OK, Problems::default()))
}

fn form_page(visit: &Visit<'_>, session: &Session, status: StatusCode, problems: Problems) -> HttpResponse {
    let page = pages::ChangePassword {
        frame: visit.frame(),
        email: session.email.clone(),
        alert: problems.alert,
        current_problem: problems.current,
        new_problem: problems.new,
        min_length: visit.tenant.password_min_length(),
        csrf: visit.csrf(&token_about(&session.facts.sid.to_string())),
    };
    visit.show(status, &page, None)
}

pub(in crate::http) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    let session = visit.signed_in(&Onward::Account).await?;
    visit.check_csrf(form, &token_about(&session.facts.sid.to_string()))?;
    let typed = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let demands = visit.tenant.password_demands(&[&session.email]);
    let (current, new) = match (Password::presented(typed("current")), Password::chosen(typed("new"), &demands)) {
        (Ok(current), Ok(new)) => (current, new),
        (current, new) => {
            let says = |problem| format!("The password {problem}.");
            let problems = Problems { alert: None, current: current.err().map(says), new: new.err().map(says) };
            return Ok(form_page(visit, &session, StatusCode::UNPROCESSABLE_ENTITY, problems));
        }
    };
    match change(visit, &session, current, new).await? {
        Outcome::Changed => visit.posted(),
        Outcome::Wrong => {
            let current = Some("That is not your current password.".to_owned());
            let problems = Problems { current, ..Problems::default() };
            return Ok(form_page(visit, &session, StatusCode::FORBIDDEN, problems));
        }
        Outcome::Wait(secs) => {
            return Ok(too_many::page(secs, |status, alert| {
                let problems = Problems { alert: Some(alert), ..Problems::default() };
                form_page(visit, &session, status, problems)
            }));
        }
    }
    // Two factors stay two: the password alone was asked for here.
    let amr: Vec<&str> = session.facts.amr.iter().map(String::as_str).collect();
    let begun = begin_session(visit, Person { id: session.facts.user_id, amr: &amr }).await?;
    let session = Session { facts: begun.facts, ..session };
    let notice = "Your password is changed. Everywhere else you are signed out.";
    let mut response = account_page(visit, session, Some(notice)).await?;
    add_cookie(&mut response, &Kind::Session.set(visit.tenant, begun.cookie.expose()));
    Ok(response)
}

enum Outcome {
    Changed,
    Wrong,
    Wait(u32),
}

/// Who has somebody's browser for a moment guesses no faster than at the sign-in.
async fn change(visit: &Visit<'_>, session: &Session, current: Password, new: Password) -> Result<Outcome, PageError> {
    let account = Email::parse(&session.email).map_or_else(|_| session.email.clone(), |it| it.normalized().to_owned());
    let attempt = match visit.app.throttle.begin(visit.tenant.id, &account, visit.address, visit.now) {
        Ok(attempt) => attempt,
        Err(wait) => return Ok(Outcome::Wait(wait.secs)),
    };
    let judged = replace(visit, session, current, new).await;
    match &judged {
        Ok(Outcome::Changed) => visit.app.throttle.succeeded(&attempt),
        Ok(_) => {}
        Err(_) => visit.app.throttle.abandoned(&attempt),
    }
    judged
}

async fn replace(visit: &Visit<'_>, session: &Session, current: Password, new: Password) -> Result<Outcome, PageError> {
    let (db, user) = (visit.db()?, session.facts.user_id);
    let hashing = |error| PageError::hashing(visit.tenant, error);
    let stored = credentials::of_user(db, user).await.map_err(|e| visit.fault(&e))?.and_then(|it| it.password_hash);
    let matches = visit.app.hasher.verify(current, stored.clone()).await.map_err(hashing)?;
    let Some(stored) = stored.filter(|_| matches) else {
        return Ok(Outcome::Wrong);
    };
    let hash = visit.app.hasher.hash(new).await.map_err(hashing)?;
    let new = NewPassword {
        user_id: user,
        hash: &hash,
        replaces: Some(&stored),
        keep: Some(session.facts.sid),
        tell: &visit.tenant.told_of_logout(),
        news: visit.news(Change::PasswordChanged),
    };
    if !credentials::change(db, &new).await.map_err(|e| visit.fault(&e))? {
        return Ok(Outcome::Wrong);
    }
    tracing::info!(tenant = %visit.tenant.slug, %user, "a user changed the password; other sessions and grants ended");
    Ok(Outcome::Changed)
}
