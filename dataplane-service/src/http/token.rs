//! `POST /oauth2/token` (RFC 6749 §3.2).

use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};

use super::respond::private_json;
use super::{caller, cors, form_body};
use crate::app::App;
use crate::exchange::{Failure, exchange};
use crate::resolve::Tenant;

pub(super) async fn token(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    let answer = answer(&request, &tenant, &app, body).await;
    let mut response = answer.unwrap_or_else(|failure| failure.error_response());
    cors::permit(&request, &tenant, response.headers_mut());
    caller::offer_nonce(&request, &tenant, &app, response.headers_mut());
    response
}

async fn answer(
    request: &HttpRequest,
    tenant: &Tenant,
    app: &App,
    body: Result<web::Bytes, actix_web::Error>,
) -> Result<HttpResponse, Failure> {
    let body = form_body::form(request, body)?;
    let asked = caller::request(request, app, &body)?;
    let response = exchange(tenant, app.clock.now(), &asked).await?;
    Ok(private_json(&response))
}

#[cfg(test)]
mod tests;
