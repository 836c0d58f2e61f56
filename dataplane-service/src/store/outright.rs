//! Using up a code or a refresh token in one round trip: one statement finds it, checks the terms under which it is sure to
//! be good, takes it and stores what follows. One commit, and of any number of requests at once one wins.
//!
//! What does not meet the terms stays as it is; the caller then finds it and decides in full ([`super::codes`],
//! [`super::refresh`]). The terms are `oauth_core`'s, and each statement says what their `are_met_by` says.
//!
//! When the connection breaks before the answer came, nobody knows whether the statement was carried out. It is then run
//! once more on another connection, and what the first run took is known by what it left.

use std::time::SystemTime;

use oauth_core::confirmation::Confirmation;
use oauth_core::grant::outright::{CodeTerms, Terms};
use oauth_core::grant::{StoredCode, StoredRefreshToken};
use oauth_core::scope::OFFLINE_ACCESS;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;
use vocab::Timestamp;

use super::codes::{self, code_columns};
use super::grants::{self, grant_columns, timestamp};
use super::refresh::{self, NewRefreshToken};
use crate::opaque;
use crate::store::{Connection, DbError, TenantDb};

/// `Terms::are_met_by`, as far as it is about the grant: with `$2` the time, `$3` the client, `$4` its resources.
macro_rules! grant_meets_the_terms {
    () => {
        "g.client_id = $3 and g.expires_at > $2 and g.revoked_at is null and u.status = 'active' \
         and g.requested_claims is null and g.authorization_details is null \
         and (g.audience = '{}' or g.audience && $4)"
    };
}

/// Replaces a refresh token.
macro_rules! rotation {
    ($swept:literal) => {
        concat!(
            "with taken as ( \
                 update refresh_tokens t set rotated_at = $2, successor = $9 \
                 from grants g join users u on u.id = g.user_id \
                 where t.token_hash = $1 and t.rotated_at is null and t.expires_at > $2 \
                   and (t.confirmation is null or t.confirmation = $5) and g.id = t.grant_id and ",
            grant_meets_the_terms!(),
            " returning t.expires_at, t.confirmation, ",
            grant_columns!(),
            "), follows as ( \
                 insert into refresh_tokens (token_hash, grant_id, created_at, expires_at, confirmation) \
                 select $6, grant_id, $2, least($7, grant_expires_at), $8 from taken \
             )",
            $swept,
            " select * from taken"
        )
    };
}

const ROTATE: &str = rotation!("");
/// The same, and some tokens of the grant go that were rotated and would have ended by now.
const ROTATE_AND_SWEEP: &str = rotation!(
    ", swept as ( \
         delete from refresh_tokens where token_hash in ( \
             select token_hash from refresh_tokens \
             where grant_id = (select grant_id from taken) and expires_at < $2 and token_hash <> $1 limit 100) \
     )"
);
/// One rotation of so many sweeps, so that more goes than comes in.
const SWEEP_EVERY: u8 = 16;

/// Replaces `old` by `next`, when that meets the terms: the token as it was found. `successor` is the new one, sealed: see
/// [`crate::successor`].
pub async fn rotate(
    db: &TenantDb,
    old: &str,
    terms: &Terms<'_>,
    next: &NewRefreshToken,
    successor: Option<&str>,
    now: Timestamp,
) -> Result<Option<StoredRefreshToken>, DbError> {
    let rotation = Rotation {
        old: db.digest(old),
        terms,
        shown: terms.confirmation.map(Json),
        next: Next::of(db, next),
        successor,
        now: now.system_time(),
    };
    let answer = rotation.run(&db.get().await?).await;
    let Err(DbError::Unavailable(_)) = answer else { return answer };
    let client = db.get_live().await?;
    match rotation.run(&client).await? {
        None => refresh::find_by_digest(&client, &rotation.next.hash).await,
        found => Ok(found),
    }
}

/// A refresh token that will follow, as parameters.
struct Next {
    hash: Vec<u8>,
    idle_until: SystemTime,
    confirmation: Option<Json<Confirmation>>,
}

impl Next {
    fn of(db: &TenantDb, new: &NewRefreshToken) -> Self {
        Self {
            hash: db.digest(new.value.expose()),
            idle_until: new.idle_until.system_time(),
            confirmation: new.confirmation(),
        }
    }

    /// A digest is as good as chance.
    fn is_time_to_sweep(&self) -> bool {
        self.hash.first().is_some_and(|byte| byte % SWEEP_EVERY == 0)
    }
}

struct Rotation<'a> {
    old: Vec<u8>,
    terms: &'a Terms<'a>,
    shown: Option<Json<Confirmation>>,
    next: Next,
    successor: Option<&'a str>,
    now: SystemTime,
}

impl Rotation<'_> {
    async fn run(&self, client: &Connection) -> Result<Option<StoredRefreshToken>, DbError> {
        let sql = if self.next.is_time_to_sweep() { ROTATE_AND_SWEEP } else { ROTATE };
        let statement = client.prepare_cached(sql).await?;
        let row = client
            .query_opt(
                &statement,
                &[
                    &self.old,
                    &self.now,
                    &self.terms.client_id,
                    &self.terms.resources,
                    &self.shown,
                    &self.next.hash,
                    &self.next.idle_until,
                    &self.next.confirmation,
                    &self.successor,
                ],
            )
            .await?;
        row.as_ref().map(as_it_was).transpose()
    }
}

fn as_it_was(row: &Row) -> Result<StoredRefreshToken, DbError> {
    Ok(StoredRefreshToken {
        grant: grants::read(row)?,
        expires_at: timestamp(row, "expires_at")?,
        confirmation: row.try_get::<_, Option<Json<Confirmation>>>("confirmation")?.map(|Json(bound)| bound),
        rotated_at: None,
        successor: None,
    })
}

/// Takes a code, when that meets the terms: the code as it was found. The refresh token is stored when the user allowed
/// `offline_access`.
pub async fn redeem(
    db: &TenantDb,
    code: &str,
    terms: &CodeTerms<'_>,
    refresh_token: Option<&NewRefreshToken>,
    now: Timestamp,
) -> Result<Option<StoredCode>, DbError> {
    let redemption = Redemption {
        code: db.digest(code),
        terms,
        key: terms.key().map(|key| key.to_string()),
        attempt: opaque::fresh_jti(),
        next: refresh_token.map(|token| Next::of(db, token)),
        now: now.system_time(),
    };
    let answer = redemption.run(&db.get().await?).await;
    let Err(DbError::Unavailable(_)) = answer else { return answer };
    let client = db.get_live().await?;
    match redemption.run(&client).await? {
        None => codes::find_taken(&client, &redemption.code, redemption.attempt).await,
        found => Ok(found),
    }
}

struct Redemption<'a> {
    code: Vec<u8>,
    terms: &'a CodeTerms<'a>,
    key: Option<String>,
    attempt: Uuid,
    next: Option<Next>,
    now: SystemTime,
}

impl Redemption<'_> {
    async fn run(&self, client: &Connection) -> Result<Option<StoredCode>, DbError> {
        let statement = client
            .prepare_cached(concat!(
                "with taken as ( \
                     update authorization_codes c set redeemed_at = $2, redeemed_by = $9 \
                     from grants g join users u on u.id = g.user_id \
                     where c.code_hash = $1 and c.redeemed_at is null and c.expires_at > $2 \
                       and c.redirect_uri = $10 and c.code_challenge is not distinct from $11 \
                       and (c.dpop_jkt is null or c.dpop_jkt = $5) and g.id = c.grant_id and ",
                grant_meets_the_terms!(),
                " returning ",
                code_columns!(),
                grant_columns!(),
                "), follows as ( \
                     insert into refresh_tokens (token_hash, grant_id, created_at, expires_at, confirmation) \
                     select $6, grant_id, $2, least($7, grant_expires_at), $8 from taken \
                     where $6::bytea is not null and $12 = any(scopes) \
                 ) select * from taken",
            ))
            .await?;
        let next = self.next.as_ref();
        let row = client
            .query_opt(
                &statement,
                &[
                    &self.code,
                    &self.now,
                    &self.terms.grant.client_id,
                    &self.terms.grant.resources,
                    &self.key,
                    &next.map(|next| next.hash.as_slice()),
                    &next.map(|next| next.idle_until),
                    &next.and_then(|next| next.confirmation.as_ref()),
                    &self.attempt,
                    &self.terms.redirect_uri,
                    &self.terms.challenge.as_ref().map(oauth_core::pkce::Challenge::as_str),
                    &OFFLINE_ACCESS,
                ],
            )
            .await?;
        row.as_ref().map(codes::read_unused).transpose()
    }
}
