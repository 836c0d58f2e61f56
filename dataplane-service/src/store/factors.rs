//! Second factors of users, and the recovery codes for who lost them. Seeds and keys are sealed, codes are SHA-256.

pub mod held;

use tokio_postgres::Row;
use uuid::Uuid;
use vocab::Timestamp;

use super::grants::timestamp;
use crate::store::{DbError, TenantDb};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One-time passwords of an app (RFC 6238).
    Totp,
}

impl Kind {
    /// As in the column `second_factors.kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Totp].into_iter().find(|known| known.as_str() == text)
    }
}

#[derive(Clone, Debug)]
pub struct Factor {
    pub id: Uuid,
    pub kind: Kind,
    pub sealed: String,
    pub created_at: Timestamp,
}

#[derive(Debug)]
pub struct NewFactor<'a> {
    pub id: Uuid,
    pub user_id: Uuid,
    pub kind: Kind,
    pub sealed: &'a str,
    /// The time step of the code that proved it: used up with that.
    pub last_step: Option<i64>,
    /// Kept if the user has none.
    pub recovery_codes: &'a [String],
    pub now: Timestamp,
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
    let created_at = timestamp(row, "created_at")?;
    Ok(Some(Factor { id: row.try_get("id")?, kind, sealed: row.try_get("sealed")?, created_at }))
}

/// The user's own, the oldest first.
pub async fn list(db: &TenantDb, user: Uuid) -> Result<Vec<Factor>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached("select id, kind, sealed, created_at from second_factors where user_id = $1 order by id")
        .await?;
    let rows = client.query(&statement, &[&user]).await?;
    rows.iter().filter_map(|row| read(row).transpose()).collect()
}

pub async fn add(db: &TenantDb, new: &NewFactor<'_>) -> Result<Added, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with added as ( \
                 insert into second_factors (id, user_id, kind, sealed, last_step, created_at) \
                 values ($1, $2, $3, $4, $5, $6) on conflict do nothing returning user_id \
             ), kept as ( \
                 insert into recovery_codes (code_hash, user_id) \
                 select code, a.user_id from added a, unnest($7::bytea[]) code \
                 where not exists (select from recovery_codes r where r.user_id = a.user_id) returning code_hash \
             ) \
             select exists (select from added), exists (select from kept)",
        )
        .await?;
    let codes: Vec<Vec<u8>> = new.recovery_codes.iter().map(|code| db.digest(code)).collect();
    let row = client
        .query_one(
            &statement,
            &[&new.id, &new.user_id, &new.kind.as_str(), &new.sealed, &new.last_step, &new.now.system_time(), &codes],
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
pub async fn renew_codes(db: &TenantDb, user: Uuid, codes: &[String]) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with gone as (delete from recovery_codes where user_id = $1), kept as ( \
                 insert into recovery_codes (code_hash, user_id) select code, $1 from unnest($2::bytea[]) code \
                 where exists (select from second_factors where user_id = $1) returning code_hash \
             ) \
             select exists (select from kept)",
        )
        .await?;
    let codes: Vec<Vec<u8>> = codes.iter().map(|code| db.digest(code)).collect();
    Ok(client.query_one(&statement, &[&user, &codes]).await?.try_get(0)?)
}

/// Takes one of the user's factors away, with the last one the recovery codes, too. `false`: there is no
/// such factor.
pub async fn remove(db: &TenantDb, user: Uuid, id: Uuid) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with gone as (delete from second_factors where id = $1 and user_id = $2 returning user_id), codes as ( \
                 delete from recovery_codes r using gone g where r.user_id = g.user_id \
                 and not exists (select from second_factors f where f.user_id = g.user_id and f.id <> $1) \
             ) \
             select exists (select from gone)",
        )
        .await?;
    Ok(client.query_one(&statement, &[&id, &user]).await?.try_get(0)?)
}

/// Takes all factors and recovery codes of a user away, who lost them. Returns how many factors there were; `None`: there
/// is no such user.
pub async fn remove_all(db: &TenantDb, user: Uuid) -> Result<Option<i64>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with gone as (delete from second_factors where user_id = $1 returning id), \
             codes as (delete from recovery_codes where user_id = $1) \
             select (select count(*) from gone) from users where id = $1",
        )
        .await?;
    Ok(client.query_opt(&statement, &[&user]).await?.map(|row| row.try_get(0)).transpose()?)
}
