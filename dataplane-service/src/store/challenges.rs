//! What authenticators were asked to sign. Each challenge belongs to what one browser holds, and to one page there; it counts
//! once.

use uuid::Uuid;
use vocab::Timestamp;

use crate::store::{DbError, TenantDb};

/// How long a person may take to find and touch the key.
pub const LIFETIME_SECS: i64 = 300;

#[derive(Clone, Copy, Debug)]
pub struct NewChallenge<'a> {
    /// Who can answer it, and where: no two challenges have the same.
    pub owner: &'a str,
    pub user_id: Uuid,
    /// What is needed to check the answer.
    pub sealed: &'a str,
    pub now: Timestamp,
}

/// Keeps it. A few that nobody answered are swept up on the way.
pub async fn put(db: &TenantDb, new: &NewChallenge<'_>) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with swept as ( \
                 delete from factor_challenges where owner_hash in ( \
                     select owner_hash from factor_challenges where expires_at < $4 limit 20 for update skip locked) \
             ) \
             insert into factor_challenges (owner_hash, user_id, sealed, expires_at) values ($1, $2, $3, $5)",
        )
        .await?;
    let (now, expires_at) = (new.now.system_time(), new.now.plus_secs(LIFETIME_SECS).system_time());
    client.execute(&statement, &[&db.digest(new.owner), &new.user_id, &new.sealed, &now, &expires_at]).await?;
    Ok(())
}

/// Of any number of requests that answer it, one gets it, however it answers (WebAuthn Level 2 §13.4.3).
pub async fn take(db: &TenantDb, owner: &str, now: Timestamp) -> Result<Option<String>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached("delete from factor_challenges where owner_hash = $1 returning sealed, expires_at > $2")
        .await?;
    let Some(row) = client.query_opt(&statement, &[&db.digest(owner), &now.system_time()]).await? else {
        return Ok(None);
    };
    let is_in_time: bool = row.try_get(1)?;
    Ok(if is_in_time { Some(row.try_get(0)?) } else { None })
}
