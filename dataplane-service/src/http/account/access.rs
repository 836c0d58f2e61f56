//! `POST /account/access`: a person takes back what an application was allowed. With it go its refresh tokens, and its
//! access tokens wherever somebody asks about them; next time it has to ask again.

use actix_web::HttpResponse;
use oauth_core::form::Form;
use vocab::Timestamp;

use super::account_page;
use crate::http::onward::Onward;
use crate::http::visit::Visit;
use crate::pages::{self, AccountAccess, PageError};
use crate::store::consents;
use crate::store::sessions::Session;

fn token_about<'a>(client_id: &'a str, sid: &'a str) -> [&'a str; 3] {
    ["access", client_id, sid]
}

/// What the account page shows. An application that is gone is named by its id.
pub(super) async fn rows(visit: &Visit<'_>, session: &Session) -> Result<Vec<AccountAccess>, PageError> {
    let sid = session.facts.sid.to_string();
    let found = consents::list(visit.db()?, session.facts.user_id, visit.now).await.map_err(|e| visit.fault(&e))?;
    let row = |access: consents::Access| AccountAccess {
        client: visit.name_of(&access.client_id),
        scopes: access.scopes.iter().map(|scope| pages::describe(visit.tenant, scope)).collect(),
        since: day(access.since),
        csrf: visit.csrf(&token_about(&access.client_id, &sid)),
        client_id: access.client_id,
    };
    Ok(found.into_iter().map(row).collect())
}

/// In UTC: the server does not know where the person is.
pub(super) fn day(time: Timestamp) -> String {
    let text = jiff::Timestamp::from_millisecond(time.millis()).map(|time| time.to_string()).unwrap_or_default();
    text.split('T').next().unwrap_or_default().to_owned()
}

pub(in crate::http) async fn post(visit: &Visit<'_>, form: &Form<'_>) -> Result<HttpResponse, PageError> {
    let session = visit.signed_in(&Onward::Account).await?;
    let client_id = form.get("client_id").unwrap_or_default();
    visit.check_csrf(form, &token_about(client_id, &session.facts.sid.to_string()))?;
    let user = session.facts.user_id;
    let revoked = consents::revoke(visit.db()?, user, client_id, visit.now).await.map_err(|e| visit.fault(&e))?;
    if revoked {
        tracing::info!(tenant = %visit.tenant.slug, %user, client = client_id, "a user took back what a client had");
    }
    account_page(visit, session, Some("It has no access any more.")).await
}
