//! `POST /oauth2/revoke` (RFC 7009): applications in a browser sign out by it, too.

use actix_web::HttpResponse;

use super::call::{Arrived, Callers, answer};
use super::respond::done;
use crate::exchange::Failure;
use crate::revoke::revoke;

/// §2.2: 200, and nothing in it that a client would have to read.
pub(super) async fn post(arrived: Arrived) -> HttpResponse {
    answer(arrived, Callers::Pages, async |call| -> Result<_, Failure> {
        let asked = call.read()?;
        revoke(&call.tenant, call.now(), &asked).await?;
        Ok(done())
    })
    .await
}
