//! Sign-ins that browsers hold. The cookie's value is stored as SHA-256 only.

use std::time::SystemTime;

use oauth_core::authorize::SessionFacts;
use uuid::Uuid;
use vocab::{Secret, Timestamp};

use super::grants::timestamp;
use super::swept::swept;
use crate::opaque;
use crate::store::{DbError, TenantDb};

/// A live session of an active user.
#[derive(Clone, Debug)]
pub struct Session {
    pub facts: SessionFacts,
    pub email: String,
    pub last_seen_at: Timestamp,
}

#[derive(Debug)]
pub struct NewSession<'a> {
    pub user_id: Uuid,
    pub amr: &'a [&'a str],
    pub now: Timestamp,
    pub expires_at: Timestamp,
    /// The cookie that the browser came with: its session, if there is one, goes on under the new cookie when it is
    /// this user's, and ends otherwise.
    pub replaces: Option<&'a str>,
    /// The clients that want to be told by the back channel when a session ends.
    pub tell: &'a [&'a str],
}

/// A session that was just begun: its cookie value, and what is known of it.
#[derive(Debug)]
pub struct Begun {
    pub cookie: Secret<String>,
    pub facts: SessionFacts,
}

/// A session that is over, with the clients that got something in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub sid: Uuid,
    pub clients: Vec<String>,
}

/// Tells those of $tell that were served in the sessions of the CTE `ended`, by rows for the outbox: a part of the
/// statement that ends them, so that neither happens without the other.
macro_rules! told {
    (tell: $tell:literal, tenant: $tenant:literal, now: $now:literal) => {
        concat!(
            "told as ( \
                 insert into outbox (id, tenant_id, kind, client_id, user_id, sid, created_at, due_at) \
                 select gen_random_uuid(), ",
            $tenant,
            ", 'logout', c.client_id, e.user_id, e.sid, ",
            $now,
            ", ",
            $now,
            " from ended e join session_clients c on c.sid = e.sid where c.client_id = any(",
            $tell,
            ") )",
        )
    };
}
pub(super) use told;

/// Begins a session under a fresh cookie, whatever cookie the browser had (no fixation). A user who signs in again
/// keeps the `sid`, by which clients know the session. A few sessions that ended long ago are swept up on the way.
pub async fn begin(db: &TenantDb, new: &NewSession<'_>) -> Result<Begun, DbError> {
    let cookie = opaque::fresh();
    let amr: Vec<String> = new.amr.iter().map(|method| (*method).to_owned()).collect();
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "sessions", by: "id_hash", before: "$5 and id_hash is distinct from $7"),
            ", renewed as ( \
                 update sessions set id_hash = $1, amr = $4, auth_time = $5, last_seen_at = $5, expires_at = $6 \
                 where id_hash = $7 and user_id = $3 and expires_at > $5 returning sid \
             ), ended as ( \
                 delete from sessions where id_hash = $7 and (user_id <> $3 or expires_at <= $5) \
                 returning sid, user_id \
             ), ",
            told!(tell: "$8", tenant: "$9", now: "$5"),
            ", made as ( \
                 insert into sessions (id_hash, sid, user_id, amr, auth_time, last_seen_at, expires_at) \
                 select $1, $2, $3, $4, $5, $5, $6 where not exists (select from renewed) returning sid \
             ) \
             select coalesce((select sid from renewed), (select sid from made))",
        ))
        .await?;
    let replaced = new.replaces.map(|cookie| db.digest(cookie));
    let row = client
        .query_one(
            &statement,
            &[
                &db.digest(cookie.expose()),
                &opaque::fresh_id(new.now),
                &new.user_id,
                &amr,
                &new.now.system_time(),
                &new.expires_at.system_time(),
                &replaced,
                &new.tell,
                &db.tenant_id(),
            ],
        )
        .await?;
    let facts = SessionFacts { user_id: new.user_id, sid: row.try_get(0)?, auth_time: new.now, amr };
    Ok(Begun { cookie, facts })
}

/// What a user has shown since beyond what began the session. The session goes on, under a fresh cookie; when the user
/// signed in stays as it was, since the password was not asked for again. `None`: it is over.
pub async fn strengthen(db: &TenantDb, cookie: &str, amr: &[String], now: Timestamp) -> Result<Option<Begun>, DbError> {
    let fresh = opaque::fresh();
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "update sessions set id_hash = $1, amr = $2, last_seen_at = $3 where id_hash = $4 and expires_at > $3 \
             returning sid, user_id, auth_time, amr",
        )
        .await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&db.digest(fresh.expose()), &amr, &now.system_time(), &db.digest(cookie)];
    let Some(row) = client.query_opt(&statement, &parameters).await? else {
        return Ok(None);
    };
    Ok(Some(Begun { cookie: fresh, facts: facts(&row)? }))
}

fn facts(row: &tokio_postgres::Row) -> Result<SessionFacts, DbError> {
    Ok(SessionFacts {
        user_id: row.try_get("user_id")?,
        sid: row.try_get("sid")?,
        auth_time: timestamp(row, "auth_time")?,
        amr: row.try_get("amr")?,
    })
}

/// The session of a cookie: not over, used after `idle_since`, its user active.
pub async fn find_live(
    db: &TenantDb,
    cookie: &str,
    now: Timestamp,
    idle_since: Timestamp,
) -> Result<Option<Session>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select s.sid, s.user_id, s.auth_time, s.amr, s.last_seen_at, u.email \
             from sessions s join users u on u.id = s.user_id \
             where s.id_hash = $1 and s.expires_at > $2 and s.last_seen_at > $3 and u.status = 'active'",
        )
        .await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&db.digest(cookie), &now.system_time(), &idle_since.system_time()];
    let Some(row) = client.query_opt(&statement, &parameters).await? else {
        return Ok(None);
    };
    Ok(Some(Session {
        facts: facts(&row)?,
        email: row.try_get("email")?,
        last_seen_at: row.try_get::<_, SystemTime>("last_seen_at")?.into(),
    }))
}

/// Notes that the session is in use.
pub async fn touch(db: &TenantDb, cookie: &str, now: Timestamp) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached("update sessions set last_seen_at = greatest(last_seen_at, $2) where id_hash = $1")
        .await?;
    client.execute(&statement, &[&db.digest(cookie), &now.system_time()]).await?;
    Ok(())
}

/// Ends the session of a cookie, and has the clients of `tell` told that it served. `None`: there was none.
pub async fn end(db: &TenantDb, cookie: &str, tell: &[&str], now: Timestamp) -> Result<Option<Ended>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ended as (delete from sessions where id_hash = $1 returning sid, user_id), ",
            told!(tell: "$2", tenant: "$3", now: "$4"),
            " select e.sid, array(select client_id from session_clients c where c.sid = e.sid order by 1) from ended e",
        ))
        .await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&db.digest(cookie), &tell, &db.tenant_id(), &now.system_time()];
    let Some(row) = client.query_opt(&statement, &parameters).await? else {
        return Ok(None);
    };
    Ok(Some(Ended { sid: row.try_get(0)?, clients: row.try_get(1)? }))
}

/// Ends every session of a user, whose password was changed, say. Returns how many there were.
pub async fn end_all_of(db: &TenantDb, user: Uuid, tell: &[&str], now: Timestamp) -> Result<i64, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ended as (delete from sessions where user_id = $1 returning sid, user_id), ",
            told!(tell: "$2", tenant: "$3", now: "$4"),
            " select count(*) from ended",
        ))
        .await?;
    let row = client.query_one(&statement, &[&user, &tell, &db.tenant_id(), &now.system_time()]).await?;
    Ok(row.try_get(0)?)
}

/// Ends the sessions of users who may not sign in any more, whoever disabled them. Returns how many there were.
pub async fn end_of_disabled(db: &TenantDb, tell: &[&str], now: Timestamp) -> Result<i64, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ended as ( \
                 delete from sessions s using users u where u.id = s.user_id and u.status <> 'active' \
                 returning s.sid, s.user_id \
             ), ",
            told!(tell: "$1", tenant: "$2", now: "$3"),
            " select count(*) from ended",
        ))
        .await?;
    let row = client.query_one(&statement, &[&tell, &db.tenant_id(), &now.system_time()]).await?;
    Ok(row.try_get(0)?)
}
