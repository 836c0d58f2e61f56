//! `POST /oauth2/bc-authorize` (OIDC CIBA Core 1.0 §7): a client asks a user on another device.

use actix_web::HttpResponse;

use super::call::{Arrived, Callers, answer};
use super::respond::private_json;
use crate::exchange::Failure;
use crate::waiting;

pub(super) async fn post(arrived: Arrived) -> HttpResponse {
    answer(arrived, Callers::Servers, async |call| -> Result<_, Failure> {
        let asked = call.read()?;
        Ok(private_json(&waiting::backchannel_authentication(&call.tenant, call.now(), &asked).await?))
    })
    .await
}
