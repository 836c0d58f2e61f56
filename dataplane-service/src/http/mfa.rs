//! `GET` and `POST /mfa`: the second factor. One-time passwords and recovery codes need no script; authenticators that sign do.
//!
//! ```text
//!   password ─▶ halfway, a cookie that is no session ─▶ /mfa ─▶ the session begins     ─▶ on with what it was for
//!   a session of one factor, and a client that asks for two ─▶ /mfa ─▶ it goes on as one of two ─┘
//! ```
//!
//! Who is halfway has nothing: each page that asks for a session finds none, so no way around this one leads to a code.
//! Guesses count per user, wherever they come from, since only who knows the password gets here.

mod keys;
pub(super) mod password;
pub(super) mod person;
pub(super) mod totp;
pub(super) mod webauthn;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::acr::Acr;
use oauth_core::form::Form;
use uuid::Uuid;
use vocab::ErrorCode;
use vocab::oauth::Mfa;

use self::person::{Destination, Person, admit};
use super::cookies::Kind;
use super::login::{self, client_name};
use super::onward::Onward;
use super::too_many;
use super::visit::{Visit, add_cookie};
use crate::pages::{self, PageError, see_other};
use crate::second_factor::recovery;
use crate::second_factor::totp::Seed;
use crate::store::factors::{self, Factor};
use crate::store::sign_ins::{self, NewSignIn};

const WRONG: &str = "The code is wrong, or it was used already.";
const REFUSED: &str = "That did not work. Please try again, or in another way.";

/// Whether this user, who has shown the password, must show a second factor, or add one.
pub(super) async fn is_due(visit: &Visit<'_>, user: Uuid) -> Result<bool, PageError> {
    Ok(match visit.tenant.oauth.mfa {
        Mfa::Off => false,
        Mfa::Required => true,
        Mfa::Optional => !factors::list(visit.db()?, user).await.map_err(|e| visit.fault(&e))?.is_empty(),
    })
}

/// The user has shown the first factor, and is led to the second.
pub(super) async fn halfway(
    visit: &Visit<'_>,
    interaction: Option<&str>,
    onward: &Onward,
    person: login::Person<'_>,
) -> Result<HttpResponse, PageError> {
    let new = NewSignIn { user_id: person.id, interaction, amr: person.amr, now: visit.now };
    let cookie = sign_ins::begin(visit.db()?, &new).await.map_err(|e| visit.fault(&e))?;
    let path = match interaction {
        Some(id) => visit.interaction_path("/mfa", Some(id)),
        None => onward.by_way_of(visit, "/mfa"),
    };
    let mut response = see_other(&path);
    add_cookie(&mut response, &Kind::SignIn.set(visit.tenant, cookie.expose()));
    Ok(response)
}

pub(super) fn check_enabled(visit: &Visit<'_>) -> Result<(), PageError> {
    if visit.tenant.oauth.mfa == Mfa::Off {
        return Err(visit.error(ErrorCode::NotFound, "There are no second factors here."));
    }
    Ok(())
}

pub(super) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    check_enabled(visit)?;
    let query = visit.query()?;
    let to = Destination::of(visit, &query).await?;
    let person = Person::of(visit, &to).await?;
    if let Person::SignedIn(session) = &person
        && Acr::of(&session.facts.amr) == Acr::MultiFactor
    {
        return to.go_on(visit, &session.facts).await;
    }
    let known = factors::list(visit.db()?, person.user()).await.map_err(|e| visit.fault(&e))?;
    if known.is_empty() {
        return Ok(see_other(&to.by_way_of(visit, "/mfa/totp")));
    }
    form_page(visit, &Shown { to: &to, person: &person }, &known, StatusCode::OK, None).await
}

fn token_about<'a>(to: &'a Destination, person: &'a str) -> [&'a str; 3] {
    ["mfa", to.id(), person]
}

struct Shown<'a> {
    to: &'a Destination,
    person: &'a Person,
}

async fn form_page(
    visit: &Visit<'_>,
    shown: &Shown<'_>,
    known: &[Factor],
    status: StatusCode,
    alert: Option<String>,
) -> Result<HttpResponse, PageError> {
    let Shown { to, person } = shown;
    let asked = to.asked();
    let switch = to.by_way_of(visit, "/login");
    let keys = keys::options(visit, person, known).await?;
    let has = |kind: factors::Kind| known.iter().any(|factor| factor.kind == kind);
    let page = pages::SecondFactor {
        frame: visit.frame(),
        client: asked.and_then(|asked| client_name(visit, asked.client_id.as_str())),
        email: person.email().to_owned(),
        alert,
        csrf: visit.csrf(&token_about(to, &person.id())),
        fields: to.fields(),
        keys_are_useless: keys.is_none() && has(factors::Kind::Webauthn),
        keys,
        has_totp: has(factors::Kind::Totp),
        switch: format!("{switch}{}switch=1", if switch.contains('?') { '&' } else { '?' }),
    };
    let returns_to = asked.map(|asked| asked.redirect_uri.as_str());
    Ok(match page.keys {
        Some(_) => visit.show_with_script(status, &page, returns_to),
        None => visit.show(status, &page, returns_to),
    })
}

/// What a person brings to show the second factor.
enum Brought<'f> {
    /// A one-time password, or a recovery code.
    Code(&'f str),
    /// The form with what an authenticator signed.
    Assertion(&'f Form<'f>),
}

pub(super) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    check_enabled(visit)?;
    let to = Destination::of(visit, form).await?;
    let person = Person::of(visit, &to).await?;
    visit.check_csrf(form, &token_about(&to, &person.id()))?;
    let brought = match form.get("credential") {
        Some(_) => Brought::Assertion(form),
        None => Brought::Code(form.get("code").unwrap_or_default()),
    };
    let (status, alert, wait) = match judge(visit, &person, &brought).await? {
        Outcome::Right(methods) => {
            let admitted = admit(visit, &to, &person, &methods).await?;
            let mut response = to.go_on(visit, &admitted.begun.facts).await?;
            admitted.add_cookies(visit, &mut response);
            return Ok(response);
        }
        Outcome::Wrong => match brought {
            Brought::Code(_) => (StatusCode::FORBIDDEN, WRONG.to_owned(), None),
            Brought::Assertion(_) => (StatusCode::FORBIDDEN, REFUSED.to_owned(), None),
        },
        Outcome::Wait(secs) => (StatusCode::TOO_MANY_REQUESTS, too_many::alert(secs), Some(secs)),
    };
    let known = factors::list(visit.db()?, person.user()).await.map_err(|e| visit.fault(&e))?;
    let shown = Shown { to: &to, person: &person };
    let mut response = form_page(visit, &shown, &known, status, Some(alert)).await?;
    if let Some(secs) = wait {
        too_many::mark(&mut response, secs);
    }
    Ok(response)
}

enum Outcome {
    /// By these methods.
    Right(Vec<&'static str>),
    Wrong,
    Wait(u32),
}

async fn judge(visit: &Visit<'_>, person: &Person, brought: &Brought<'_>) -> Result<Outcome, PageError> {
    let user = person.user();
    let who = format!("(second factor) {user}");
    let attempt = match visit.app.throttle.begin_anywhere(visit.tenant.id, &who, visit.now) {
        Ok(attempt) => attempt,
        Err(wait) => return Ok(Outcome::Wait(wait.secs)),
    };
    let spent = match brought {
        Brought::Code(typed) => spend(visit, user, typed).await.map(|it| it.then(|| vec!["otp"])),
        Brought::Assertion(form) => keys::judge(visit, person, form).await.map(|it| it.map(Vec::from)),
    };
    match spent {
        Ok(Some(methods)) => {
            visit.app.throttle.succeeded(&attempt);
            Ok(Outcome::Right(methods))
        }
        Ok(None) => {
            tracing::info!(tenant = %visit.tenant.slug, %user, "a second factor was wrong");
            Ok(Outcome::Wrong)
        }
        Err(error) => {
            visit.app.throttle.abandoned(&attempt);
            Err(error)
        }
    }
}

/// Uses up what was typed, if it is good: a recovery code by its length, else a one-time password.
async fn spend(visit: &Visit<'_>, user: Uuid, typed: &str) -> Result<bool, PageError> {
    let db = visit.db()?;
    if let Some(code) = recovery::parse(typed) {
        let spent = factors::spend_code(db, user, &code).await.map_err(|e| visit.fault(&e))?;
        if spent {
            tracing::info!(tenant = %visit.tenant.slug, %user, "a recovery code was used");
        }
        return Ok(spent);
    }
    let known = factors::list(db, user).await.map_err(|e| visit.fault(&e))?;
    for factor in known.iter().filter(|factor| factor.kind == factors::Kind::Totp) {
        let seed = opened(visit, factor)?;
        if let Some(step) = seed.step_of(typed, visit.now) {
            let sealed = seed.seal(db);
            return factors::spend_step(db, factor.id, step, &sealed, visit.now).await.map_err(|e| visit.fault(&e));
        }
    }
    Ok(false)
}

fn opened(visit: &Visit<'_>, factor: &Factor) -> Result<Seed, PageError> {
    Seed::open(visit.db()?, &factor.sealed).map_err(|error| {
        tracing::error!(tenant = %visit.tenant.slug, factor = %factor.id, %error, "a second factor cannot be opened");
        visit.error(ErrorCode::Unavailable, "Your second factor cannot be checked right now. It was logged.")
    })
}
