//! `POST /oauth2/device_authorization` (RFC 8628 §3.1): a device asks for its codes.

use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};

use super::respond::private_json;
use super::{caller, form_body};
use crate::app::App;
use crate::exchange::Failure;
use crate::resolve::Tenant;
use crate::waiting;

pub(super) async fn post(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    answer(&request, &tenant, &app, body).await.unwrap_or_else(|failure| failure.error_response())
}

async fn answer(
    request: &HttpRequest,
    tenant: &Tenant,
    app: &App,
    body: Result<web::Bytes, actix_web::Error>,
) -> Result<HttpResponse, Failure> {
    let body = form_body::form(request, body)?;
    let asked = caller::request(request, app, &body)?;
    Ok(private_json(&waiting::device_authorization(tenant, app.clock.now(), &asked).await?))
}
