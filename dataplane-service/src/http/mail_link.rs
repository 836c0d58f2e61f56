//! A link by mail: asked for here, sent by the outbox, and what it is worth when it brings somebody back.
//!
//! ```text
//!   /forgot-password, /register, /verify-email ─▶ send ─▶ a mailbox ─▶ /reset-password?code=…, /verify-email?code=…
//! ```

use oauth_core::form::Form;
use vocab::ErrorCode;

use super::visit::Visit;
use crate::opaque;
use crate::pages::PageError;
use crate::store::mail_links::{self, NewLink, Purpose, Whom};
use crate::throttle::Wait;

/// Links that a pod sends at the word of one address.
const MAILS_PER_MINUTE: u32 = 6;

/// Without a mail server there are none.
pub(super) fn check_mail(visit: &Visit<'_>) -> Result<(), PageError> {
    if visit.app.sends_mail(visit.tenant) {
        return Ok(());
    }
    Err(visit.error(ErrorCode::NotConfigured, "Mail is not set up here. Please ask whoever sent you."))
}

/// Counts one more mail at the word of this address.
pub(super) fn pace(visit: &Visit<'_>) -> Result<(), Wait> {
    visit.app.mails.step(visit.tenant.id, visit.address, MAILS_PER_MINUTE, visit.now)
}

/// The mail is written down when this returns; whoever is there sends it.
pub(super) async fn send(visit: &Visit<'_>, purpose: Purpose, whom: Whom<'_>) -> Result<(), PageError> {
    let link = NewLink { id: opaque::fresh_id(visit.now), purpose, whom, now: visit.now };
    mail_links::ask(visit.db()?, &link).await.map_err(|e| visit.fault(&e))?;
    visit.app.outbox.look_at(visit.tenant.id);
    Ok(())
}

/// The code of the link that brought somebody here.
pub(super) fn code<'f>(visit: &Visit<'_>, form: &'f Form<'_>) -> Result<&'f str, PageError> {
    let code = form.get("code").filter(|code| opaque::looks_like(code));
    code.ok_or_else(|| visit.error(ErrorCode::InvalidRequest, "The link is not whole. Please copy all of it."))
}

/// The email address of the user whom the link is for; a page if it is worth nothing any more.
pub(super) async fn addressee(visit: &Visit<'_>, code: &str, purpose: Purpose) -> Result<String, PageError> {
    let found = mail_links::find(visit.db()?, code, purpose, visit.now).await.map_err(|e| visit.fault(&e))?;
    found.ok_or_else(|| over(visit))
}

pub(super) fn over(visit: &Visit<'_>) -> PageError {
    let detail = "This link was used, is older than an hour, or a later mail has another. Please ask for a new one.";
    visit.error(ErrorCode::NotFound, detail)
}
