//! `GET` and `POST /account/factors`: the second factors of who is signed in, and recovery codes in place of those that are
//! there. To change anything takes the password, and a session of two factors as soon as there is one to lose (ASVS 7.5.1).

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use oauth_core::acr::Acr;
use oauth_core::form::Form;
use vocab::ErrorCode;

use super::access::day;
use crate::app::App;
use crate::http::login::{self, Outcome};
use crate::http::mfa::{PASSWORD_WRONG, check_enabled, too_many, totp};
use crate::http::onward::Onward;
use crate::http::posted::Posted;
use crate::http::visit::Visit;
use crate::pages::{self, AccountFactor, PageError, PageTenant, see_other, show};
use crate::second_factor::recovery;
use crate::store::factors::{self, Factor, Kind};
use crate::store::sessions::Session;

pub(in crate::http) async fn get(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    check_enabled(&visit)?;
    let (session, known) = owner(&visit).await?;
    let mut response = page(&visit, &session, &known, StatusCode::OK, Told::default()).await?;
    visit.bind(&mut response);
    Ok(response)
}

/// Who may see and change the factors; otherwise the page that comes before.
async fn owner(visit: &Visit<'_>) -> Result<(Session, Vec<Factor>), PageError> {
    let session = visit.signed_in(&Onward::Factors).await?;
    let known = factors::list(visit.db()?, session.facts.user_id).await.map_err(|e| visit.fault(&e))?;
    if !known.is_empty() && Acr::of(&session.facts.amr) != Acr::MultiFactor {
        return Err(PageError::sign_in_first(Onward::Factors.by_way_of(visit, "/mfa")));
    }
    Ok((session, known))
}

#[derive(Default)]
struct Told {
    notice: Option<&'static str>,
    alert: Option<String>,
}

fn token_about<'a>(what: &'a str, sid: &'a str) -> [&'a str; 3] {
    ["factors", what, sid]
}

async fn page(
    visit: &Visit<'_>,
    session: &Session,
    known: &[Factor],
    status: StatusCode,
    told: Told,
) -> Result<HttpResponse, PageError> {
    let sid = session.facts.sid.to_string();
    let codes_left = factors::codes_left(visit.db()?, session.facts.user_id).await.map_err(|e| visit.fault(&e))?;
    let shown = |factor: &Factor| AccountFactor {
        id: factor.id.to_string(),
        name: match factor.kind {
            Kind::Totp => "Authenticator app",
        },
        since: day(factor.created_at),
        csrf: visit.csrf(&token_about(&factor.id.to_string(), &sid)),
    };
    let has_totp = known.iter().any(|factor| factor.kind == Kind::Totp);
    let page = pages::Factors {
        frame: visit.frame(),
        email: session.email.clone(),
        notice: told.notice,
        alert: told.alert,
        factors: known.iter().map(shown).collect(),
        codes_left,
        csrf_codes: visit.csrf(&token_about("codes", &sid)),
        add_totp: (!has_totp).then(|| Onward::Factors.by_way_of(visit, "/mfa/totp")),
    };
    Ok(show(status, &page.frame, &page, None))
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
    let (session, known) = owner(&visit).await?;
    let removed = form.get("remove");
    let what = removed.or_else(|| form.get("renew")).unwrap_or_default();
    visit.check_csrf(&form, &token_about(what, &session.facts.sid.to_string()))?;
    if let Some((status, alert, secs)) = password_problem(&visit, &session, &form).await? {
        let told = Told { alert: Some(alert), ..Told::default() };
        let mut response = page(&visit, &session, &known, status, told).await?;
        if let Some(secs) = secs {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        return Ok(response);
    }
    match removed {
        Some(id) => remove(&visit, &session, id).await,
        None => renew(&visit, &session).await,
    }
}

/// Guesses at the password count as at the sign-in.
async fn password_problem(
    visit: &Visit<'_>,
    session: &Session,
    form: &Form<'_>,
) -> Result<Option<(StatusCode, String, Option<u32>)>, PageError> {
    let outcome = login::authenticate(visit, &session.email, form.get("current").unwrap_or_default()).await?;
    Ok(match outcome {
        Outcome::Right(user) if user == session.facts.user_id => None,
        Outcome::Right(_) | Outcome::Wrong | Outcome::Unusable(_) => {
            Some((StatusCode::FORBIDDEN, PASSWORD_WRONG.to_owned(), None))
        }
        Outcome::Wait(secs) => Some((StatusCode::TOO_MANY_REQUESTS, too_many(secs), Some(secs))),
    })
}

async fn remove(visit: &Visit<'_>, session: &Session, id: &str) -> Result<HttpResponse, PageError> {
    let Ok(id) = id.parse() else {
        return Err(visit.error(ErrorCode::InvalidRequest, "The second factor is missing."));
    };
    let (db, user) = (visit.db()?, session.facts.user_id);
    if factors::remove(db, user, id).await.map_err(|e| visit.fault(&e))? {
        tracing::info!(tenant = %visit.tenant.slug, %user, factor = %id, "a user removed a second factor");
    }
    let known = factors::list(db, user).await.map_err(|e| visit.fault(&e))?;
    let told = Told { notice: Some("It is removed."), ..Told::default() };
    page(visit, session, &known, StatusCode::OK, told).await
}

async fn renew(visit: &Visit<'_>, session: &Session) -> Result<HttpResponse, PageError> {
    let user = session.facts.user_id;
    let codes = recovery::fresh();
    let kept = factors::renew_codes(visit.db()?, user, codes.expose()).await.map_err(|e| visit.fault(&e))?;
    if !kept {
        return Ok(see_other(&visit.path(&Onward::Factors.path())));
    }
    tracing::info!(tenant = %visit.tenant.slug, %user, "a user has new recovery codes");
    Ok(totp::codes_page(visit, codes.expose(), visit.path(&Onward::Factors.path())))
}
