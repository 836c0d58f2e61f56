//! `POST /oauth2/introspect` (RFC 7662), answered in JSON or, when asked for, as a JWT (RFC 9701), signed and
//! for a client that wants it encrypted.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use oauth_core::introspection::{self, SIGNED_ANSWER_TYPE};

use super::call::{Arrived, Call, Callers, answer};
use super::respond::{private, private_json};
use crate::encryption::{Content, encrypt};
use crate::exchange::Failure;
use crate::introspect::{Introspected, introspect};

const SIGNED: HeaderValue = HeaderValue::from_static("application/token-introspection+jwt");

pub(super) async fn post(arrived: Arrived) -> HttpResponse {
    answer(arrived, Callers::Servers, async |call| -> Result<_, Failure> {
        let asked = call.read()?;
        let introspected = introspect(&call.tenant, call.now(), &asked).await?;
        let accept = call.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
        if accept.into_iter().any(introspection::wants_signed) {
            signed(call, introspected).await
        } else {
            Ok(private_json(&introspected.answer.into_object()))
        }
    })
    .await
}

async fn signed(call: &Call, introspected: Introspected<'_>) -> Result<HttpResponse, Failure> {
    let (tenant, client) = (&call.tenant, introspected.caller.client());
    let claims = introspection::signed(introspected.answer, &tenant.issuer, client, call.now());
    let signed = match client.spec.introspection_signed_response_alg {
        Some(algorithm) => tenant.keys.sign_with(algorithm, SIGNED_ANSWER_TYPE, &claims)?,
        None => tenant.keys.sign(SIGNED_ANSWER_TYPE, &claims)?,
    };
    // RFC 9701 §5: signed, then encrypted.
    let jwt = match client.spec.introspection_encryption() {
        Some(asked) => encrypt(&call.app.verifier, client, asked, Content::Jwt(&signed)).await?,
        None => signed,
    };
    Ok(private(StatusCode::OK).insert_header((CONTENT_TYPE, SIGNED)).body(jwt))
}
