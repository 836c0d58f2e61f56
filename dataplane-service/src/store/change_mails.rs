//! Mail that tells a person what changed in the account.

use uuid::Uuid;
use vocab::Timestamp;

use crate::store::{DbError, TenantDb};

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// By who knew the one before.
    PasswordChanged,
    /// By the link of a mail.
    PasswordReset,
    /// By who manages users.
    PasswordSet,
    FactorAdded,
    FactorRemoved,
    /// One or all, by who manages users.
    FactorsTakenAway,
    CodesRenewed,
    EmailVerified,
}

impl Change {
    pub const ALL: [Self; 8] = [
        Self::PasswordChanged,
        Self::PasswordReset,
        Self::PasswordSet,
        Self::FactorAdded,
        Self::FactorRemoved,
        Self::FactorsTakenAway,
        Self::CodesRenewed,
        Self::EmailVerified,
    ];

    /// As in the column `outbox.kind`.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::PasswordChanged => "change_mail:password_changed",
            Self::PasswordReset => "change_mail:password_reset",
            Self::PasswordSet => "change_mail:password_set",
            Self::FactorAdded => "change_mail:factor_added",
            Self::FactorRemoved => "change_mail:factor_removed",
            Self::FactorsTakenAway => "change_mail:factors_taken_away",
            Self::CodesRenewed => "change_mail:codes_renewed",
            Self::EmailVerified => "change_mail:email_verified",
        }
    }

    /// Whether what led to it was itself sent to the address.
    const fn came_by_mail(self) -> bool {
        matches!(self, Self::PasswordReset)
    }
}

/// Puts it into the outbox, if the address was ever seen to be the user's: at another one a stranger would read it.
pub async fn put(db: &TenantDb, user: Uuid, change: Change, now: Timestamp) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "insert into outbox (id, tenant_id, kind, client_id, user_id, created_at, due_at) \
             select gen_random_uuid(), $1, $2, '', id, $3, $3 from users where id = $4 and (email_verified or $5)",
        )
        .await?;
    client
        .execute(&statement, &[&db.tenant_id(), &change.kind(), &now.system_time(), &user, &change.came_by_mail()])
        .await?;
    Ok(())
}

/// Where it goes. `None`: the user is gone.
pub async fn addressee(db: &TenantDb, user: Uuid) -> Result<Option<String>, DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached("select email from users where id = $1").await?;
    Ok(client.query_opt(&statement, &[&user]).await?.map(|row| row.try_get(0)).transpose()?)
}
