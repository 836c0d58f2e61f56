//! `POST /oauth2/token` (RFC 6749 §3.2).

use actix_web::HttpResponse;

use super::call::{Arrived, Callers, answer};
use super::respond::private_json;
use crate::exchange::{Failure, exchange};

pub(super) async fn post(arrived: Arrived) -> HttpResponse {
    answer(arrived, Callers::Pages, async |call| -> Result<_, Failure> {
        let asked = call.read()?;
        Ok(private_json(&exchange(&call.tenant, call.now(), &asked).await?))
    })
    .await
}

#[cfg(test)]
mod tests;
