//! What a user signs in with, and what ends when that changes: one statement, so that nobody who knew the old password
//! keeps anything for a moment (ASVS 7.4.3, RFC 9700 §4.14.2).

use oauth_core::grant::RevokedBecause;
use uuid::Uuid;
use vocab::Timestamp;

use super::change_mails::{News, mailed};
use super::sessions::told;
use super::users::SignIn;
use crate::password::PasswordHash;
use crate::store::{DbError, TenantDb};

/// The active user's own, to compare with.
pub async fn of_user(db: &TenantDb, user: Uuid) -> Result<Option<SignIn>, DbError> {
    let client = db.get().await?;
    let statement =
        client.prepare_cached("select password_hash from users where id = $1 and status = 'active'").await?;
    let Some(row) = client.query_opt(&statement, &[&user]).await? else {
        return Ok(None);
    };
    let hash: Option<String> = row.try_get(0)?;
    Ok(Some(SignIn { id: user, password_hash: hash.map(PasswordHash::stored) }))
}

/// A password that comes in place of another.
#[derive(Debug)]
pub struct NewPassword<'a> {
    pub user_id: Uuid,
    pub hash: &'a PasswordHash,
    /// The one that was compared: when somebody else changed it meanwhile, nothing is done. `None`: whatever it was.
    pub replaces: Option<&'a PasswordHash>,
    /// The session that goes on: of whoever changed it.
    pub keep: Option<Uuid>,
    /// The clients that want to be told by the back channel when a session ends.
    pub tell: &'a [&'a str],
    pub news: News,
}

/// Sets the password, and ends the user's other sessions and every grant. `false`: there is no such user, or the password
/// was changed in the meantime.
pub async fn change(db: &TenantDb, new: &NewPassword<'_>) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with changed as ( \
                 update users set password_hash = $2 \
                 where id = $1 and ($3::text is null or password_hash = $3) returning id \
             ), ended as ( \
                 delete from sessions s using changed c where s.user_id = c.id and s.sid is distinct from $4 \
                 returning s.sid, s.user_id \
             ), halfway as ( \
                 delete from sign_ins s using changed c where s.user_id = c.id \
             ), ",
            told!(tell: "$5", tenant: "$6", now: "$7"),
            ", ",
            mailed!(whose: "select id from changed", if: "u.email_verified", kind: "$9", tenant: "$6", now: "$7"),
            ", revoked as ( \
                 update grants g set revoked_at = $7, revoked_reason = $8 from changed c \
                 where g.user_id = c.id and g.revoked_at is null \
             ) \
             select exists (select from changed)",
        ))
        .await?;
    let row = client
        .query_one(
            &statement,
            &[
                &new.user_id,
                &new.hash.as_str(),
                &new.replaces.map(PasswordHash::as_str),
                &new.keep,
                &new.tell,
                &db.tenant_id(),
                &new.news.now.system_time(),
                &RevokedBecause::PasswordChanged.as_str(),
                &new.news.kind(),
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// A password that comes by the link of a mail.
#[derive(Debug)]
pub struct ByLink<'a> {
    pub code: &'a str,
    pub hash: &'a PasswordHash,
    /// The clients that want to be told by the back channel when a session ends.
    pub tell: &'a [&'a str],
    pub news: News,
}

/// Uses the link up, sets the password, and ends all of the user's sessions, grants and other links. `None`: it is no live
/// link, as the same link is none for the second of two who come at once.
pub async fn reset(db: &TenantDb, new: &ByLink<'_>) -> Result<Option<Uuid>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with link as ( \
                 delete from mail_links where code_hash = $1 and purpose = 'reset_password' and expires_at > $3 \
                 returning user_id, email \
             ), changed as ( \
                 update users u set password_hash = $2 from link l \
                 where u.id = l.user_id and u.status = 'active' and u.email_normalized = l.email returning u.id \
             ), others as ( \
                 delete from mail_links m using changed c where m.user_id = c.id and m.code_hash is distinct from $1 \
                     and m.purpose = 'reset_password' \
             ), ended as ( \
                 delete from sessions s using changed c where s.user_id = c.id returning s.sid, s.user_id \
             ), halfway as ( \
                 delete from sign_ins s using changed c where s.user_id = c.id \
             ), ",
            told!(tell: "$4", tenant: "$5", now: "$3"),
            ", ",
            // Who had the link has the mailbox.
            mailed!(whose: "select id from changed", if: "true", kind: "$7", tenant: "$5", now: "$3"),
            ", revoked as ( \
                 update grants g set revoked_at = $3, revoked_reason = $6 from changed c \
                 where g.user_id = c.id and g.revoked_at is null \
             ) \
             select id from changed",
        ))
        .await?;
    let row = client
        .query_opt(
            &statement,
            &[
                &db.digest(new.code),
                &new.hash.as_str(),
                &new.news.now.system_time(),
                &new.tell,
                &db.tenant_id(),
                &RevokedBecause::PasswordChanged.as_str(),
                &new.news.kind(),
            ],
        )
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Lets a user sign in, or not any more: then sessions and grants end at once. `false`: there is no such user.
pub async fn set_active(
    db: &TenantDb,
    user: Uuid,
    is_active: Active,
    tell: &[&str],
    now: Timestamp,
) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with changed as ( \
                 update users set status = $2 where id = $1 returning id, status \
             ), ended as ( \
                 delete from sessions s using changed c where s.user_id = c.id and c.status <> 'active' \
                 returning s.sid, s.user_id \
             ), ",
            told!(tell: "$3", tenant: "$4", now: "$5"),
            ", revoked as ( \
                 update grants g set revoked_at = $5, revoked_reason = $6 from changed c \
                 where g.user_id = c.id and c.status <> 'active' and g.revoked_at is null \
             ) \
             select exists (select from changed)",
        ))
        .await?;
    let row = client
        .query_one(
            &statement,
            &[
                &user,
                &is_active.as_str(),
                &tell,
                &db.tenant_id(),
                &now.system_time(),
                &RevokedBecause::UserDisabled.as_str(),
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Active {
    Active,
    Disabled,
}

impl Active {
    /// As in the column `users.status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Disabled].into_iter().find(|known| known.as_str() == text)
    }
}
