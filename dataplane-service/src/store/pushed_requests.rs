//! Authorization requests that clients pushed (RFC 9126), until the browser comes with their name.

use oauth_core::authorize::AuthorizationRequest;
use serde_json::Value;
use tokio_postgres::types::Json;
use vocab::{Secret, Timestamp};

use crate::opaque;
use crate::store::{DbError, TenantDb};

/// Keeps a request and returns what finds it. A few that nobody came for are swept up on the way.
pub async fn keep(
    db: &TenantDb,
    request: &AuthorizationRequest,
    now: Timestamp,
    until: Timestamp,
) -> Result<Secret<String>, DbError> {
    let name = opaque::fresh();
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with swept as ( \
                 delete from pushed_requests where uri_hash in ( \
                     select uri_hash from pushed_requests where expires_at < $4 limit 20 for update skip locked) \
             ) \
             insert into pushed_requests (uri_hash, client_id, request, created_at, expires_at) \
             values ($1, $2, $3, $4, $5)",
        )
        .await?;
    let (hash, client_id) = (db.digest(name.expose()), request.client_id.as_str());
    client.execute(&statement, &[&hash, &client_id, &Json(request), &now.system_time(), &until.system_time()]).await?;
    Ok(name)
}

/// Takes it away, if it is this client's and has not ended: it is good once (§7.3).
pub async fn take(
    db: &TenantDb,
    name: &str,
    client_id: &str,
    now: Timestamp,
) -> Result<Option<AuthorizationRequest>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "delete from pushed_requests where uri_hash = $1 and client_id = $2 and expires_at > $3 returning request",
        )
        .await?;
    let row = client.query_opt(&statement, &[&db.digest(name), &client_id, &now.system_time()]).await?;
    let Some(row) = row else { return Ok(None) };
    let Json(request): Json<Value> = row.try_get("request")?;
    // One that an older build kept and this one cannot read: the client pushes another.
    Ok(serde_json::from_value(request).ok())
}
