//! Grants: what a user allowed a client. Whatever was issued under a grant dies with it.

use std::time::SystemTime;

use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::claims_request::ClaimsRequest;
use oauth_core::grant::{Grant, RevokedBecause};
use oauth_core::scope::ScopeSet;
use oauth_core::userinfo::User;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;
use vocab::Timestamp;

use crate::store::{DbError, TenantDb};

/// The columns that [`read`] wants, of `grants g join users u`.
macro_rules! grant_columns {
    () => {
        concat!(
            crate::store::grants::plain_grant_columns!(),
            ", g.client_id, g.requested_claims, g.authorization_details, g.revoked_at is not null as is_revoked, \
             u.status = 'active' as user_is_active"
        )
    };
}
pub(super) use grant_columns;

/// The columns that [`read_plain`] wants.
macro_rules! plain_grant_columns {
    () => {
        "g.id as grant_id, g.user_id, g.sid, g.scopes, g.audience, g.nonce, g.auth_time, g.amr, \
         g.expires_at as grant_expires_at"
    };
}
pub(super) use plain_grant_columns;

pub(super) fn read(row: &Row) -> Result<Grant, DbError> {
    Ok(Grant {
        claims: requested_claims(row)?,
        details: authorization_details(row)?,
        is_revoked: row.try_get("is_revoked")?,
        user_is_active: row.try_get("user_is_active")?,
        ..read_plain(row, row.try_get("client_id")?)?
    })
}

/// A grant that the statement found to be that client's, alive, and without anything in detail.
pub(super) fn read_plain(row: &Row, client_id: &str) -> Result<Grant, DbError> {
    let scopes: Vec<&str> = row.try_get("scopes")?;
    Ok(Grant {
        id: row.try_get("grant_id")?,
        user_id: row.try_get("user_id")?,
        client_id: client_id.to_owned(),
        sid: row.try_get("sid")?,
        // What is not a scope any more (the grammar got narrower) is not one that could be used.
        scope: scopes.into_iter().filter_map(|name| name.to_owned().try_into().ok()).collect::<ScopeSet>(),
        audience: row.try_get("audience")?,
        nonce: row.try_get("nonce")?,
        claims: ClaimsRequest::default(),
        details: AuthorizationDetails::default(),
        auth_time: timestamp(row, "auth_time")?,
        amr: row.try_get("amr")?,
        expires_at: timestamp(row, "grant_expires_at")?,
        is_revoked: false,
        user_is_active: true,
    })
}

pub(super) fn timestamp(row: &Row, column: &str) -> Result<Timestamp, DbError> {
    Ok(row.try_get::<_, SystemTime>(column)?.into())
}

/// Ends a grant. The first reason stays.
pub async fn revoke(db: &TenantDb, grant: Uuid, because: RevokedBecause, now: Timestamp) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached("update grants set revoked_at = $2, revoked_reason = $3 where id = $1 and revoked_at is null")
        .await?;
    client.execute(&statement, &[&grant, &now.system_time(), &because.as_str()]).await?;
    Ok(())
}

/// A grant that no code stands for: an assertion did.
#[derive(Debug)]
pub struct NewGrant<'a> {
    pub user_id: Uuid,
    pub client_id: &'a str,
    pub scope: &'a ScopeSet,
    pub audience: &'a [String],
    pub now: Timestamp,
    pub expires_at: Timestamp,
}

/// Stores a grant on its own.
pub async fn create(db: &TenantDb, new: &NewGrant<'_>) -> Result<Grant, DbError> {
    let grant = Grant {
        id: crate::opaque::fresh_id(new.now),
        user_id: new.user_id,
        client_id: new.client_id.to_owned(),
        sid: None,
        scope: new.scope.clone(),
        audience: new.audience.to_vec(),
        nonce: None,
        claims: ClaimsRequest::default(),
        details: AuthorizationDetails::default(),
        auth_time: new.now,
        amr: Vec::new(),
        expires_at: new.expires_at,
        is_revoked: false,
        user_is_active: true,
    };
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "insert into grants (id, user_id, client_id, scopes, audience, auth_time, amr, created_at, expires_at) \
             values ($1, $2, $3, $4, $5, $6, '{}', $6, $7)",
        )
        .await?;
    client
        .execute(
            &statement,
            &[
                &grant.id,
                &grant.user_id,
                &grant.client_id,
                &grant.scope.to_strings(),
                &grant.audience,
                &new.now.system_time(),
                &new.expires_at.system_time(),
            ],
        )
        .await?;
    Ok(grant)
}

/// What a client was allowed last within a session, and still is.
pub async fn newest_of_session(
    db: &TenantDb,
    sid: Uuid,
    client_id: &str,
    now: Timestamp,
) -> Result<Option<Grant>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "select ",
            grant_columns!(),
            " from grants g join users u on u.id = g.user_id \
             where g.sid = $1 and g.client_id = $2 and g.expires_at > $3 and g.revoked_at is null \
               and u.status = 'active' \
             order by g.created_at desc limit 1",
        ))
        .await?;
    client.query_opt(&statement, &[&sid, &client_id, &now.system_time()]).await?.as_ref().map(read).transpose()
}

/// What a later build stored and this one does not understand is not released by it.
fn requested_claims(row: &Row) -> Result<ClaimsRequest, DbError> {
    let stored: Option<Json<Value>> = row.try_get("requested_claims")?;
    Ok(stored.and_then(|Json(value)| serde_json::from_value(value).ok()).unwrap_or_default())
}

/// What is not understood is not granted.
pub(super) fn authorization_details(row: &Row) -> Result<AuthorizationDetails, DbError> {
    let stored: Option<Json<Value>> = row.try_get("authorization_details")?;
    Ok(stored.and_then(|Json(value)| serde_json::from_value(value).ok()).unwrap_or_default())
}

/// Who is behind an access token, and what the grant asks for about her.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveUser {
    pub user: User,
    pub claims: ClaimsRequest,
}

/// The user behind an access token, while the grant it was issued under stands, the user is active, and the token itself
/// was not revoked.
pub async fn live_user(db: &TenantDb, grant: Uuid, jti: Uuid) -> Result<Option<LiveUser>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select u.id, u.email, u.email_verified, u.claims, u.updated_at, g.requested_claims \
             from grants g join users u on u.id = g.user_id \
             where g.id = $1 and g.revoked_at is null and u.status = 'active' \
               and not exists (select from denied_tokens d where d.jti = $2)",
        )
        .await?;
    let Some(row) = client.query_opt(&statement, &[&grant, &jti]).await? else {
        return Ok(None);
    };
    let Json(claims): Json<Value> = row.try_get("claims")?;
    let user = User {
        id: row.try_get("id")?,
        email: row.try_get("email")?,
        email_verified: row.try_get("email_verified")?,
        claims: claims.as_object().cloned().unwrap_or_default(),
        updated_at: timestamp(&row, "updated_at")?,
    };
    Ok(Some(LiveUser { user, claims: requested_claims(&row)? }))
}
