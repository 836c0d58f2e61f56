//! `POST /oauth2/device_authorization` (RFC 8628 §3.1): a device asks for its codes.

use actix_web::HttpResponse;

use super::call::{Arrived, Callers, answer};
use super::respond::private_json;
use crate::exchange::Failure;
use crate::waiting;

pub(super) async fn post(arrived: Arrived) -> HttpResponse {
    answer(arrived, Callers::Servers, async |call| -> Result<_, Failure> {
        let asked = call.read()?;
        Ok(private_json(&waiting::device_authorization(&call.tenant, call.now(), &asked).await?))
    })
    .await
}
