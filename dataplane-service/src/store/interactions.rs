//! Authorization requests on their way through sign-in and consent.
//!
//! Every look-up names the browser's binding cookie beside the id: an interaction is finished by the browser that
//! began it, or by nobody.

use oauth_core::authorize::AuthorizationRequest;
use serde_json::Value;
use tokio_postgres::types::Json;
use tracing::Span;
use uuid::Uuid;
use vocab::{Secret, Timestamp};

use super::swept::swept;
use crate::opaque;
use crate::store::{DbError, TenantDb};

/// How long a user may take.
pub const LIFETIME_SECS: i64 = 600;

#[derive(Clone, Debug)]
pub struct Interaction {
    pub request: AuthorizationRequest,
    /// The session that was begun within this interaction.
    pub authenticated_sid: Option<Uuid>,
    /// The session that the user chose within it.
    pub selected_sid: Option<Uuid>,
    /// Where the trace of the authorization request goes on, if it is exported.
    pub traceparent: Option<String>,
}

impl Interaction {
    /// A span of this step in the trace of the authorization request.
    pub fn step(&self, name: &'static str) -> Span {
        telemetry::context::next_step(name, self.traceparent.as_deref())
    }
}

/// What finds an interaction: its id, from the URL, and the browser's cookie.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub id: &'a str,
    pub browser: &'a str,
}

impl std::fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

#[derive(Clone, Copy)]
pub struct NewInteraction<'a> {
    /// The browser's binding cookie.
    pub browser: &'a str,
    pub request: &'a AuthorizationRequest,
    /// The name under which it was pushed, if it was.
    pub pushed: Option<&'a str>,
    pub now: Timestamp,
}

impl std::fmt::Debug for NewInteraction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewInteraction(…)")
    }
}

/// Stores a request and returns the id to find it by. A few that nobody finished are swept up on the way.
pub async fn begin(db: &TenantDb, new: NewInteraction<'_>) -> Result<Secret<String>, DbError> {
    let id = opaque::fresh();
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "interactions", by: "id_hash", before: "$4"),
            " insert into interactions (id_hash, browser_hash, request, created_at, expires_at, traceparent, \
                                       pushed_uri_hash) \
             values ($1, $2, $3, $4, $5, $6, $7)",
        ))
        .await?;
    client
        .execute(
            &statement,
            &[
                &db.digest(id.expose()),
                &db.digest(new.browser),
                &Json(new.request),
                &new.now.system_time(),
                &new.now.plus_secs(LIFETIME_SECS).system_time(),
                &telemetry::context::current(),
                &new.pushed.map(|name| db.digest(name)),
            ],
        )
        .await?;
    Ok(id)
}

/// The interaction, if it is this browser's and not over, nor answered by another one of the same pushed request.
pub async fn find(db: &TenantDb, key: Key<'_>, now: Timestamp) -> Result<Option<Interaction>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select request, authenticated_sid, selected_sid, traceparent from interactions \
             where id_hash = $1 and browser_hash = $2 and expires_at > $3 \
               and (pushed_uri_hash is null or exists ( \
                   select from pushed_requests p where p.uri_hash = interactions.pushed_uri_hash))",
        )
        .await?;
    let row = client.query_opt(&statement, &[&db.digest(key.id), &db.digest(key.browser), &now.system_time()]).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let Json(request): Json<Value> = row.try_get("request")?;
    // One that an older build stored and this one cannot read is over: the user begins again.
    let Ok(request) = serde_json::from_value(request) else {
        return Ok(None);
    };
    let (authenticated_sid, selected_sid) = (row.try_get("authenticated_sid")?, row.try_get("selected_sid")?);
    let traceparent = row.try_get("traceparent")?;
    Ok(Some(Interaction { request, authenticated_sid, selected_sid, traceparent }))
}

/// Notes which session was begun within the interaction.
pub async fn authenticated(db: &TenantDb, key: Key<'_>, sid: Uuid) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached("update interactions set authenticated_sid = $3 where id_hash = $1 and browser_hash = $2")
        .await?;
    client.execute(&statement, &[&db.digest(key.id), &db.digest(key.browser), &sid]).await?;
    Ok(())
}

/// Notes which session the user chose within the interaction.
pub async fn selected(db: &TenantDb, key: Key<'_>, sid: Uuid) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached("update interactions set selected_sid = $3 where id_hash = $1 and browser_hash = $2")
        .await?;
    client.execute(&statement, &[&db.digest(key.id), &db.digest(key.browser), &sid]).await?;
    Ok(())
}

/// Ends the interaction, and uses up the pushed request that it is of. Of any number of requests that try, with this or
/// another interaction of the same pushed request, one is told `true` and may answer the client.
pub async fn finish(db: &TenantDb, key: Key<'_>) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with gone as ( \
                 delete from interactions where id_hash = $1 and browser_hash = $2 returning pushed_uri_hash \
             ), used as ( \
                 delete from pushed_requests where uri_hash in (select pushed_uri_hash from gone) returning 1 \
             ) \
             select pushed_uri_hash is null or exists (select from used) from gone",
        )
        .await?;
    let row = client.query_opt(&statement, &[&db.digest(key.id), &db.digest(key.browser)]).await?;
    row.map_or(Ok(false), |row| Ok(row.try_get(0)?))
}
