//! Refresh tokens: each is used once and replaced.

use oauth_core::confirmation::Confirmation;
use oauth_core::grant::StoredRefreshToken;
use tokio_postgres::types::Json;
use vocab::{Secret, Timestamp};

use super::codes::Taken;
use super::grants::{self, grant_columns, timestamp};
use crate::store::{Connection, DbError, TenantDb};

/// The refresh token that will be stored if the request succeeds. Its absolute end is its grant's.
#[derive(Debug)]
pub struct NewRefreshToken {
    pub value: Secret<String>,
    pub idle_until: Timestamp,
    pub confirmation: Option<Confirmation>,
}

impl NewRefreshToken {
    pub(super) fn confirmation(&self) -> Option<Json<Confirmation>> {
        self.confirmation.map(Json)
    }
}

/// The token as it stands, with its grant. Changes nothing.
pub async fn find(db: &TenantDb, token: &str) -> Result<Option<StoredRefreshToken>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "select t.expires_at, t.confirmation, t.rotated_at is not null as is_rotated, ",
            grant_columns!(),
            " from refresh_tokens t join grants g on g.id = t.grant_id join users u on u.id = g.user_id ",
            "where t.token_hash = $1",
        ))
        .await?;
    let Some(row) = client.query_opt(&statement, &[&db.digest(token)]).await? else {
        return Ok(None);
    };
    Ok(Some(StoredRefreshToken {
        grant: grants::read(&row)?,
        expires_at: timestamp(&row, "expires_at")?,
        confirmation: row.try_get::<_, Option<Json<Confirmation>>>("confirmation")?.map(|Json(bound)| bound),
        is_rotated: row.try_get("is_rotated")?,
    }))
}

/// Replaces `old` by `next`, both or neither: one statement, one commit. Of any number of requests at once, one wins.
///
/// A rotated token is kept while it would have been good, to know it when it comes again; a few older ones of the grant
/// are swept up on the way.
///
/// When the connection breaks before the answer came, nobody knows whether the token was rotated. The statement is
/// then run once more on another connection; it knows its own first run by the token that it stored.
pub async fn rotate(db: &TenantDb, old: &str, next: &NewRefreshToken, now: Timestamp) -> Result<Taken, DbError> {
    let hashes = [db.digest(old), db.digest(next.value.expose())];
    match try_rotate(&db.get().await?, &hashes, next, now).await {
        Err(DbError::Unavailable(_)) => try_rotate(&db.get_live().await?, &hashes, next, now).await,
        answer => answer,
    }
}

async fn try_rotate(
    client: &Connection,
    [old, next]: &[Vec<u8>; 2],
    successor: &NewRefreshToken,
    now: Timestamp,
) -> Result<Taken, DbError> {
    let statement = client
        .prepare_cached(
            "with rotated as ( \
                 update refresh_tokens t set rotated_at = $2 \
                 from grants g join users u on u.id = g.user_id \
                 where t.token_hash = $1 and t.rotated_at is null \
                   and g.id = t.grant_id and g.revoked_at is null and u.status = 'active' \
                 returning t.grant_id, g.expires_at \
             ), follows as ( \
                 insert into refresh_tokens (token_hash, grant_id, created_at, expires_at, confirmation) \
                 select $3, grant_id, $2, least($4, expires_at), $5 from rotated \
             ), swept as ( \
                 delete from refresh_tokens where token_hash in ( \
                     select token_hash from refresh_tokens \
                     where grant_id = (select grant_id from rotated) and expires_at < $2 and token_hash <> $1 limit 20) \
             ) \
             select exists (select from rotated) or exists (select from refresh_tokens where token_hash = $3)",
        )
        .await?;
    let idle_end = successor.idle_until.system_time();
    let row =
        client.query_one(&statement, &[&old, &now.system_time(), &next, &idle_end, &successor.confirmation()]).await?;
    Ok(if row.try_get(0)? { Taken::Won } else { Taken::Lost })
}
