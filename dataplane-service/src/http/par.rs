//! `POST /oauth2/par` (RFC 9126): a client pushes an authorization request and gets a name for it.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};
use oauth_core::authorize::Channel;
use oauth_core::authorize::pushed::{self, LIFETIME_SECS, URN};
use oauth_core::client_auth;
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use serde_json::json;

use super::respond::private;
use super::{authorize, caller, cors, form_body};
use crate::app::App;
use crate::caller::{DpopHeader, authenticate, possession};
use crate::exchange::Failure;
use crate::request_object::{self, Arrival};
use crate::resolve::Tenant;
use crate::store::pushed_requests;

pub(super) async fn post(
    request: HttpRequest,
    tenant: Tenant,
    app: web::Data<App>,
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    let answer = answer(&request, &tenant, &app, body).await;
    let mut response = answer.unwrap_or_else(|failure| failure.error_response());
    // Applications in a browser push their requests, too.
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
    client_auth::refuse_query_parameters(request.query_string())?;
    let form = Form::parse(&body).map_err(OAuthError::from)?;
    let (now, caller) = (app.clock.now(), caller::of(request, app)?);
    let mut proof = authenticate(tenant, now, &caller, &form).await?;
    if caller.dpop != DpopHeader::Absent {
        proof = possession::bind(tenant, now, &caller, proof).await?;
    }
    let arrival = Arrival { tenant, verifier: &app.verifier, now, channel: Channel::Pushed };
    let parameters = request_object::parameters(arrival, proof.client(), &form).await?;
    let asked = authorize::site(tenant, |site| pushed::check(&parameters, site, proof))?;
    let until = now.plus_secs(i64::from(LIFETIME_SECS));
    let name = pushed_requests::keep(tenant.db()?, &asked, now, until).await?;
    let answer = json!({ "request_uri": format!("{URN}{}", name.expose()), "expires_in": LIFETIME_SECS });
    Ok(private(StatusCode::CREATED).body(answer.to_string()))
}
