//! Sign-ins at other providers: those on their way, and as whom each provider knows a user.

use tokio_postgres::types::Json;
use uuid::Uuid;
use vocab::{Secret, Timestamp};

use super::interactions::LIFETIME_SECS;
use super::swept::swept;
use super::users::NewUser;
use crate::opaque;
use crate::store::{DbError, TenantDb};

#[derive(Clone, Copy)]
pub struct NewLogin<'a> {
    /// The browser's binding cookie.
    pub browser: &'a str,
    pub provider: &'a str,
    pub issuer: &'a str,
    pub sealed: &'a str,
    pub now: Timestamp,
}

impl std::fmt::Debug for NewLogin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewLogin(…)")
    }
}

/// What a browser comes back with, and where.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub state: &'a str,
    pub browser: &'a str,
    pub provider: &'a str,
}

impl std::fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A sign-in that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub issuer: String,
    pub sealed: String,
}

/// Stores a sign-in and returns its `state`. A few that nobody finished are swept up on the way.
pub async fn begin(db: &TenantDb, new: NewLogin<'_>) -> Result<Secret<String>, DbError> {
    let state = opaque::fresh();
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "federated_logins", by: "state_hash", before: "$6"),
            " insert into federated_logins (state_hash, browser_hash, provider, issuer, sealed, created_at, \
                                           expires_at) \
             values ($1, $2, $3, $4, $5, $6, $7)",
        ))
        .await?;
    client
        .execute(
            &statement,
            &[
                &db.digest(state.expose()),
                &db.digest(new.browser),
                &new.provider,
                &new.issuer,
                &new.sealed,
                &new.now.system_time(),
                &new.now.plus_secs(LIFETIME_SECS).system_time(),
            ],
        )
        .await?;
    Ok(state)
}

/// Takes it away: it counts once, for the browser that began it, at the address of its own provider (RFC 9700 §4.4.2.2).
pub async fn take(db: &TenantDb, key: Key<'_>, now: Timestamp) -> Result<Option<Login>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "delete from federated_logins \
             where state_hash = $1 and browser_hash = $2 and provider = $3 and expires_at > $4 \
             returning issuer, sealed",
        )
        .await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&db.digest(key.state), &db.digest(key.browser), &key.provider, &now.system_time()];
    let Some(row) = client.query_opt(&statement, &parameters).await? else { return Ok(None) };
    Ok(Some(Login { issuer: row.try_get("issuer")?, sealed: row.try_get("sealed")? }))
}

/// As whom a provider knows somebody (OIDC Core §5.7): nothing else of a person stays the same.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub issuer: &'a str,
    pub subject: &'a str,
}

/// A user that a provider has sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Active(Uuid),
    Disabled,
}

pub async fn find(db: &TenantDb, identity: Identity<'_>) -> Result<Option<Known>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select u.id, u.status = 'active' as active from federated_identities f join users u on u.id = f.user_id \
             where f.issuer = $1 and f.subject = $2",
        )
        .await?;
    let Some(row) = client.query_opt(&statement, &[&identity.issuer, &identity.subject]).await? else {
        return Ok(None);
    };
    Ok(Some(if row.try_get("active")? { Known::Active(row.try_get("id")?) } else { Known::Disabled }))
}

/// Notes that it is the active user who was seen to own this address. `None`: there is no such user.
pub async fn link(
    db: &TenantDb,
    identity: Identity<'_>,
    normalized: &str,
    now: Timestamp,
) -> Result<Option<Uuid>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "insert into federated_identities (issuer, subject, user_id, created_at) \
             select $1, $2, id, $4 from users where email_normalized = $3 and email_verified and status = 'active' \
             on conflict do nothing returning user_id",
        )
        .await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&identity.issuer, &identity.subject, &normalized, &now.system_time()];
    Ok(client.query_opt(&statement, &parameters).await?.map(|row| row.try_get(0)).transpose()?)
}

/// Makes a user who signs in nowhere but there, both or neither. `None`: the address is taken.
pub async fn create(db: &TenantDb, identity: Identity<'_>, new: &NewUser<'_>) -> Result<Option<Uuid>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "with made as ( \
                 insert into users (id, email, email_normalized, email_verified, claims, created_at, updated_at) \
                 values ($3, $4, $5, $6, $7, $8, $8) on conflict (email_normalized) do nothing returning id \
             ) \
             insert into federated_identities (issuer, subject, user_id, created_at) \
             select $1, $2, id, $8 from made returning user_id",
        )
        .await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
        &identity.issuer,
        &identity.subject,
        &new.id,
        &new.email.as_written(),
        &new.email.normalized(),
        &new.email_verified,
        &Json(new.claims),
        &new.now.system_time(),
    ];
    Ok(client.query_opt(&statement, &parameters).await?.map(|row| row.try_get(0)).transpose()?)
}
