//! Sign-ins that browsers hold. The cookie's value is stored as SHA-256 only.

use std::time::SystemTime;

use oauth_core::authorize::SessionFacts;
use uuid::Uuid;
use vocab::{Secret, Timestamp};

use super::grants::timestamp;
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
    /// The cookie that the browser came with: its session, if there is one, ends.
    pub replaces: Option<&'a str>,
}

/// A session that was just begun: its cookie value, and what is known of it.
#[derive(Debug)]
pub struct Begun {
    pub cookie: Secret<String>,
    pub facts: SessionFacts,
}

/// Begins a session under a fresh id, whatever cookie the browser had (no fixation). A few sessions that ended
/// long ago are swept up on the way.
pub async fn begin(db: &TenantDb, new: &NewSession<'_>) -> Result<Begun, DbError> {
    let cookie = opaque::fresh();
    let facts = SessionFacts {
        user_id: new.user_id,
        sid: opaque::fresh_id(new.now),
        auth_time: new.now,
        amr: new.amr.iter().map(|method| (*method).to_owned()).collect(),
    };
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with swept as ( \
                 delete from sessions where id_hash = $7 or id_hash in ( \
                     select id_hash from sessions where expires_at < $5 limit 20 for update skip locked) \
             ) \
             insert into sessions (id_hash, sid, user_id, amr, auth_time, last_seen_at, expires_at) \
             values ($1, $2, $3, $4, $5, $5, $6)",
        )
        .await?;
    let replaced = new.replaces.map(|cookie| db.digest(cookie));
    client
        .execute(
            &statement,
            &[
                &db.digest(cookie.expose()),
                &facts.sid,
                &facts.user_id,
                &facts.amr,
                &new.now.system_time(),
                &new.expires_at.system_time(),
                &replaced,
            ],
        )
        .await?;
    Ok(Begun { cookie, facts })
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
        facts: SessionFacts {
            user_id: row.try_get("user_id")?,
            sid: row.try_get("sid")?,
            auth_time: timestamp(&row, "auth_time")?,
            amr: row.try_get("amr")?,
        },
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

/// Signs the browser out.
pub async fn end(db: &TenantDb, cookie: &str) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached("delete from sessions where id_hash = $1").await?;
    client.execute(&statement, &[&db.digest(cookie)]).await?;
    Ok(())
}
