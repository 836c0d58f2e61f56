//! Opaque access tokens: found by their digest, and said of them what a JWT in their place would say.

use serde_json::{Map, Value};
use tokio_postgres::types::Json;
use uuid::Uuid;
use vocab::{Secret, Timestamp};

use super::swept::swept;
use crate::store::{DbError, TenantDb};

/// An access token that means something only here.
#[derive(Debug)]
pub struct NewAccessToken {
    pub value: Secret<String>,
    /// `None`: of a client on its own behalf.
    pub grant: Option<Uuid>,
    pub client_id: String,
    pub claims: Value,
    pub expires_at: Timestamp,
}

/// The parameters `$n` to `$n+3` that [`store_with`] wants.
pub(super) struct Columns {
    pub hash: Option<Vec<u8>>,
    pub client_id: Option<String>,
    pub claims: Option<Json<Value>>,
    pub expires_at: Option<std::time::SystemTime>,
}

impl Columns {
    pub(super) fn of(db: &TenantDb, new: Option<&NewAccessToken>) -> Self {
        Self {
            hash: new.map(|token| db.digest(token.value.expose())),
            client_id: new.map(|token| token.client_id.clone()),
            claims: new.map(|token| Json(token.claims.clone())),
            expires_at: new.map(|token| token.expires_at.system_time()),
        }
    }
}

/// A part of a statement that uses something up: stores the token with it, both or neither.
macro_rules! store_with {
    ($of:literal, $hash:literal, $client:literal, $claims:literal, $expires:literal) => {
        concat!(
            "insert into access_tokens (token_hash, grant_id, client_id, claims, expires_at) select ",
            $hash,
            "::bytea, grant_id, ",
            $client,
            "::text, ",
            $claims,
            "::jsonb, ",
            $expires,
            "::timestamptz from ",
            $of,
            " where ",
            $hash,
            "::bytea is not null"
        )
    };
}
pub(super) use store_with;

/// Stores a token on its own: one for which nothing is used up. A few that ended are swept up on the way.
pub async fn store(db: &TenantDb, new: &NewAccessToken, now: Timestamp) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "access_tokens", by: "token_hash", before: "$6"),
            " insert into access_tokens (token_hash, grant_id, client_id, claims, expires_at) \
             values ($1, $2, $3, $4, $5)",
        ))
        .await?;
    client
        .execute(
            &statement,
            &[
                &db.digest(new.value.expose()),
                &new.grant,
                &new.client_id,
                &Json(&new.claims),
                &new.expires_at.system_time(),
                &now.system_time(),
            ],
        )
        .await?;
    Ok(())
}

/// What a token says, until its end.
pub async fn find(db: &TenantDb, token: &str, now: Timestamp) -> Result<Option<Map<String, Value>>, DbError> {
    let client = db.get().await?;
    let statement =
        client.prepare_cached("select claims from access_tokens where token_hash = $1 and expires_at > $2").await?;
    let Some(row) = client.query_opt(&statement, &[&db.digest(token), &now.system_time()]).await? else {
        return Ok(None);
    };
    let Json(claims): Json<Value> = row.try_get(0)?;
    match claims {
        Value::Object(claims) => Ok(Some(claims)),
        _ => Err(DbError::Schema("an access token's claims are no object".to_owned())),
    }
}

/// Revokes a token: it is unknown from now on, at every pod.
pub async fn remove(db: &TenantDb, token: &str) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached("delete from access_tokens where token_hash = $1").await?;
    client.execute(&statement, &[&db.digest(token)]).await?;
    Ok(())
}
