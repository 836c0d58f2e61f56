//! What a user allowed a client, remembered so that it is not asked again.

use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::grant::RevokedBecause;
use oauth_core::scope::ScopeSet;
use tokio_postgres::types::Json;
use uuid::Uuid;
use vocab::Timestamp;

use super::grants;
use crate::store::{DbError, TenantDb};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    pub scopes: ScopeSet,
    /// Of types whose consent is remembered.
    pub details: AuthorizationDetails,
}

/// What the user allowed the client so far.
pub async fn find(db: &TenantDb, user: Uuid, client_id: &str) -> Result<Consent, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached("select scopes, authorization_details from consents where user_id = $1 and client_id = $2")
        .await?;
    let Some(row) = client.query_opt(&statement, &[&user, &client_id]).await? else {
        return Ok(Consent::default());
    };
    let scopes: Vec<String> = row.try_get("scopes")?;
    Ok(Consent {
        scopes: scopes.into_iter().filter_map(|name| name.try_into().ok()).collect(),
        details: grants::authorization_details(&row)?,
    })
}

/// Adds to what the user allowed.
pub async fn remember(
    db: &TenantDb,
    user: Uuid,
    client_id: &str,
    consent: &Consent,
    now: Timestamp,
) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "insert into consents (user_id, client_id, scopes, updated_at, authorization_details) \
             values ($1, $2, $3, $4, $5) \
             on conflict (user_id, client_id) do update set \
                 scopes = array(select distinct s from unnest(consents.scopes || excluded.scopes) s order by s), \
                 authorization_details = ( \
                     select jsonb_agg(distinct d) from jsonb_array_elements( \
                         coalesce(consents.authorization_details, '[]') || coalesce(excluded.authorization_details, '[]')) d), \
                 updated_at = excluded.updated_at",
        )
        .await?;
    let details = consent.details.non_empty().map(Json);
    client
        .execute(&statement, &[&user, &client_id, &consent.scopes.to_strings(), &now.system_time(), &details])
        .await?;
    Ok(())
}

/// What one application has of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub client_id: String,
    pub scopes: Vec<String>,
    /// When the user last allowed it something.
    pub since: Timestamp,
}

/// Every application that a user allowed something which still holds, asked or not.
pub async fn list(db: &TenantDb, user: Uuid, now: Timestamp) -> Result<Vec<Access>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with access as ( \
                 select client_id, scopes, updated_at as since from consents where user_id = $1 \
                 union all \
                 select client_id, scopes, created_at from grants \
                 where user_id = $1 and revoked_at is null and expires_at > $2 \
             ) \
             select a.client_id, array_remove(array_agg(distinct s.name), null) as scopes, max(a.since) as since \
             from access a left join lateral unnest(a.scopes) s(name) on true \
             group by a.client_id order by a.client_id limit 200",
        )
        .await?;
    let rows = client.query(&statement, &[&user, &now.system_time()]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Access {
            client_id: row.try_get("client_id")?,
            scopes: row.try_get("scopes")?,
            since: grants::timestamp(row, "since")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Takes back whatever a user allowed a client: what is remembered, every grant, and with them every token. `false`:
/// there was nothing.
pub async fn revoke(db: &TenantDb, user: Uuid, client_id: &str, now: Timestamp) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with forgotten as ( \
                 delete from consents where user_id = $1 and client_id = $2 returning client_id \
             ), revoked as ( \
                 update grants set revoked_at = $3, revoked_reason = $4 \
                 where user_id = $1 and client_id = $2 and revoked_at is null and expires_at > $3 returning client_id \
             ) \
             select exists (select from forgotten union all select from revoked)",
        )
        .await?;
    let reason = RevokedBecause::ConsentRevoked.as_str();
    let row = client.query_one(&statement, &[&user, &client_id, &now.system_time(), &reason]).await?;
    Ok(row.try_get(0)?)
}
