//! `POST /oauth2/bc-authorize` (OIDC CIBA Core 1.0 §7): a client asks a user on another device.

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
    Ok(private_json(&waiting::backchannel_authentication(tenant, app.clock.now(), &asked).await?))
}
