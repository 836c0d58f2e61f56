//! Refresh tokens: each is used once and replaced.

use std::time::SystemTime;

use oauth_core::confirmation::Confirmation;
use oauth_core::grant::StoredRefreshToken;
use tokio_postgres::types::Json;
use vocab::{Secret, Timestamp};

use super::access_tokens::{Columns, NewAccessToken, store_with};
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

/// What is stored when a code or a refresh token is used up: all of it, or nothing is used up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Follows<'a> {
    pub refresh_token: Option<&'a NewRefreshToken>,
    /// When it is opaque.
    pub access_token: Option<&'a NewAccessToken>,
    /// The new refresh token, sealed for who shows the old one again: see [`crate::successor`].
    pub successor: Option<&'a str>,
}

impl<'a> Follows<'a> {
    /// A refresh token alone.
    pub fn refresh_token(token: &'a NewRefreshToken) -> Self {
        Self { refresh_token: Some(token), ..Self::default() }
    }
}

/// The token as it stands, with its grant. Changes nothing.
pub async fn find(db: &TenantDb, token: &str) -> Result<Option<StoredRefreshToken>, DbError> {
    find_by_digest(&db.get().await?, &db.digest(token)).await
}

pub(super) async fn find_by_digest(client: &Connection, digest: &[u8]) -> Result<Option<StoredRefreshToken>, DbError> {
    let statement = client
        .prepare_cached(concat!(
            "select t.expires_at, t.confirmation, t.rotated_at, t.successor, ",
            grant_columns!(),
            " from refresh_tokens t join grants g on g.id = t.grant_id join users u on u.id = g.user_id ",
            "where t.token_hash = $1",
        ))
        .await?;
    let Some(row) = client.query_opt(&statement, &[&digest]).await? else {
        return Ok(None);
    };
    Ok(Some(StoredRefreshToken {
        grant: grants::read(&row)?,
        expires_at: timestamp(&row, "expires_at")?,
        confirmation: row.try_get::<_, Option<Json<Confirmation>>>("confirmation")?.map(|Json(bound)| bound),
        rotated_at: row.try_get::<_, Option<SystemTime>>("rotated_at")?.map(Timestamp::from),
        successor: row.try_get("successor")?,
    }))
}

/// Replaces `old` by what follows, both or neither: one statement, one commit. Of any number of requests at once, one
/// wins.
///
/// A rotated token is kept while it would have been good, to know it when it comes again; a few older ones of the grant
/// are swept up on the way.
///
/// When the connection breaks before the answer came, nobody knows whether the token was rotated. The statement is
/// then run once more on another connection; it knows its own first run by the token that it stored.
pub async fn rotate(db: &TenantDb, old: &str, follows: Follows<'_>, now: Timestamp) -> Result<Taken, DbError> {
    let rotation = Rotation {
        old: db.digest(old),
        next: follows.refresh_token.map(|next| db.digest(next.value.expose())),
        idle_until: follows.refresh_token.map(|next| next.idle_until.system_time()),
        confirmation: follows.refresh_token.and_then(NewRefreshToken::confirmation),
        access_token: Columns::of(db, follows.access_token),
        successor: follows.successor,
        now: now.system_time(),
    };
    match rotation.run(&db.get().await?).await {
        Err(DbError::Unavailable(_)) => rotation.run(&db.get_live().await?).await,
        answer => answer,
    }
}

struct Rotation<'a> {
    old: Vec<u8>,
    next: Option<Vec<u8>>,
    idle_until: Option<SystemTime>,
    confirmation: Option<Json<Confirmation>>,
    access_token: Columns,
    successor: Option<&'a str>,
    now: SystemTime,
}

impl Rotation<'_> {
    async fn run(&self, client: &Connection) -> Result<Taken, DbError> {
        let statement = client
            .prepare_cached(concat!(
                "with rotated as ( \
                     update refresh_tokens t set rotated_at = $2, successor = $5 \
                     from grants g join users u on u.id = g.user_id \
                     where t.token_hash = $1 and t.rotated_at is null \
                       and g.id = t.grant_id and g.revoked_at is null and u.status = 'active' \
                     returning t.grant_id, g.expires_at \
                 ), follows as ( \
                     insert into refresh_tokens (token_hash, grant_id, created_at, expires_at, confirmation) \
                     select $3, grant_id, $2, least($4, expires_at), $10 from rotated where $3::bytea is not null \
                 ), issued as (",
                store_with!("rotated", "$6", "$7", "$8", "$9"),
                "), swept as ( \
                     delete from refresh_tokens where token_hash in ( \
                         select token_hash from refresh_tokens \
                         where grant_id = (select grant_id from rotated) and expires_at < $2 and token_hash <> $1 limit 20) \
                 ) \
                 select exists (select from rotated) or exists (select from refresh_tokens where token_hash = $3)",
            ))
            .await?;
        let token = &self.access_token;
        let row = client
            .query_one(
                &statement,
                &[
                    &self.old,
                    &self.now,
                    &self.next,
                    &self.idle_until,
                    &self.successor,
                    &token.hash,
                    &token.client_id,
                    &token.claims,
                    &token.expires_at,
                    &self.confirmation,
                ],
            )
            .await?;
        Ok(if row.try_get(0)? { Taken::Won } else { Taken::Lost })
    }
}

/// Lets a token that is used and not replaced live on, and stores what follows. `Lost`: it ended in the meantime.
pub async fn keep(
    db: &TenantDb,
    token: &str,
    idle_until: Timestamp,
    access_token: Option<&NewAccessToken>,
    now: Timestamp,
) -> Result<Taken, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with used as ( \
                 update refresh_tokens t set expires_at = greatest(t.expires_at, least($3, g.expires_at)) \
                 from grants g join users u on u.id = g.user_id \
                 where t.token_hash = $1 and t.rotated_at is null and t.expires_at > $2 \
                   and g.id = t.grant_id and g.revoked_at is null and u.status = 'active' \
                 returning t.grant_id \
             ), issued as (",
            store_with!("used", "$4", "$5", "$6", "$7"),
            ") select exists (select from used)",
        ))
        .await?;
    let new = Columns::of(db, access_token);
    let (now, idle_until) = (now.system_time(), idle_until.system_time());
    let row = client
        .query_one(
            &statement,
            &[&db.digest(token), &now, &idle_until, &new.hash, &new.client_id, &new.claims, &new.expires_at],
        )
        .await?;
    Ok(if row.try_get(0)? { Taken::Won } else { Taken::Lost })
}
