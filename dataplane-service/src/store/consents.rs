//! What a user allowed a client, remembered so that it is not asked again.

use oauth_core::scope::ScopeSet;
use uuid::Uuid;
use vocab::Timestamp;

use crate::store::{DbError, TenantDb};

/// The scopes that the user allowed the client so far.
pub async fn find(db: &TenantDb, user: Uuid, client_id: &str) -> Result<ScopeSet, DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached("select scopes from consents where user_id = $1 and client_id = $2").await?;
    let Some(row) = client.query_opt(&statement, &[&user, &client_id]).await? else {
        return Ok(ScopeSet::default());
    };
    let scopes: Vec<String> = row.try_get("scopes")?;
    Ok(scopes.into_iter().filter_map(|name| name.try_into().ok()).collect())
}

/// Adds `scopes` to what the user allowed.
pub async fn remember(
    db: &TenantDb,
    user: Uuid,
    client_id: &str,
    scopes: &ScopeSet,
    now: Timestamp,
) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "insert into consents (user_id, client_id, scopes, updated_at) values ($1, $2, $3, $4) \
             on conflict (user_id, client_id) do update set \
                 scopes = (select array_agg(distinct s order by s) from unnest(consents.scopes || excluded.scopes) s), \
                 updated_at = excluded.updated_at",
        )
        .await?;
    client.execute(&statement, &[&user, &client_id, &scopes.to_strings(), &now.system_time()]).await?;
    Ok(())
}
