//! `POST /oauth2/introspect` (RFC 7662), answered in JSON or, when asked for, as a signed JWT (RFC 9701).

use actix_web::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};
use oauth_core::introspection::{self, SIGNED_ANSWER_TYPE};

use super::respond::{private, private_json};
use super::{caller, form_body};
use crate::app::App;
use crate::exchange::Failure;
use crate::introspect::introspect;
use crate::resolve::Tenant;

const SIGNED: HeaderValue = HeaderValue::from_static("application/token-introspection+jwt");

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
    let now = app.clock.now();
    let introspected = introspect(tenant, now, &caller::request(request, app, &body)?).await?;
    let accept = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    if !accept.into_iter().any(introspection::wants_signed) {
        return Ok(private_json(&introspected.answer.into_object()));
    }
    let claims = introspection::signed(introspected.answer, &tenant.issuer, introspected.caller.client(), now);
    let jwt = tenant.keys.sign(SIGNED_ANSWER_TYPE, &claims)?;
    Ok(private(actix_web::http::StatusCode::OK).insert_header((CONTENT_TYPE, SIGNED)).body(jwt))
}
