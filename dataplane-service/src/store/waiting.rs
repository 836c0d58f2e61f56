//! Requests that wait for a user who answers elsewhere, as their clients see them: asked for, and taken once.

use oauth_core::grant::waiting::{Answer, Waiting};
use uuid::Uuid;
use vocab::Timestamp;

use super::access_tokens::{Columns, store_with};
use super::codes::Taken;
use super::grants::{self, grant_columns, timestamp};
use super::refresh::{Follows, NewRefreshToken};
use crate::store::{Connection, DbError, TenantDb};

/// The secret that a client asks with.
#[derive(Clone, Copy)]
pub enum Code<'a> {
    /// A `device_code` (RFC 8628).
    Device(&'a str),
    /// An `auth_req_id` (OIDC CIBA).
    Ciba(&'a str),
}

impl std::fmt::Debug for Code<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Device(_) => "Code::Device(…)",
            Self::Ciba(_) => "Code::Ciba(…)",
        })
    }
}

impl<'a> Code<'a> {
    const fn secret(self) -> &'a str {
        match self {
            Self::Device(secret) | Self::Ciba(secret) => secret,
        }
    }
}

/// A user's yes: the grant that it makes.
#[derive(Clone, Copy, Debug)]
pub struct Approval<'a> {
    pub user_id: Uuid,
    pub auth_time: Timestamp,
    pub amr: &'a [String],
    /// The end of the grant and of every token that may follow.
    pub grant_expires_at: Timestamp,
}

/// Notes when the client asked; half a second is forgiven, for clocks and networks are not exact. Whoever asks sooner
/// than that must pause 5 seconds longer from then on (RFC 8628 §3.5).
macro_rules! poll {
    ($table:literal, $code:literal) => {
        concat!(
            "with old as ( \
                 select ",
            $code,
            " as code, last_polled_at + interval_secs * interval '1 second' - interval '0.5 seconds' as may_ask_at \
                 from ",
            $table,
            " where ",
            $code,
            " = $1 and client_id = $2 for update \
             ), asked as ( \
                 update ",
            $table,
            " r set last_polled_at = $3::timestamptz, \
                     interval_secs = interval_secs + case when $3::timestamptz < old.may_ask_at then 5 else 0 end \
                 from old where r.",
            $code,
            " = old.code \
                 returning r.status, r.grant_id, r.expires_at as waits_until, r.traceparent, \
                           coalesce($3::timestamptz < old.may_ask_at, false) as too_soon \
             ) \
             select asked.status, asked.waits_until, asked.too_soon, asked.traceparent, ",
            grant_columns!(),
            " from asked left join grants g on g.id = asked.grant_id left join users u on u.id = g.user_id",
        )
    };
}

macro_rules! take {
    ($table:literal, $code:literal) => {
        concat!(
            "with taken as ( \
                 delete from ",
            $table,
            " r using grants g, users u \
                 where r.",
            $code,
            " = $1 and r.status = 'approved' and r.expires_at > $2 and g.id = r.grant_id and u.id = g.user_id \
                   and g.revoked_at is null and u.status = 'active' \
                 returning r.grant_id, g.expires_at \
             ), follows as ( \
                 insert into refresh_tokens (token_hash, grant_id, created_at, expires_at, confirmation) \
                 select $3, grant_id, $2, least($4, expires_at), $5 from taken where $3::bytea is not null \
             ), issued as (",
            store_with!("taken", "$6", "$7", "$8", "$9"),
            ") select exists (select from taken) or exists (select from refresh_tokens where token_hash = $3) \
                   or exists (select from access_tokens where token_hash = $6)",
        )
    };
}

/// The request of that client as it stands; that it was asked for is noted.
pub async fn poll(db: &TenantDb, code: Code<'_>, client_id: &str, now: Timestamp) -> Result<Option<Waiting>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(match code {
            Code::Device(_) => poll!("device_codes", "device_code_hash"),
            Code::Ciba(_) => poll!("ciba_requests", "auth_req_id_hash"),
        })
        .await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&db.digest(code.secret()), &client_id, &now.system_time()];
    let Some(row) = client.query_opt(&statement, &parameters).await? else {
        return Ok(None);
    };
    let answer = match row.try_get::<_, &str>("status")? {
        "pending" => Answer::Pending,
        "approved" => Answer::Approved(Box::new(grants::read(&row)?)),
        _ => Answer::Denied,
    };
    Ok(Some(Waiting {
        answer,
        expires_at: timestamp(&row, "waits_until")?,
        asked_too_soon: row.try_get("too_soon")?,
        traceparent: row.try_get("traceparent")?,
    }))
}

/// Takes an approved request and stores what follows, both or neither. Of any number of requests at once, one wins.
///
/// When the connection breaks before the answer came, the statement is run once more on another connection, as
/// [`super::refresh::rotate`] does; the attempt knows itself by the tokens that it stored, which nobody else could have. One
/// that stores none cannot know, and has lost: its client begins anew.
pub async fn take(db: &TenantDb, code: Code<'_>, follows: Follows<'_>, now: Timestamp) -> Result<Taken, DbError> {
    match run_take(&db.get().await?, db, code, follows, now).await {
        Err(DbError::Unavailable(_)) => run_take(&db.get_live().await?, db, code, follows, now).await,
        answer => answer,
    }
}

async fn run_take(
    client: &Connection,
    db: &TenantDb,
    code: Code<'_>,
    follows: Follows<'_>,
    now: Timestamp,
) -> Result<Taken, DbError> {
    let statement = client
        .prepare_cached(match code {
            Code::Device(_) => take!("device_codes", "device_code_hash"),
            Code::Ciba(_) => take!("ciba_requests", "auth_req_id_hash"),
        })
        .await?;
    let hash = follows.refresh_token.map(|token| db.digest(token.value.expose()));
    let idle_end = follows.refresh_token.map(|token| token.idle_until.system_time());
    let confirmation = follows.refresh_token.and_then(NewRefreshToken::confirmation);
    let token = Columns::of(db, follows.access_token);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
        &db.digest(code.secret()),
        &now.system_time(),
        &hash,
        &idle_end,
        &confirmation,
        &token.hash,
        &token.client_id,
        &token.claims,
        &token.expires_at,
    ];
    let row = client.query_one(&statement, &parameters).await?;
    Ok(if row.try_get(0)? { Taken::Won } else { Taken::Lost })
}
