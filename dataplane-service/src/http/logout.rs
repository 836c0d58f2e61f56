//! `GET` and `POST /oauth2/logout`: signs this browser out of the tenant, after asking.
//!
//! A link alone signs nobody out: anybody can make a browser follow one (OIDC RP-Initiated Logout §2).

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::cookies::Kind;
use super::visit::{self, Visit, add_cookie};
use crate::app::App;
use crate::pages::{PageError, PageTenant, SignedIn, SignedOut, show};
use crate::store::sessions;

pub(super) async fn get(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    let mut response = match visit.session().await? {
        Some(session) => {
            let page = SignedIn { frame: visit.frame(), email: session.email, csrf: visit.csrf(&["logout"]) };
            show(StatusCode::OK, &page.frame, &page, None)
        }
        None => signed_out(&visit),
    };
    visit.bind(&mut response);
    Ok(response)
}

pub(super) async fn post(
    request: HttpRequest,
    tenant: PageTenant,
    app: web::Data<App>,
    body: Result<web::Bytes, actix_web::Error>,
) -> Result<HttpResponse, PageError> {
    let visit = Visit::of(&request, &tenant, &app);
    let body = visit::body(&request, &tenant, body)?;
    visit.check_csrf(&visit::form(&tenant, &body)?, &["logout"])?;
    if let Some(cookie) = visit.session_cookie() {
        sessions::end(visit.db()?, cookie, &visit.tenant.told_of_logout(), visit.now)
            .await
            .map_err(|e| visit.fault(&e))?;
    }
    let mut response = signed_out(&visit);
    add_cookie(&mut response, &Kind::Session.clear(visit.tenant));
    Ok(response)
}

fn signed_out(visit: &Visit<'_>) -> HttpResponse {
    let page = SignedOut { frame: visit.frame() };
    show(StatusCode::OK, &page.frame, &page, None)
}
