//! The people of a tenant.

use oauth_core::userinfo::User;
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;
use vocab::Timestamp;

use super::grants::timestamp;
use crate::email::Email;
use crate::password::PasswordHash;
use crate::store::{DbError, TenantDb};

/// A user with what the owner of the tenant sees beside the claims.
#[derive(Clone, Debug)]
pub struct UserRow {
    pub user: User,
    pub status: String,
    pub created_at: Timestamp,
}

#[derive(Debug)]
pub struct NewUser<'a> {
    pub id: Uuid,
    pub email: &'a Email,
    pub email_verified: bool,
    pub password_hash: Option<&'a PasswordHash>,
    pub claims: &'a Map<String, Value>,
    pub now: Timestamp,
}

/// What sign-in compares. A disabled user is not found: from outside it is as if there were none.
#[derive(Debug)]
pub struct SignIn {
    pub id: Uuid,
    pub password_hash: Option<PasswordHash>,
}

macro_rules! user_columns {
    () => {
        "id, email, email_verified, claims, status, created_at, updated_at"
    };
}

fn read(row: &Row) -> Result<UserRow, DbError> {
    let Json(claims): Json<Value> = row.try_get("claims")?;
    Ok(UserRow {
        user: User {
            id: row.try_get("id")?,
            email: row.try_get("email")?,
            email_verified: row.try_get("email_verified")?,
            claims: claims.as_object().cloned().unwrap_or_default(),
            updated_at: timestamp(row, "updated_at")?,
        },
        status: row.try_get("status")?,
        created_at: timestamp(row, "created_at")?,
    })
}

/// Stores a new user; `None` when the address is taken.
pub async fn create(db: &TenantDb, new: &NewUser<'_>) -> Result<Option<UserRow>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "insert into users (id, email, email_normalized, email_verified, password_hash, claims, created_at, updated_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $7) on conflict (email_normalized) do nothing returning ",
            user_columns!(),
        ))
        .await?;
    let row = client
        .query_opt(
            &statement,
            &[
                &new.id,
                &new.email.as_written(),
                &new.email.normalized(),
                &new.email_verified,
                &new.password_hash.map(PasswordHash::as_str),
                &Json(new.claims),
                &new.now.system_time(),
            ],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

pub async fn find(db: &TenantDb, id: Uuid) -> Result<Option<UserRow>, DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached(concat!("select ", user_columns!(), " from users where id = $1")).await?;
    client.query_opt(&statement, &[&id]).await?.as_ref().map(read).transpose()
}

/// Users in the order of their ids, which is the order they were made in, after `after`.
pub async fn list(db: &TenantDb, after: Option<Uuid>, limit: i64) -> Result<Vec<UserRow>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "select ",
            user_columns!(),
            " from users where $1::uuid is null or id > $1 order by id limit $2",
        ))
        .await?;
    client.query(&statement, &[&after, &limit]).await?.iter().map(read).collect()
}

/// The active user with this address.
pub async fn find_for_sign_in(db: &TenantDb, email: &Email) -> Result<Option<SignIn>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached("select id, password_hash from users where email_normalized = $1 and status = 'active'")
        .await?;
    let Some(row) = client.query_opt(&statement, &[&email.normalized()]).await? else {
        return Ok(None);
    };
    let hash: Option<String> = row.try_get("password_hash")?;
    Ok(Some(SignIn { id: row.try_get("id")?, password_hash: hash.map(PasswordHash::stored) }))
}

/// The user of this id, while active.
pub async fn find_active(db: &TenantDb, id: Uuid) -> Result<Option<Uuid>, DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached("select id from users where id = $1 and status = 'active'").await?;
    Ok(client.query_opt(&statement, &[&id]).await?.map(|row| row.try_get(0)).transpose()?)
}

/// The active user who was seen to own this address.
pub async fn find_verified(db: &TenantDb, email: &Email) -> Result<Option<Uuid>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached("select id from users where email_normalized = $1 and email_verified and status = 'active'")
        .await?;
    Ok(client.query_opt(&statement, &[&email.normalized()]).await?.map(|row| row.try_get(0)).transpose()?)
}
