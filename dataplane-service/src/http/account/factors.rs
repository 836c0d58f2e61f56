//! `GET` and `POST /account/factors`: the second factors of who is signed in, and recovery codes in place of those that are
//! there. To change anything takes the password, and a session of two factors as soon as there is one to lose (ASVS 7.5.1).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::acr::Acr;
use oauth_core::form::Form;
use vocab::ErrorCode;

use super::access::day;
use crate::http::mfa::person::codes_page;
use crate::http::mfa::{check_enabled, password, webauthn};
use crate::http::onward::Onward;
use crate::http::visit::Visit;
use crate::pages::{self, AccountFactor, PageError, see_other};
use crate::second_factor::recovery;
use crate::second_factor::webauthn::relying_party;
use crate::store::change_mails::Change;
use crate::store::factors::{self, Factor, Kind};
use crate::store::sessions::Session;

pub(in crate::http) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    check_enabled(visit)?;
    let (session, known) = owner(visit).await?;
    page(visit, &session, &known, StatusCode::OK, Told::default()).await
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
        name: factor.name.clone().unwrap_or_else(|| match factor.kind {
            Kind::Totp => "Authenticator app".to_owned(),
            Kind::Webauthn => "Security key".to_owned(),
        }),
        since: day(factor.created_at),
        used: factor.last_used_at.map(day),
        csrf: visit.csrf(&token_about(&factor.id.to_string(), &sid)),
    };
    let count = |kind: Kind| known.iter().filter(|factor| factor.kind == kind).count();
    let keys_work = relying_party(visit.tenant).is_some();
    let add_key = keys_work && count(Kind::Webauthn) < webauthn::MOST;
    let page = pages::Factors {
        frame: visit.frame(),
        email: session.email.clone(),
        notice: told.notice,
        alert: told.alert,
        factors: known.iter().map(shown).collect(),
        codes_left,
        csrf_codes: visit.csrf(&token_about("codes", &sid)),
        add_totp: (count(Kind::Totp) == 0).then(|| Onward::Factors.by_way_of(visit, "/mfa/totp")),
        add_key: add_key.then(|| Onward::Factors.by_way_of(visit, "/mfa/webauthn")),
        no_keys_here: !keys_work,
    };
    Ok(visit.show(status, &page, None))
}

pub(in crate::http) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    check_enabled(visit)?;
    let (session, known) = owner(visit).await?;
    let removed = form.get("remove");
    let what = removed.or_else(|| form.get("renew")).unwrap_or_default();
    visit.check_csrf(form, &token_about(what, &session.facts.sid.to_string()))?;
    if let Some(refused) = password::refusal(visit, session.facts.user_id, &session.email, form).await? {
        let told = Told { alert: Some(refused.says()), ..Told::default() };
        let mut response = page(visit, &session, &known, refused.status(), told).await?;
        refused.mark(&mut response);
        return Ok(response);
    }
    match removed {
        Some(id) => remove(visit, &session, id).await,
        None => renew(visit, &session).await,
    }
}

async fn remove(visit: &Visit<'_>, session: &Session, id: &str) -> Result<HttpResponse, PageError> {
    let Ok(id) = id.parse() else {
        return Err(visit.error(ErrorCode::InvalidRequest, "The second factor is missing."));
    };
    let (db, user) = (visit.db()?, session.facts.user_id);
    let news = visit.news(Change::FactorRemoved);
    if factors::remove(db, user, id, &news).await.map_err(|e| visit.fault(&e))? {
        tracing::info!(tenant = %visit.tenant.slug, %user, factor = %id, "a user removed a second factor");
        visit.posted();
    }
    let known = factors::list(db, user).await.map_err(|e| visit.fault(&e))?;
    let told = Told { notice: Some("It is removed."), ..Told::default() };
    page(visit, session, &known, StatusCode::OK, told).await
}

async fn renew(visit: &Visit<'_>, session: &Session) -> Result<HttpResponse, PageError> {
    let user = session.facts.user_id;
    let codes = recovery::fresh();
    let news = visit.news(Change::CodesRenewed);
    let kept = factors::renew_codes(visit.db()?, user, codes.expose(), &news).await;
    if !kept.map_err(|e| visit.fault(&e))? {
        return Ok(see_other(&visit.path(&Onward::Factors.path())));
    }
    tracing::info!(tenant = %visit.tenant.slug, %user, "a user has new recovery codes");
    visit.posted();
    Ok(codes_page(visit, codes.expose(), visit.path(&Onward::Factors.path())))
}
