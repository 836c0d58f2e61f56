//! `POST /oauth2/bc-authorize` (OIDC CIBA Core 1.0 §7): a client asks a user on another device.

use actix_web::HttpResponse;

use super::call::{Arrived, Callers, answer};
use super::respond::private_json;
use crate::exchange::Failure;
use crate::store::ciba::Channel;
use crate::waiting;

pub(super) async fn post(arrived: Arrived) -> HttpResponse {
    answer(arrived, Callers::Servers, async |call| -> Result<_, Failure> {
        let asked = call.read()?;
        let channel = if call.app.sends_mail(&call.tenant) { Channel::Mail } else { Channel::AccountPage };
        let answer = waiting::backchannel_authentication(&call.tenant, call.now(), &asked, channel).await?;
        if channel == Channel::Mail {
            call.app.outbox.look_at(call.tenant.id);
        }
        Ok(private_json(&answer))
    })
    .await
}
