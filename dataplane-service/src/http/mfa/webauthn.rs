//! `GET` and `POST /mfa/webauthn`: a person adds an authenticator that signs. Who is in a session types the password, too.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::form::Form;
use vocab::ErrorCode;
use webauthn_rs::Webauthn;
use webauthn_rs::prelude::{Passkey, PasskeyRegistration, RegisterPublicKeyCredential};

use super::check_enabled;
use super::keys::{Purpose, keep_challenge, passkeys, take_challenge};
use super::password::Refused;
use super::person::{self, Destination, Person, who_adds};
use crate::http::visit::Visit;
use crate::opaque;
use crate::pages::{self, AskedKeys, PageError};
use crate::second_factor::recovery;
use crate::second_factor::webauthn::{facts, open, relying_party, seal};
use crate::store::change_mails::Change;
use crate::store::factors::{self, Added, Factor, Kind, Method, NewFactor};

/// A person has a few; more are a mistake.
pub(in crate::http) const MOST: usize = 20;
const LONGEST_NAME: usize = 60;

const FAILED: &str = "That did not work. Please try again, or with another key.";
const TAKEN: &str = "This key is known here already.";
const TOO_MANY: &str = "You have as many as one may have. Remove one on your account page first.";

fn here(visit: &Visit<'_>) -> Result<Webauthn, PageError> {
    let missing = "Security keys and passkeys cannot be used here: that takes a domain name, and https.";
    relying_party(visit.tenant).ok_or_else(|| visit.error(ErrorCode::NotFound, missing))
}

/// What was wrong with what was typed or brought.
#[derive(Default)]
struct Problems {
    alert: Option<String>,
    password: Option<String>,
}

impl Problems {
    fn alert(text: &str) -> Self {
        Self { alert: Some(text.to_owned()), password: None }
    }
}

struct Shown<'a> {
    to: &'a Destination,
    person: &'a Person,
    known: &'a [Factor],
    relying_party: &'a Webauthn,
    name: &'a str,
}

fn token_about<'a>(to: &'a Destination, person: &'a str) -> [&'a str; 3] {
    ["webauthn", to.id(), person]
}

pub(in crate::http) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    check_enabled(visit)?;
    let query = visit.query()?;
    let to = Destination::of(visit, &query).await?;
    let (person, known) = who_adds(visit, &to).await?;
    let relying_party = here(visit)?;
    let shown = Shown { to: &to, person: &person, known: &known, relying_party: &relying_party, name: "" };
    form_page(visit, &shown, StatusCode::OK, Problems::default()).await
}

/// With a challenge of its own, each time.
async fn form_page(
    visit: &Visit<'_>,
    shown: &Shown<'_>,
    status: StatusCode,
    problems: Problems,
) -> Result<HttpResponse, PageError> {
    let Shown { to, person, known, relying_party, name } = shown;
    let email = person.email();
    let there = passkeys(visit, known)?.into_iter().map(|(_, key)| key.cred_id().clone()).collect();
    let begun = relying_party.start_passkey_registration(person.user(), email, email, Some(there));
    let (options, state) = begun.map_err(|error| {
        tracing::error!(tenant = %visit.tenant.slug, %error, "an authenticator cannot be asked for");
        visit.error(ErrorCode::Internal, "Something went wrong on our side. It was logged.")
    })?;
    let question = keep_challenge(visit, person, Purpose::Add, &seal(visit.db()?, &state)).await?;
    let has_totp = known.iter().any(|factor| factor.kind == Kind::Totp);
    let page = pages::AddKey {
        frame: visit.frame(),
        email: email.to_owned(),
        alert: problems.alert,
        csrf: visit.csrf(&token_about(to, &person.id())),
        fields: to.fields(),
        asked: AskedKeys { options: serde_json::to_string(&options).unwrap_or_default(), question },
        name: (*name).to_owned(),
        asks_password: matches!(person, Person::SignedIn(_)),
        password_problem: problems.password,
        other: (!has_totp).then(|| to.by_way_of(visit, "/mfa/totp")),
    };
    let returns_to = to.asked().map(|asked| asked.redirect_uri.as_str());
    Ok(visit.show_with_script(status, &page, returns_to))
}

pub(in crate::http) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    check_enabled(visit)?;
    let to = Destination::of(visit, form).await?;
    let (person, known) = who_adds(visit, &to).await?;
    let relying_party = here(visit)?;
    visit.check_csrf(form, &token_about(&to, &person.id()))?;
    let name = name(form);
    let shown = Shown { to: &to, person: &person, known: &known, relying_party: &relying_party, name: &name };
    if let Some(refused) = person.password_refused(visit, form).await? {
        let says = refused.says();
        let problems = match refused {
            Refused::Wrong => Problems { password: Some(says), alert: None },
            Refused::Wait(_) => Problems::alert(&says),
        };
        let mut response = form_page(visit, &shown, refused.status(), problems).await?;
        refused.mark(&mut response);
        return Ok(response);
    }
    if known.iter().filter(|factor| factor.kind == Kind::Webauthn).count() >= MOST {
        return form_page(visit, &shown, StatusCode::CONFLICT, Problems::alert(TOO_MANY)).await;
    }
    let Some(passkey) = created(visit, &shown, form).await? else {
        return form_page(visit, &shown, StatusCode::UNPROCESSABLE_ENTITY, Problems::alert(FAILED)).await;
    };
    keep(visit, &shown, &passkey).await
}

/// What the person calls it, on one line.
fn name(form: &Form<'_>) -> String {
    let typed = form.get("name").unwrap_or_default().trim();
    typed.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}

/// The credential that the authenticator made (WebAuthn Level 2 §7.1); `None`: it does not count.
async fn created(visit: &Visit<'_>, shown: &Shown<'_>, form: &Form<'_>) -> Result<Option<Passkey>, PageError> {
    let state = take_challenge(visit, shown.person, Purpose::Add, form).await?;
    let db = visit.db()?;
    let state = state.and_then(|sealed| open::<PasskeyRegistration>(db, &sealed));
    let credential: Option<RegisterPublicKeyCredential> =
        form.get("credential").and_then(|answer| serde_json::from_str(answer).ok());
    let (Some(state), Some(credential)) = (state, credential) else {
        return Ok(None);
    };
    match shown.relying_party.finish_passkey_registration(&credential, &state) {
        Ok(passkey) => Ok(Some(passkey)),
        Err(error) => {
            let user = shown.person.user();
            tracing::info!(tenant = %visit.tenant.slug, %user, %error, "a new authenticator was refused");
            Ok(None)
        }
    }
}

async fn keep(visit: &Visit<'_>, shown: &Shown<'_>, passkey: &Passkey) -> Result<HttpResponse, PageError> {
    let Shown { to, person, name, .. } = shown;
    let db = visit.db()?;
    let codes = recovery::fresh();
    let (methods, sign_count) = facts(passkey);
    let name = if name.is_empty() { "Security key" } else { name };
    let new = NewFactor {
        id: opaque::fresh_id(visit.now),
        user_id: person.user(),
        method: Method::Webauthn { credential: passkey.cred_id().as_slice(), sign_count, name },
        sealed: &seal(db, passkey),
        recovery_codes: codes.expose(),
        news: visit.news(Change::FactorAdded),
    };
    let added = factors::add(db, &new).await.map_err(|e| visit.fault(&e))?;
    if added == Added::Not {
        return form_page(visit, shown, StatusCode::CONFLICT, Problems::alert(TAKEN)).await;
    }
    tracing::info!(tenant = %visit.tenant.slug, user = %person.user(), "a user added an authenticator that signs");
    let codes = (added == Added::WithCodes).then_some(codes.expose().as_slice());
    person::added(visit, to, person, &methods, codes).await
}
