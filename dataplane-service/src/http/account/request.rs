//! `GET /account/request`: where the link of a mail leads, to the one request that it is about.
//!
//! The link is no answer and no sign-in. Programs that guard mailboxes open every link, and some press what they find; who
//! reads a mailbox need not be its owner. And the client is told in the ID token how and when the user signed in (OIDC CIBA
//! Core 1.0 §5: the provider authenticates the user on this device), which a link could not truthfully say. So whoever
//! opens it signs in first, as the user who is asked, sees the binding message, and presses a button of the form that the
//! account page has, too. Not taken: letting the code stand for a sign-in.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use vocab::{ErrorCode, Secret};

use super::shown;
use crate::http::mail_link;
use crate::http::onward::Onward;
use crate::http::visit::Visit;
use crate::pages::{self, PageError};
use crate::store::ciba;

pub(in crate::http) async fn get(visit: &Visit<'_>) -> Result<HttpResponse, PageError> {
    let query = visit.query()?;
    let code = mail_link::code(visit, &query)?;
    let session = visit.signed_in(&Onward::Request(Secret::new(code.to_owned()))).await?;
    let found = ciba::pending_by_code(visit.db()?, code, session.facts.user_id, visit.now).await;
    let Some(pending) = found.map_err(|e| visit.fault(&e))? else {
        // Whose it is, nobody else learns.
        let detail = "This request is answered, it is too late, a later mail has another link, or it is for another \
                      account than the one that you are signed in to.";
        return Err(visit.error(ErrorCode::NotFound, detail));
    };
    let request = shown(visit, pending, &session.facts.sid.to_string());
    let page = pages::RequestPage { frame: visit.frame(), email: session.email, request };
    Ok(visit.show(StatusCode::OK, &page, None))
}
