//! Tells a person by mail what changed in the account, so that who did not do it learns of it (NIST SP 800-63B-4 §4.6, ASVS
//! 6.3.7).
//!
//! A statement of its own, after the change: a pod that dies between them forgets the mail. Not taken: writing it in the
//! statement of each change, which would tie eight of them to the outbox; what a person is owed is the change itself.

use uuid::Uuid;

pub use crate::store::change_mails::Change;

use crate::app::App;
use crate::store::{DbError, change_mails};
use crate::tenant::TenantContext;

/// Where the tenant's mail goes nowhere, nothing is written down. A fault is logged: the change stands all the same.
pub async fn tell(app: &App, tenant: &TenantContext, user: Uuid, change: Change) {
    if !app.sends_mail(tenant) {
        return;
    }
    match put(app, tenant, user, change).await {
        Ok(()) => app.outbox.look_at(tenant.id),
        Err(error) => tracing::warn!(tenant = %tenant.slug, %user, %error, "a user is not told of a change"),
    }
}

async fn put(app: &App, tenant: &TenantContext, user: Uuid, change: Change) -> Result<(), DbError> {
    change_mails::put(tenant.db()?, user, change, app.clock.now()).await
}
