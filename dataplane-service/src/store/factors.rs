//! Second factors of users, and the recovery codes for who lost them. Seeds and keys are sealed, codes are SHA-256.

pub mod held;

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_postgres::Row;
use uuid::Uuid;
use vocab::Timestamp;

use super::change_mails::{News, mailed};
use super::grants::timestamp;
use crate::store::{DbError, TenantDb};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One-time passwords of an app (RFC 6238).
    Totp,
    /// An authenticator that signs (WebAuthn).
    Webauthn,
}

impl Kind {
    /// As in the column `second_factors.kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Webauthn => "webauthn",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Totp, Self::Webauthn].into_iter().find(|known| known.as_str() == text)
    }
}

#[derive(Clone, Debug)]
pub struct Factor {
    pub id: Uuid,
    pub kind: Kind,
    pub sealed: String,
    /// What its user calls it.
    pub name: Option<String>,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

/// What a factor is, with what makes each use of it count once.
#[derive(Clone, Copy, Debug)]
pub enum Method<'a> {
    /// The time step of the code that proved it: used up with that.
    Totp { step: i64 },
    /// The credential's id, which no other user may have (WebAuthn Level 2 §7.1), and its counter.
    Webauthn { credential: &'a [u8], sign_count: u32, name: &'a str },
}

impl Method<'_> {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Totp { .. } => Kind::Totp,
            Self::Webauthn { .. } => Kind::Webauthn,
        }
    }
}

#[derive(Debug)]
pub struct NewFactor<'a> {
    pub id: Uuid,
    pub user_id: Uuid,
    pub method: Method<'a>,
    pub sealed: &'a str,
    /// Kept if the user has none.
    pub recovery_codes: &'a [String],
    pub news: News,
}

/// What became of a new factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The recovery codes are the user's.
    WithCodes,
    /// The user keeps those that are there.
    Alone,
    /// There is one such already.
    Not,
}

/// Of a kind that a newer build stored this one knows nothing: it is left out.
fn read(row: &Row) -> Result<Option<Factor>, DbError> {
    let kind: &str = row.try_get("kind")?;
    let Some(kind) = Kind::parse(kind) else {
        return Ok(None);
    };
    Ok(Some(Factor {
        id: row.try_get("id")?,
        kind,
        sealed: row.try_get("sealed")?,
        name: row.try_get("name")?,
        created_at: timestamp(row, "created_at")?,
        last_used_at: row.try_get::<_, Option<SystemTime>>("last_used_at")?.map(Timestamp::from),
    }))
}

/// The user's own, the oldest first.
pub async fn list(db: &TenantDb, user: Uuid) -> Result<Vec<Factor>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select id, kind, sealed, name, created_at, last_used_at from second_factors \
             where user_id = $1 order by id",
        )
        .await?;
    let rows = client.query(&statement, &[&user]).await?;
    rows.iter().filter_map(|row| read(row).transpose()).collect()
}

pub async fn add(db: &TenantDb, new: &NewFactor<'_>) -> Result<Added, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with added as ( \
                 insert into second_factors \
                     (id, user_id, kind, sealed, last_step, credential_hash, sign_count, name, created_at) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing returning user_id \
             ), kept as ( \
                 insert into recovery_codes (code_hash, user_id) \
                 select code, a.user_id from added a, unnest($10::bytea[]) code \
                 where not exists (select from recovery_codes r where r.user_id = a.user_id) returning code_hash \
             ), ",
            mailed!(whose: "select user_id from added", if: "u.email_verified", kind: "$11", tenant: "$12", now: "$9"),
            " select exists (select from added), exists (select from kept)",
        ))
        .await?;
    let codes: Vec<Vec<u8>> = new.recovery_codes.iter().map(|code| db.digest(code)).collect();
    let (step, credential, sign_count, name) = match new.method {
        Method::Totp { step } => (Some(step), None, None, None),
        Method::Webauthn { credential, sign_count, name } => {
            (None, Some(db.digest(&URL_SAFE_NO_PAD.encode(credential))), Some(i64::from(sign_count)), Some(name))
        }
    };
    let row = client
        .query_one(
            &statement,
            &[
                &new.id,
                &new.user_id,
                &new.method.kind().as_str(),
                &new.sealed,
                &step,
                &credential,
                &sign_count,
                &name,
                &new.news.now.system_time(),
                &codes,
                &new.news.kind(),
                &db.tenant_id(),
            ],
        )
        .await?;
    Ok(match (row.try_get(0)?, row.try_get(1)?) {
        (true, true) => Added::WithCodes,
        (true, false) => Added::Alone,
        (false, _) => Added::Not,
    })
}

/// Uses a time step up. `false`: it or a later one was used before (RFC 6238 §5.2). What is sealed is written anew, with
/// the newest master key.
pub async fn spend_step(db: &TenantDb, id: Uuid, step: i64, sealed: &str, now: Timestamp) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "update second_factors set last_step = $2, sealed = $3, last_used_at = $4 \
             where id = $1 and kind = 'totp' and (last_step is null or last_step < $2)",
        )
        .await?;
    Ok(client.execute(&statement, &[&id, &step, &sealed, &now.system_time()]).await? == 1)
}

/// An authenticator that has just signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub id: Uuid,
    pub user_id: Uuid,
    /// What it says of itself now.
    pub sign_count: u32,
    /// The credential as it is now.
    pub sealed: &'a str,
    pub now: Timestamp,
}

/// Notes that it signed. `false`: its counter does not go on from the one that is kept here, whichever pod saw that, so that
/// there may be two of it (WebAuthn Level 2 §7.2, step 21), or it is gone. One that never counts says 0 each time.
pub async fn use_key(db: &TenantDb, signed: &Signed<'_>) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "update second_factors set sign_count = $3, sealed = $4, last_used_at = $5 \
             where id = $1 and user_id = $2 and kind = 'webauthn' \
                 and (sign_count < $3 or (sign_count = 0 and $3 = 0))",
        )
        .await?;
    let count = i64::from(signed.sign_count);
    let now = signed.now.system_time();
    Ok(client.execute(&statement, &[&signed.id, &signed.user_id, &count, &signed.sealed, &now]).await? == 1)
}

/// Uses a recovery code up. `false`: the user has none such.
pub async fn spend_code(db: &TenantDb, user: Uuid, code: &str) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached("delete from recovery_codes where code_hash = $1 and user_id = $2").await?;
    Ok(client.execute(&statement, &[&db.digest(code), &user]).await? == 1)
}

pub async fn codes_left(db: &TenantDb, user: Uuid) -> Result<i64, DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached("select count(*) from recovery_codes where user_id = $1").await?;
    Ok(client.query_one(&statement, &[&user]).await?.try_get(0)?)
}

/// Other recovery codes in place of all that there were. `false`: the user has no factor to recover.
pub async fn renew_codes(db: &TenantDb, user: Uuid, codes: &[String], news: &News) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with gone as (delete from recovery_codes where user_id = $1), kept as ( \
                 insert into recovery_codes (code_hash, user_id) select code, $1 from unnest($2::bytea[]) code \
                 where exists (select from second_factors where user_id = $1) returning user_id \
             ), ",
            mailed!(whose: "select user_id from kept", if: "u.email_verified", kind: "$3", tenant: "$4", now: "$5"),
            " select exists (select from kept)",
        ))
        .await?;
    let codes: Vec<Vec<u8>> = codes.iter().map(|code| db.digest(code)).collect();
    let row =
        client.query_one(&statement, &[&user, &codes, &news.kind(), &db.tenant_id(), &news.now.system_time()]).await?;
    Ok(row.try_get(0)?)
}

/// Takes one of the user's factors away, with the last one the recovery codes, too. `false`: there is no
/// such factor.
pub async fn remove(db: &TenantDb, user: Uuid, id: Uuid, news: &News) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with gone as (delete from second_factors where id = $1 and user_id = $2 returning user_id), codes as ( \
                 delete from recovery_codes r using gone g where r.user_id = g.user_id \
                 and not exists (select from second_factors f where f.user_id = g.user_id and f.id <> $1) \
             ), ",
            mailed!(whose: "select user_id from gone", if: "u.email_verified", kind: "$3", tenant: "$4", now: "$5"),
            " select exists (select from gone)",
        ))
        .await?;
    let row =
        client.query_one(&statement, &[&id, &user, &news.kind(), &db.tenant_id(), &news.now.system_time()]).await?;
    Ok(row.try_get(0)?)
}

/// Takes all factors and recovery codes of a user away, who lost them. Returns how many factors there were; `None`: there
/// is no such user.
pub async fn remove_all(db: &TenantDb, user: Uuid, news: &News) -> Result<Option<i64>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with gone as (delete from second_factors where user_id = $1 returning user_id), \
             codes as (delete from recovery_codes where user_id = $1), ",
            mailed!(whose: "select user_id from gone", if: "u.email_verified", kind: "$2", tenant: "$3", now: "$4"),
            " select (select count(*) from gone) from users where id = $1",
        ))
        .await?;
    let row = client.query_opt(&statement, &[&user, &news.kind(), &db.tenant_id(), &news.now.system_time()]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}
