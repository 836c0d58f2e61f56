//! Authorization requests that clients pushed (RFC 9126), until the client was answered.
//!
//! The first browser that opens one has it for itself and may open it again: people reload pages (§4). Answering the client
//! uses it up, so that it leads to one answer, however often it was opened.

use oauth_core::authorize::AuthorizationRequest;
use serde_json::Value;
use tokio_postgres::types::Json;
use vocab::{Secret, Timestamp};

use super::interactions;
use super::swept::swept;
use crate::opaque;
use crate::store::{DbError, TenantDb};

/// A request that a browser has opened.
#[derive(Clone, Debug)]
pub struct Opened {
    pub request: AuthorizationRequest,
    /// Where the trace of the request that pushed it goes on, if it is exported.
    pub traceparent: Option<String>,
}

/// Keeps a request and returns what finds it. A few that nobody came for are swept up on the way, once no interaction that
/// was begun with them can be under way any more.
pub async fn keep(
    db: &TenantDb,
    request: &AuthorizationRequest,
    now: Timestamp,
    until: Timestamp,
) -> Result<Secret<String>, DbError> {
    let name = opaque::fresh();
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "pushed_requests", by: "uri_hash", before: "$6"),
            " insert into pushed_requests (uri_hash, client_id, request, created_at, expires_at, traceparent) \
             values ($1, $2, $3, $4, $5, $7)",
        ))
        .await?;
    client
        .execute(
            &statement,
            &[
                &db.digest(name.expose()),
                &request.client_id.as_str(),
                &Json(request),
                &now.system_time(),
                &until.system_time(),
                &now.plus_secs(-interactions::LIFETIME_SECS).system_time(),
                &telemetry::context::current(),
            ],
        )
        .await?;
    Ok(name)
}

/// What the browser comes with.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub name: &'a str,
    pub browser: &'a str,
}

impl std::fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The request, if it is this client's, has not ended or been answered, and no other browser has it.
pub async fn open(db: &TenantDb, key: Key<'_>, client_id: &str, now: Timestamp) -> Result<Option<Opened>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "update pushed_requests set browser_hash = $4 \
             where uri_hash = $1 and client_id = $2 and expires_at > $3 and coalesce(browser_hash, $4) = $4 \
             returning request, traceparent",
        )
        .await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&db.digest(key.name), &client_id, &now.system_time(), &db.digest(key.browser)];
    let Some(row) = client.query_opt(&statement, &parameters).await? else { return Ok(None) };
    let Json(request): Json<Value> = row.try_get("request")?;
    // One that an older build kept and this one cannot read: the client pushes another.
    let Ok(request) = serde_json::from_value(request) else { return Ok(None) };
    Ok(Some(Opened { request, traceparent: row.try_get("traceparent")? }))
}

/// Uses it up, for a client that is answered without an interaction ([`interactions::finish`] does it for the others). Of
/// any number of requests that try, one is told `true` and may answer.
pub async fn use_up(db: &TenantDb, key: Key<'_>) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement =
        client.prepare_cached("delete from pushed_requests where uri_hash = $1 and browser_hash = $2").await?;
    Ok(client.execute(&statement, &[&db.digest(key.name), &db.digest(key.browser)]).await? == 1)
}
