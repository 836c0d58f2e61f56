//! Mail that tells a person what changed in the account, so that who did not do it learns of it (NIST SP 800-63B-4 §4.6,
//! ASVS 6.3.7). It is written by the statement that makes the change, so that no crash comes between them.

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
}

/// What a person is told of a change.
#[derive(Clone, Copy, Debug)]
pub struct News {
    /// `None`: nothing, since mail goes nowhere here.
    pub change: Option<Change>,
    pub now: Timestamp,
}

impl News {
    /// For the parameter `kind` of [`mailed`].
    pub(super) fn kind(&self) -> Option<&'static str> {
        self.change.map(Change::kind)
    }
}

/// Puts the mail into the outbox for those whose ids $whose selects, if $if: at an address that was never seen to be the
/// user's a stranger would read it. A part of the statement that makes the change, so that neither happens without the other.
macro_rules! mailed {
    (whose: $whose:literal, if: $if:literal, kind: $kind:literal, tenant: $tenant:literal, now: $now:literal) => {
        concat!(
            "mailed as ( \
                 insert into outbox (id, tenant_id, kind, client_id, user_id, created_at, due_at) \
                 select gen_random_uuid(), ",
            $tenant,
            ", ",
            $kind,
            "::text, '', u.id, ",
            $now,
            ", ",
            $now,
            " from users u where u.id in (",
            $whose,
            ") and ",
            $kind,
            "::text is not null and ",
            $if,
            " )",
        )
    };
}
pub(super) use mailed;

/// Where it goes. `None`: the user is gone.
pub async fn addressee(db: &TenantDb, user: Uuid) -> Result<Option<String>, DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached("select email from users where id = $1").await?;
    Ok(client.query_opt(&statement, &[&user]).await?.map(|row| row.try_get(0)).transpose()?)
}
