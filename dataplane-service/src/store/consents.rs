//! What a user allowed a client, remembered so that it is not asked again.

use oauth_core::authorization_details::AuthorizationDetails;
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
