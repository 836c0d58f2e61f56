//! Links that mail carries to a person: single use, an hour long, worth something only while the address is the user's.

use uuid::Uuid;
use vocab::Timestamp;

use super::change_mails::{News, mailed};
use super::grants::timestamp;
use super::swept::swept;
use crate::email::Email;
use crate::store::{DbError, TenantDb};

/// How long a link is good for (ASVS 6.4.1).
pub const LIFETIME_SECS: i64 = 3600;
/// Live links of one user and purpose: whoever knows an address must not fill its mailbox.
const MOST_LIVE: i64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    ResetPassword,
    VerifyEmail,
}

impl Purpose {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResetPassword => "reset_password",
            Self::VerifyEmail => "verify_email",
        }
    }

    fn parse(text: &str) -> Result<Self, DbError> {
        match text {
            "reset_password" => Ok(Self::ResetPassword),
            "verify_email" => Ok(Self::VerifyEmail),
            _ => Err(DbError::Schema(format!("a link for {text}"))),
        }
    }
}

/// Whom a link is for.
#[derive(Clone, Copy, Debug)]
pub enum Whom<'a> {
    /// Whoever has this address, if anybody.
    Address(&'a Email),
    User(Uuid),
}

#[derive(Clone, Copy, Debug)]
pub struct NewLink<'a> {
    pub id: Uuid,
    pub purpose: Purpose,
    pub whom: Whom<'a>,
    pub now: Timestamp,
}

/// Puts a mail with a link into the outbox: for a user who can use it and was not sent enough of them already. For
/// nobody as much is written, so that the time it takes does not tell who has an account. A few links that ended are
/// swept up on the way.
pub async fn ask(db: &TenantDb, new: &NewLink<'_>) -> Result<(), DbError> {
    let (address, user) = match new.whom {
        Whom::Address(email) => (Some(email.normalized()), None),
        Whom::User(user) => (None, Some(user)),
    };
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "mail_links", by: "id", before: "$3"),
            ", whom as ( \
                 select u.id, u.email_normalized from users u \
                 where u.status = 'active' and (u.email_normalized = $5::text or u.id = $6::uuid) \
                   and case $2::text when 'reset_password' then u.password_hash is not null \
                       else not u.email_verified end \
                   and (select count(*) from mail_links m \
                        where m.user_id = u.id and m.purpose = $2 and m.expires_at > $3) < $7 \
             ), made as ( \
                 insert into mail_links (id, user_id, purpose, email, created_at, expires_at) \
                 select $1, w.id, $2, coalesce(w.email_normalized, ''), $3::timestamptz, $4 \
                 from (select) one left join whom w on true returning id, user_id \
             ) \
             insert into outbox (id, tenant_id, kind, client_id, user_id, request_id, created_at, due_at) \
             select gen_random_uuid(), $8, 'link_mail', '', m.user_id, m.id, $3, $3 \
             from made m where m.user_id is not null",
        ))
        .await?;
    client
        .execute(
            &statement,
            &[
                &new.id,
                &new.purpose.as_str(),
                &new.now.system_time(),
                &new.now.plus_secs(LIFETIME_SECS).system_time(),
                &address,
                &user,
                &MOST_LIVE,
                &db.tenant_id(),
            ],
        )
        .await?;
    Ok(())
}

/// Whom a mail with a link goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    pub email: String,
    pub purpose: Purpose,
    pub expires_at: Timestamp,
}

/// Writes down the code that the next mail carries, in place of an earlier one's. `None`: the link is of no use any more.
pub async fn put_code(db: &TenantDb, id: Uuid, code: &str, now: Timestamp) -> Result<Option<Addressee>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "update mail_links l set code_hash = $2 from users u \
             where l.id = $1 and l.expires_at > $3 \
               and u.id = l.user_id and u.status = 'active' and u.email_normalized = l.email \
             returning u.email, l.purpose, l.expires_at",
        )
        .await?;
    let Some(row) = client.query_opt(&statement, &[&id, &db.digest(code), &now.system_time()]).await? else {
        return Ok(None);
    };
    Ok(Some(Addressee {
        email: row.try_get("email")?,
        purpose: Purpose::parse(row.try_get("purpose")?)?,
        expires_at: timestamp(&row, "expires_at")?,
    }))
}

/// The address of the user whom a live link is for. Looking uses nothing up: programs that guard mailboxes open every
/// link.
pub async fn find(db: &TenantDb, code: &str, purpose: Purpose, now: Timestamp) -> Result<Option<String>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select u.email from mail_links l join users u on u.id = l.user_id \
             where l.code_hash = $1 and l.purpose = $2 and l.expires_at > $3 \
               and u.status = 'active' and u.email_normalized = l.email",
        )
        .await?;
    let row = client.query_opt(&statement, &[&db.digest(code), &purpose.as_str(), &now.system_time()]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Uses a link up: its address is the user's, who is told of it there. `None`: it is no live link.
pub async fn verify_email(db: &TenantDb, code: &str, news: &News) -> Result<Option<Uuid>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with link as ( \
                 delete from mail_links where code_hash = $1 and purpose = 'verify_email' and expires_at > $2 \
                 returning user_id, email \
             ), verified as ( \
                 update users u set email_verified = true, updated_at = $2 from link l \
                 where u.id = l.user_id and u.status = 'active' and u.email_normalized = l.email returning u.id \
             ), ",
            mailed!(whose: "select id from verified", if: "true", kind: "$4", tenant: "$3", now: "$2"),
            " select id from verified",
        ))
        .await?;
    let row = client
        .query_opt(&statement, &[&db.digest(code), &news.now.system_time(), &db.tenant_id(), &news.kind()])
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}
