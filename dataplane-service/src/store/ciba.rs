//! Requests of clients that ask a user on another device (OIDC CIBA Core 1.0), and the user's answers.

use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::waiting::Asked;
use tokio_postgres::types::Json;
use uuid::Uuid;
use vocab::{Secret, Timestamp};

use super::grants::{self, timestamp};
use super::swept::swept;
use super::waiting::Approval;
use crate::opaque;
use crate::store::{DbError, TenantDb};

#[derive(Debug)]
pub struct NewRequest<'a> {
    pub auth_req_id: &'a Secret<String>,
    pub client_id: &'a str,
    pub user_id: Uuid,
    pub asked: &'a Asked,
    pub binding_message: Option<&'a str>,
    /// What a ping needs, sealed; `None`: the client polls.
    pub sealed: Option<String>,
    pub interval_secs: u32,
    pub channel: Channel,
    pub now: Timestamp,
    pub expires_at: Timestamp,
}

/// How the user learns of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channel {
    /// By looking there.
    #[default]
    AccountPage,
    /// By mail beside it, if the address is known to be the user's.
    Mail,
}

/// A request that waits for its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: Uuid,
    pub client_id: String,
    pub scopes: Vec<String>,
    pub details: AuthorizationDetails,
    pub binding_message: Option<String>,
    pub expires_at: Timestamp,
    /// Where the trace of the client's request goes on, if it is exported.
    pub traceparent: Option<String>,
}

/// Of one client to one user, so that nobody is worn out.
const MOST_PENDING: i64 = 5;
/// A few that ended ten minutes ago are swept up on the way: until then a client is told that it is too late.
const KEPT_SECS: i64 = 600;

/// `false` when the user has enough requests of this client to answer already.
pub async fn begin(db: &TenantDb, new: &NewRequest<'_>) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "ciba_requests", by: "id", before: "$12"),
            ", made as ( \
             insert into ciba_requests (id, auth_req_id_hash, client_id, user_id, scopes, audience, binding_message, \
                                        sealed, interval_secs, created_at, expires_at, authorization_details, \
                                        traceparent) \
             select $1, $2, $3::text, $4::uuid, $5, $6, $7, $8, $9, $10::timestamptz, $11, $14, $17 \
             where (select count(*) from ciba_requests where client_id = $3 and user_id = $4 \
                    and status = 'pending' and expires_at > $10) < $13 \
             returning id, client_id, user_id \
             ), told as ( \
                 insert into outbox (id, tenant_id, kind, client_id, user_id, request_id, created_at, due_at) \
                 select gen_random_uuid(), $16, 'ciba_mail', m.client_id, m.user_id, m.id, $10, $10 \
                 from made m join users u on u.id = m.user_id where $15::bool and u.email_verified \
             ) \
             select exists (select from made)",
        ))
        .await?;
    let row = client
        .query_one(
            &statement,
            &[
                &opaque::fresh_id(new.now),
                &db.digest(new.auth_req_id.expose()),
                &new.client_id,
                &new.user_id,
                &new.asked.scope.to_strings(),
                &new.asked.resources,
                &new.binding_message,
                &new.sealed,
                &i32::try_from(new.interval_secs).unwrap_or(i32::MAX),
                &new.now.system_time(),
                &new.expires_at.system_time(),
                &new.now.plus_secs(-KEPT_SECS).system_time(),
                &MOST_PENDING,
                &new.asked.details.non_empty().map(Json),
                &(new.channel == Channel::Mail),
                &db.tenant_id(),
                &telemetry::context::current(),
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// Whom a mail about a request goes to, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    pub email: String,
    pub binding_message: Option<String>,
    pub expires_at: Timestamp,
}

/// Writes down the code that the next mail about the request carries, in place of an earlier mail's. `None`: there is
/// nothing to tell any more, or nobody.
pub async fn put_mail_code(db: &TenantDb, id: Uuid, code: &str, now: Timestamp) -> Result<Option<Addressee>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "update ciba_requests r set mail_code_hash = $2 from users u \
             where r.id = $1 and r.status = 'pending' and r.expires_at > $3 \
               and u.id = r.user_id and u.status = 'active' and u.email_verified \
             returning u.email, r.binding_message, r.expires_at",
        )
        .await?;
    let Some(row) = client.query_opt(&statement, &[&id, &db.digest(code), &now.system_time()]).await? else {
        return Ok(None);
    };
    Ok(Some(Addressee {
        email: row.try_get("email")?,
        binding_message: row.try_get("binding_message")?,
        expires_at: timestamp(&row, "expires_at")?,
    }))
}

/// The request that a mail's link names, while it waits for this very user.
pub async fn pending_by_code(
    db: &TenantDb,
    code: &str,
    user: Uuid,
    now: Timestamp,
) -> Result<Option<Pending>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select id, client_id, scopes, authorization_details, binding_message, expires_at, traceparent \
             from ciba_requests \
             where mail_code_hash = $1 and user_id = $2 and status = 'pending' and expires_at > $3",
        )
        .await?;
    let row = client.query_opt(&statement, &[&db.digest(code), &user, &now.system_time()]).await?;
    row.as_ref().map(read_pending).transpose()
}

fn read_pending(row: &tokio_postgres::Row) -> Result<Pending, DbError> {
    Ok(Pending {
        id: row.try_get("id")?,
        client_id: row.try_get("client_id")?,
        scopes: row.try_get("scopes")?,
        details: grants::authorization_details(row)?,
        binding_message: row.try_get("binding_message")?,
        expires_at: timestamp(row, "expires_at")?,
        traceparent: row.try_get("traceparent")?,
    })
}

/// What waits for a user, the oldest first.
pub async fn pending(db: &TenantDb, user: Uuid, now: Timestamp) -> Result<Vec<Pending>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select id, client_id, scopes, authorization_details, binding_message, expires_at, traceparent \
             from ciba_requests \
             where user_id = $1 and status = 'pending' and expires_at > $2 order by id limit 50",
        )
        .await?;
    let rows = client.query(&statement, &[&user, &now.system_time()]).await?;
    rows.iter().map(read_pending).collect()
}

/// The user said yes: the grant, the note that it is there, and the ping to the client, all or none. `false` when the
/// request does not wait any more, or is another user's.
pub async fn approve(db: &TenantDb, id: Uuid, approval: &Approval<'_>, now: Timestamp) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with answered as ( \
                 update ciba_requests set status = 'approved', grant_id = $3 \
                 where id = $1 and user_id = $4 and status = 'pending' and expires_at > $2 \
                 returning client_id, user_id, scopes, audience, sealed, authorization_details \
             ), granted as ( \
                 insert into grants (id, user_id, client_id, scopes, audience, auth_time, amr, created_at, expires_at, \
                                     authorization_details) \
                 select $3, user_id, client_id, scopes, audience, $5, $6, $2, $7, authorization_details from answered \
             ), told as ( \
                 insert into outbox (id, tenant_id, kind, client_id, user_id, sealed, created_at, due_at) \
                 select gen_random_uuid(), $8, 'ciba_ping', client_id, user_id, sealed, $2, $2 from answered \
                 where sealed is not null \
             ) \
             select exists (select from answered)",
        )
        .await?;
    let row = client
        .query_one(
            &statement,
            &[
                &id,
                &now.system_time(),
                &opaque::fresh_id(now),
                &approval.user_id,
                &approval.auth_time.system_time(),
                &approval.amr,
                &approval.grant_expires_at.system_time(),
                &db.tenant_id(),
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// The user said no, of which the client is told as well.
pub async fn deny(db: &TenantDb, id: Uuid, user: Uuid, now: Timestamp) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with answered as ( \
                 update ciba_requests set status = 'denied' \
                 where id = $1 and user_id = $3 and status = 'pending' and expires_at > $2 \
                 returning client_id, user_id, sealed \
             ), told as ( \
                 insert into outbox (id, tenant_id, kind, client_id, user_id, sealed, created_at, due_at) \
                 select gen_random_uuid(), $4, 'ciba_ping', client_id, user_id, sealed, $2, $2 from answered \
                 where sealed is not null \
             ) \
             select exists (select from answered)",
        )
        .await?;
    let row = client.query_one(&statement, &[&id, &now.system_time(), &user, &db.tenant_id()]).await?;
    Ok(row.try_get(0)?)
}
