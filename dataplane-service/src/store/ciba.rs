//! Requests of clients that ask a user on another device (OIDC CIBA Core 1.0), and the user's answers.

use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::waiting::Asked;
use tokio_postgres::types::Json;
use uuid::Uuid;
use vocab::{Secret, Timestamp};

use super::grants::{self, timestamp};
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
    pub now: Timestamp,
    pub expires_at: Timestamp,
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
}

/// Of one client to one user, so that nobody is worn out.
const MOST_PENDING: i64 = 5;
/// A few that ended ten minutes ago are swept up on the way: until then a client is told that it is too late.
const KEPT_SECS: i64 = 600;

/// `false` when the user has enough requests of this client to answer already.
pub async fn begin(db: &TenantDb, new: &NewRequest<'_>) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with swept as ( \
                 delete from ciba_requests where id in ( \
                     select id from ciba_requests where expires_at < $12 limit 20 for update skip locked) \
             ) \
             insert into ciba_requests (id, auth_req_id_hash, client_id, user_id, scopes, audience, binding_message, \
                                        sealed, interval_secs, created_at, expires_at, authorization_details) \
             select $1, $2, $3::text, $4::uuid, $5, $6, $7, $8, $9, $10::timestamptz, $11, $14 \
             where (select count(*) from ciba_requests where client_id = $3 and user_id = $4 \
                    and status = 'pending' and expires_at > $10) < $13",
        )
        .await?;
    let made = client
        .execute(
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
            ],
        )
        .await?;
    Ok(made == 1)
}

/// What waits for a user, the oldest first.
pub async fn pending(db: &TenantDb, user: Uuid, now: Timestamp) -> Result<Vec<Pending>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select id, client_id, scopes, authorization_details, binding_message, expires_at from ciba_requests \
             where user_id = $1 and status = 'pending' and expires_at > $2 order by id limit 50",
        )
        .await?;
    let rows = client.query(&statement, &[&user, &now.system_time()]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Pending {
            id: row.try_get("id")?,
            client_id: row.try_get("client_id")?,
            scopes: row.try_get("scopes")?,
            details: grants::authorization_details(row)?,
            binding_message: row.try_get("binding_message")?,
            expires_at: timestamp(row, "expires_at")?,
        })
    };
    rows.iter().map(read).collect()
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
