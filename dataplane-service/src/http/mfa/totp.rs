//! `GET` and `POST /mfa/totp`: a person adds an app that makes one-time passwords.
//!
//! The seed is shown as long as the page is; the server keeps it once a code of it was typed. Who is in a session types the
//! password, too: somebody else may have found it open. Who has another factor has shown it before.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use oauth_core::acr::Acr;
use oauth_core::form::Form;

use super::person::{Destination, Person, admit};
use super::{PASSWORD_WRONG, check_enabled, too_many};
use crate::app::App;
use crate::http::login::{self, Outcome};
use crate::http::posted::Posted;
use crate::http::visit::{self, Visit};
use crate::opaque;
use crate::pages::{self, PageError, PageTenant, qr, see_other, show};
use crate::second_factor::recovery;
use crate::second_factor::totp::{Offer, Seed};
use crate::store::factors::{self, Added, Factor, Kind, NewFactor};

const TAKEN: &str = "You have an authenticator app already. Remove it on your account page to set up another.";

pub(in crate::http) async fn get(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    check_enabled(&visit)?;
    let query = visit::form(&tenant, request.query_string().as_bytes())?;
    let to = Destination::of(&visit, &query).await?;
    let (person, _) = person(&visit, &to).await?;
    let seed = Seed::fresh();
    let offer = Offer::seal(visit.db()?, visit.tenant.id, person.user(), &seed, visit.now);
    let shown = Shown { to: &to, person: &person, seed: &seed, offer: &offer };
    let mut response = form_page(&visit, &shown, StatusCode::OK, Problems::default());
    visit.bind(&mut response);
    Ok(response)
}

/// Who may add a factor here, and what there is already; otherwise the page that comes before.
pub(super) async fn person(visit: &Visit<'_>, to: &Destination) -> Result<(Person, Vec<Factor>), PageError> {
    let person = Person::of(visit, to).await?;
    let known = factors::list(visit.db()?, person.user()).await.map_err(|e| visit.fault(&e))?;
    let has_shown = match &person {
        Person::Halfway(_) => false,
        Person::SignedIn(session) => Acr::of(&session.facts.amr) == Acr::MultiFactor,
    };
    if !known.is_empty() && !has_shown {
        return Err(PageError::sign_in_first(to.by_way_of(visit, "/mfa")));
    }
    Ok((person, known))
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
    };
    show(status, &page.frame, &page, to.asked().map(|asked| asked.redirect_uri.as_str()))
}

pub(in crate::http) async fn post(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
    posted: Posted,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    check_enabled(&visit)?;
    let form = posted.form(&tenant)?;
    let to = Destination::of(&visit, &form).await?;
    let (person, _) = person(&visit, &to).await?;
    let offer = form.get("offer").unwrap_or_default();
    visit.check_csrf(&form, &["totp", to.id(), &person.id(), offer])?;
    let Some(seed) = Offer::open(visit.db()?, offer, visit.tenant.id, person.user(), visit.now) else {
        // It took too long: another seed is shown.
        return Ok(see_other(&to.by_way_of(&visit, "/mfa/totp")));
    };
    let shown = Shown { to: &to, person: &person, seed: &seed, offer };
    if let Person::SignedIn(session) = &person
        && let Some(refused) = password_problem(&visit, &shown, &session.email, &form).await?
    {
        return Ok(refused);
    }
    let Some(step) = seed.step_of(form.get("code").unwrap_or_default(), visit.now) else {
        let code = Some("That is not the code the app shows now. Is the clock of your phone right?".to_owned());
        return Ok(form_page(
            &visit,
            &shown,
            StatusCode::UNPROCESSABLE_ENTITY,
            Problems { code, ..Problems::default() },
        ));
    };
    keep(&visit, &shown, step).await
}

/// Guesses at the password count as at the sign-in.
async fn password_problem(
    visit: &Visit<'_>,
    shown: &Shown<'_>,
    email: &str,
    form: &Form<'_>,
) -> Result<Option<HttpResponse>, PageError> {
    let page = |status, problems| Ok(Some(form_page(visit, shown, status, problems)));
    match login::authenticate(visit, email, form.get("current").unwrap_or_default()).await? {
        Outcome::Right(user) if user == shown.person.user() => Ok(None),
        Outcome::Right(_) | Outcome::Wrong | Outcome::Unusable(_) => {
            let password = Some(PASSWORD_WRONG.to_owned());
            page(StatusCode::FORBIDDEN, Problems { password, ..Problems::default() })
        }
        Outcome::Wait(secs) => {
            let alert = Some(too_many(secs));
            let mut response =
                form_page(visit, shown, StatusCode::TOO_MANY_REQUESTS, Problems { alert, ..Problems::default() });
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
            Ok(Some(response))
        }
    }
}

async fn keep(visit: &Visit<'_>, shown: &Shown<'_>, step: i64) -> Result<HttpResponse, PageError> {
    let Shown { to, person, seed, .. } = shown;
    let db = visit.db()?;
    let codes = recovery::fresh();
    let new = NewFactor {
        id: opaque::fresh_id(visit.now),
        user_id: person.user(),
        kind: Kind::Totp,
        sealed: &seed.seal(db),
        last_step: Some(step),
        recovery_codes: codes.expose(),
        now: visit.now,
    };
    let added = factors::add(db, &new).await.map_err(|e| visit.fault(&e))?;
    if added == Added::Not {
        let problems = Problems { alert: Some(TAKEN.to_owned()), ..Problems::default() };
        return Ok(form_page(visit, shown, StatusCode::CONFLICT, problems));
    }
    tracing::info!(tenant = %visit.tenant.slug, user = %person.user(), "a user added an authenticator app");
    let admitted = admit(visit, to, person, &["otp"]).await?;
    let mut response = match added {
        Added::WithCodes => codes_page(visit, codes.expose(), to.next(visit)),
        Added::Alone | Added::Not => to.go_on(visit, &admitted.begun.facts).await?,
    };
    admitted.add_cookies(visit, &mut response);
    Ok(response)
}

/// The one time that recovery codes are shown.
pub(in crate::http) fn codes_page(visit: &Visit<'_>, codes: &[String], next: String) -> HttpResponse {
    let codes = codes.iter().map(|code| recovery::grouped(code)).collect();
    let page = pages::RecoveryCodes { frame: visit.frame(), codes, next };
    show(StatusCode::OK, &page.frame, &page, None)
}
