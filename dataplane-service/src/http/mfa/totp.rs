//! `GET` and `POST /mfa/totp`: a person adds an app that makes one-time passwords.
//!
//! The seed is shown as long as the page is; the server keeps it once a code of it was typed. Who is in a session types the
//! password, too.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::form::Form;

use super::check_enabled;
use super::password::Refused;
use super::person::{self, Destination, Person, who_adds};
use crate::http::visit::Visit;
use crate::opaque;
use crate::pages::{self, PageError, qr, see_other};
use crate::second_factor::recovery;
use crate::second_factor::totp::{Offer, Seed};
use crate::second_factor::webauthn::relying_party;
use crate::store::change_mails::Change;
use crate::store::factors::{self, Added, Method, NewFactor};

const TAKEN: &str = "You have an authenticator app already. Remove it on your account page to set up another.";

pub(in crate::http) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    check_enabled(visit)?;
    let query = visit.query()?;
    let to = Destination::of(visit, &query).await?;
    let (person, _) = who_adds(visit, &to).await?;
    let seed = Seed::fresh();
    let offer = Offer::seal(visit.db()?, visit.tenant.id, person.user(), &seed, visit.now);
    let shown = Shown { to: &to, person: &person, seed: &seed, offer: &offer };
    Ok(form_page(visit, &shown, StatusCode::OK, Problems::default()))
}

/// What was wrong with what was typed.
#[derive(Default)]
struct Problems {
    alert: Option<String>,
    password: Option<String>,
    code: Option<String>,
}

struct Shown<'a> {
    to: &'a Destination,
    person: &'a Person,
    seed: &'a Seed,
    offer: &'a str,
}

fn form_page(visit: &Visit<'_>, shown: &Shown<'_>, status: StatusCode, problems: Problems) -> HttpResponse {
    let Shown { to, person, seed, offer } = shown;
    let link = seed.link(&visit.tenant.display_name, person.email());
    let page = pages::AddTotp {
        frame: visit.frame(),
        email: person.email().to_owned(),
        alert: problems.alert,
        csrf: visit.csrf(&["totp", to.id(), &person.id(), offer]),
        fields: to.fields(),
        offer: (*offer).to_owned(),
        qr: link.map(|link| qr::svg(link.expose())).unwrap_or_default(),
        seed: seed.grouped(),
        asks_password: matches!(person, Person::SignedIn(_)),
        password_problem: problems.password,
        code_problem: problems.code,
        other: relying_party(visit.tenant).map(|_| to.by_way_of(visit, "/mfa/webauthn")),
    };
    visit.show(status, &page, to.asked().map(|asked| asked.redirect_uri.as_str()))
}

pub(in crate::http) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    check_enabled(visit)?;
    let to = Destination::of(visit, form).await?;
    let (person, _) = who_adds(visit, &to).await?;
    let offer = form.get("offer").unwrap_or_default();
    visit.check_csrf(form, &["totp", to.id(), &person.id(), offer])?;
    let Some(seed) = Offer::open(visit.db()?, offer, visit.tenant.id, person.user(), visit.now) else {
        // It took too long: another seed is shown.
        return Ok(see_other(&to.by_way_of(visit, "/mfa/totp")));
    };
    let shown = Shown { to: &to, person: &person, seed: &seed, offer };
    if let Some(refused) = person.password_refused(visit, form).await? {
        let says = Some(refused.says());
        let problems = match refused {
            Refused::Wrong => Problems { password: says, ..Problems::default() },
            Refused::Wait(_) => Problems { alert: says, ..Problems::default() },
        };
        let mut response = form_page(visit, &shown, refused.status(), problems);
        refused.mark(&mut response);
        return Ok(response);
    }
    let Some(step) = seed.step_of(form.get("code").unwrap_or_default(), visit.now) else {
        let code = Some("That is not the code the app shows now. Is the clock of your phone right?".to_owned());
        return Ok(form_page(
            visit,
            &shown,
            StatusCode::UNPROCESSABLE_ENTITY,
            Problems { code, ..Problems::default() },
        ));
    };
    keep(visit, &shown, step).await
}

async fn keep(visit: &Visit<'_>, shown: &Shown<'_>, step: i64) -> Result<HttpResponse, PageError> {
    let Shown { to, person, seed, .. } = shown;
    let db = visit.db()?;
    let codes = recovery::fresh();
    let new = NewFactor {
        id: opaque::fresh_id(visit.now),
        user_id: person.user(),
        method: Method::Totp { step },
        sealed: &seed.seal(db),
        recovery_codes: codes.expose(),
        news: visit.news(Change::FactorAdded),
    };
    let added = factors::add(db, &new).await.map_err(|e| visit.fault(&e))?;
    if added == Added::Not {
        let problems = Problems { alert: Some(TAKEN.to_owned()), ..Problems::default() };
        return Ok(form_page(visit, shown, StatusCode::CONFLICT, problems));
    }
    tracing::info!(tenant = %visit.tenant.slug, user = %person.user(), "a user added an authenticator app");
    let codes = (added == Added::WithCodes).then_some(codes.expose().as_slice());
    person::added(visit, to, person, &["otp"], codes).await
}
