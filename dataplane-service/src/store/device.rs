//! Devices that wait for their user (RFC 8628): a code that the device keeps, and one that the user types.

use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::waiting::{Asked, UserCode};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use vocab::{Secret, Timestamp};

use super::grants;
use super::swept::swept;
use super::waiting::Approval;
use crate::opaque;
use crate::store::{DbError, TenantDb};

#[derive(Debug)]
pub struct NewDevice<'a> {
    pub client_id: &'a str,
    pub asked: &'a Asked,
    pub interval_secs: u32,
    pub now: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug)]
pub struct Codes {
    pub device_code: Secret<String>,
    pub user_code: UserCode,
}

/// What the user is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub client_id: String,
    pub scopes: Vec<String>,
    pub details: AuthorizationDetails,
    /// Where the trace of the device's request goes on, if it is exported.
    pub traceparent: Option<String>,
}

/// How often a user code is drawn that another device has at the moment, which does not happen.
const DRAWS: usize = 4;

/// A few that ended ten minutes ago are swept up on the way: until then a device is told that it is too late.
const KEPT_SECS: i64 = 600;

pub async fn begin(db: &TenantDb, new: &NewDevice<'_>) -> Result<Codes, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "device_codes", by: "device_code_hash", before: "$9"),
            " insert into device_codes (device_code_hash, user_code_hash, client_id, scopes, audience, interval_secs, \
                                       created_at, expires_at, authorization_details, traceparent) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $10, $11) on conflict do nothing",
        ))
        .await?;
    let interval_secs = i32::try_from(new.interval_secs).unwrap_or(i32::MAX);
    for _ in 0..DRAWS {
        let codes = Codes { device_code: opaque::fresh(), user_code: opaque::fresh_user_code() };
        let made = client
            .execute(
                &statement,
                &[
                    &db.digest(codes.device_code.expose()),
                    &db.digest(codes.user_code.letters()),
                    &new.client_id,
                    &new.asked.scope.to_strings(),
                    &new.asked.resources,
                    &interval_secs,
                    &new.now.system_time(),
                    &new.expires_at.system_time(),
                    &new.now.plus_secs(-KEPT_SECS).system_time(),
                    &new.asked.details.non_empty().map(Json),
                    &telemetry::context::current(),
                ],
            )
            .await?;
        if made == 1 {
            return Ok(codes);
        }
    }
    Err(DbError::Schema("no user code is free".to_owned()))
}

fn read(row: &Row) -> Result<Pending, DbError> {
    Ok(Pending {
        client_id: row.try_get("client_id")?,
        scopes: row.try_get("scopes")?,
        details: grants::authorization_details(row)?,
        traceparent: row.try_get("traceparent")?,
    })
}

/// The device behind a code that a user typed, while it waits.
pub async fn find(db: &TenantDb, code: &UserCode, now: Timestamp) -> Result<Option<Pending>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select client_id, scopes, authorization_details, traceparent from device_codes \
             where user_code_hash = $1 and status = 'pending' and expires_at > $2",
        )
        .await?;
    let row = client.query_opt(&statement, &[&db.digest(code.letters()), &now.system_time()]).await?;
    row.as_ref().map(read).transpose()
}

/// The user said yes: the grant and the note that it is there, both or neither. `false` when the device does not wait
/// any more.
pub async fn approve(db: &TenantDb, code: &UserCode, approval: &Approval<'_>, now: Timestamp) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with answered as ( \
                 update device_codes set status = 'approved', grant_id = $3 \
                 where user_code_hash = $1 and status = 'pending' and expires_at > $2 \
                 returning client_id, scopes, audience, authorization_details \
             ), granted as ( \
                 insert into grants (id, user_id, client_id, scopes, audience, auth_time, amr, created_at, expires_at, \
                                     authorization_details) \
                 select $3, $4, client_id, scopes, audience, $5, $6, $2, $7, authorization_details from answered \
             ) \
             select exists (select from answered)",
        )
        .await?;
    let row = client
        .query_one(
            &statement,
            &[
                &db.digest(code.letters()),
                &now.system_time(),
                &opaque::fresh_id(now),
                &approval.user_id,
                &approval.auth_time.system_time(),
                &approval.amr,
                &approval.grant_expires_at.system_time(),
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// The user said no. `false` when the device does not wait any more.
pub async fn deny(db: &TenantDb, code: &UserCode, now: Timestamp) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "update device_codes set status = 'denied' \
             where user_code_hash = $1 and status = 'pending' and expires_at > $2",
        )
        .await?;
    let denied = client.execute(&statement, &[&db.digest(code.letters()), &now.system_time()]).await?;
    Ok(denied == 1)
}
