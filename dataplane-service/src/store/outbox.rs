//! Messages to clients and users that are still to be delivered: each is claimed by one pod for a while, and is there again for
//! every pod once that while is over. So a message is delivered at least once, though pods die.

use std::sync::LazyLock;

use tokio_postgres::Row;
use uuid::Uuid;
use vocab::Timestamp;

use super::change_mails::Change;
use super::grants::timestamp;
use crate::store::{DbError, TenantDb};

/// A message that was claimed.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: Uuid,
    pub client_id: String,
    pub user_id: Uuid,
    pub about: About,
    /// Attempts so far, the one that it was claimed for included.
    pub attempts: u32,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The session of this `sid` ended.
    Logout(Uuid),
    /// A user answered a request of CIBA; the secrets of the ping are sealed.
    CibaPing(String),
    /// A user is to be told of this request of CIBA by mail.
    CibaMail(Uuid),
    /// A user is to be sent this link.
    LinkMail(Uuid),
    /// A user is to be told of this, by mail.
    ChangeMail(Change),
}

/// Messages of other kinds are left to newer pods.
static KNOWN: LazyLock<Vec<&str>> = LazyLock::new(|| {
    ["logout", "ciba_ping", "ciba_mail", "link_mail"].into_iter().chain(Change::ALL.map(Change::kind)).collect()
});

/// What is left in an outbox that this pod can deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub messages: i64,
    /// When the first of them is due.
    pub next_due_at: Option<Timestamp>,
}

fn read(row: &Row) -> Result<Message, DbError> {
    let kind: &str = row.try_get("kind")?;
    let (sid, sealed): (Option<Uuid>, Option<String>) = (row.try_get("sid")?, row.try_get("sealed")?);
    let request: Option<Uuid> = row.try_get("request_id")?;
    let about = match (kind, sid, sealed, request) {
        ("logout", Some(sid), _, _) => About::Logout(sid),
        ("ciba_ping", _, Some(sealed), _) => About::CibaPing(sealed),
        ("ciba_mail", _, _, Some(request)) => About::CibaMail(request),
        ("link_mail", _, _, Some(link)) => About::LinkMail(link),
        (kind, ..) if let Some(change) = Change::ALL.into_iter().find(|it| it.kind() == kind) => {
            About::ChangeMail(change)
        }
        _ => return Err(DbError::Schema(format!("a message of kind {kind} is not whole"))),
    };
    Ok(Message {
        id: row.try_get("id")?,
        client_id: row.try_get("client_id")?,
        user_id: row.try_get("user_id")?,
        about,
        attempts: u32::try_from(row.try_get::<_, i32>("attempts")?).unwrap_or_default(),
        created_at: timestamp(row, "created_at")?,
    })
}

/// Claims up to `limit` messages that are due, for nobody else until `until`. Those that failed least come first, so
/// that a client that is down does not hold up the others.
pub async fn claim(db: &TenantDb, now: Timestamp, until: Timestamp, limit: i64) -> Result<Vec<Message>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "update outbox set due_at = $3, attempts = attempts + 1 where id in ( \
                 select id from outbox where tenant_id = $1 and due_at <= $2 and kind = any($5) \
                 order by attempts, due_at limit $4 for update skip locked) \
             returning id, kind, client_id, user_id, sid, sealed, request_id, attempts, created_at",
        )
        .await?;
    let rows =
        client.query(&statement, &[&db.tenant_id(), &now.system_time(), &until.system_time(), &limit, &*KNOWN]).await?;
    rows.iter().map(read).collect()
}

/// Takes a message out: it was delivered, or is given up.
pub async fn remove(db: &TenantDb, id: Uuid) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached("delete from outbox where id = $1 and tenant_id = $2").await?;
    client.execute(&statement, &[&id, &db.tenant_id()]).await?;
    Ok(())
}

/// Puts a claimed message back until `due_at`.
pub async fn postpone(db: &TenantDb, id: Uuid, due_at: Timestamp) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached("update outbox set due_at = $3 where id = $1 and tenant_id = $2").await?;
    client.execute(&statement, &[&id, &db.tenant_id(), &due_at.system_time()]).await?;
    Ok(())
}

pub async fn left(db: &TenantDb) -> Result<Left, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached("select count(*), min(due_at) from outbox where tenant_id = $1 and kind = any($2)")
        .await?;
    let row = client.query_one(&statement, &[&db.tenant_id(), &*KNOWN]).await?;
    let next: Option<std::time::SystemTime> = row.try_get(1)?;
    Ok(Left { messages: row.try_get(0)?, next_due_at: next.map(Timestamp::from) })
}
