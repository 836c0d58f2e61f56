//! `POST /oauth2/revoke` (RFC 7009).

use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};

use super::respond::done;
use super::{caller, cors, form_body};
use crate::app::App;
use crate::exchange::Failure;
use crate::resolve::Tenant;
use crate::revoke::revoke;

pub(super) async fn post(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    let answer = answer(&request, &tenant, &app, body).await;
    let mut response = answer.unwrap_or_else(|failure| failure.error_response());
    // Applications in a browser sign out by it.
    cors::permit(&request, &tenant, response.headers_mut());
    response
}

/// §2.2: 200, and nothing in it that a client would have to read.
async fn answer(
    request: &HttpRequest,
    tenant: &Tenant,
    app: &App,
    body: Result<web::Bytes, actix_web::Error>,
) -> Result<HttpResponse, Failure> {
    let body = form_body::form(request, body)?;
    revoke(tenant, app.clock.now(), &caller::request(request, app, &body)?).await?;
    Ok(done())
}
