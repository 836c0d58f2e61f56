//! `POST /oauth2/par` (RFC 9126): a client, maybe in a browser, pushes an authorization request and gets a name for it.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use oauth_core::authorize::Channel;
use oauth_core::authorize::pushed::{self, LIFETIME_SECS, URN};
use oauth_core::client_auth;
use oauth_core::error::OAuthError;
use oauth_core::form::Form;
use serde_json::json;

use super::authorize;
use super::call::{Arrived, Call, Callers, answer};
use super::respond::private;
use crate::caller::{DpopHeader, authenticate, possession};
use crate::exchange::Failure;
use crate::request_object::{self, Arrival};
use crate::store::pushed_requests;

pub(super) async fn post(arrived: Arrived) -> HttpResponse {
    answer(arrived, Callers::Pages, push).await
}

async fn push(call: &Call) -> Result<HttpResponse, Failure> {
    let (tenant, now, asked) = (&call.tenant, call.now(), call.read()?);
    client_auth::refuse_query_parameters(asked.query)?;
    let form = Form::parse(asked.body).map_err(OAuthError::from)?;
    let mut proof = authenticate(tenant, now, &asked.caller, &form).await?;
    if asked.caller.dpop != DpopHeader::Absent {
        proof = possession::bind(tenant, now, &asked.caller, proof).await?;
    }
    let arrival = Arrival { tenant, verifier: &call.app.verifier, now, channel: Channel::Pushed };
    let parameters = request_object::parameters(arrival, proof.client(), &form).await?;
    let asked = authorize::site(tenant, |site| pushed::check(&parameters, site, proof))?;
    let until = now.plus_secs(i64::from(LIFETIME_SECS));
    let name = pushed_requests::keep(tenant.db()?, &asked, now, until).await?;
    let answer = json!({ "request_uri": format!("{URN}{}", name.expose()), "expires_in": LIFETIME_SECS });
    Ok(private(StatusCode::CREATED).body(answer.to_string()))
}
