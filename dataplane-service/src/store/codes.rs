//! Authorization codes: made with their grant, taken once.

use std::time::SystemTime;

use oauth_core::authorization_details::AuthorizationDetails;
use oauth_core::claims_request::ClaimsRequest;
use oauth_core::confirmation::{Confirmation, Thumbprint};
use oauth_core::grant::{Grant, StoredCode};
use oauth_core::pkce::Challenge;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;
use vocab::{Secret, Timestamp};

use super::access_tokens::{Columns, store_with};
use super::grants::{self, grant_columns, timestamp};
use super::refresh::{Follows, NewRefreshToken};
use super::swept::swept;
use crate::opaque;
use crate::store::{Connection, DbError, TenantDb};

/// A grant and the code that hands it to the client.
#[derive(Debug)]
pub struct NewCode<'a> {
    pub user_id: Uuid,
    pub client_id: &'a str,
    pub sid: Option<Uuid>,
    pub scopes: Vec<String>,
    /// As the authorization request asked; empty: the client's default.
    pub audience: &'a [String],
    pub nonce: Option<&'a str>,
    /// Single claims asked for beside the scope.
    pub claims: &'a ClaimsRequest,
    /// What was allowed in detail beside the scope.
    pub details: &'a AuthorizationDetails,
    pub auth_time: Timestamp,
    pub amr: &'a [String],
    pub redirect_uri: &'a str,
    pub code_challenge: Option<&'a Challenge>,
    pub dpop_jkt: Option<Thumbprint>,
    pub now: Timestamp,
    /// When the code ends: a minute at most.
    pub expires_at: Timestamp,
    /// The end of the grant and of every token that may follow.
    pub grant_expires_at: Timestamp,
}

/// Stores a new grant with its code and returns the code, in one statement, which also notes that the session served
/// this client: it is told when the session ends. A few grants that ended, with all their
/// codes and tokens, are swept up on the way: more than come in, so that they do not pile up.
pub async fn issue(db: &TenantDb, new: &NewCode<'_>) -> Result<Secret<String>, DbError> {
    let code = opaque::fresh();
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "grants", by: "id", before: "$10"),
            ", granted as ( \
                 insert into grants (id, user_id, client_id, sid, scopes, audience, nonce, auth_time, amr, created_at, \
                                     expires_at, requested_claims, authorization_details) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $17, $18) returning id \
             ), served as ( \
                 insert into session_clients (sid, client_id) \
                 select sid, $3 from sessions where sid = $4 for key share on conflict do nothing \
             ) \
             insert into authorization_codes (code_hash, grant_id, redirect_uri, code_challenge, expires_at, dpop_jkt, \
                                              traceparent) \
             select $12, id, $13, $14, $15, $16, $19 from granted",
        ))
        .await?;
    client
        .execute(
            &statement,
            &[
                &opaque::fresh_id(new.now),
                &new.user_id,
                &new.client_id,
                &new.sid,
                &new.scopes,
                &new.audience,
                &new.nonce,
                &new.auth_time.system_time(),
                &new.amr,
                &new.now.system_time(),
                &new.grant_expires_at.system_time(),
                &db.digest(code.expose()),
                &new.redirect_uri,
                &new.code_challenge.map(Challenge::as_str),
                &new.expires_at.system_time(),
                &new.dpop_jkt.map(|key| key.to_string()),
                &(!new.claims.is_empty()).then_some(Json(new.claims)),
                &new.details.non_empty().map(Json),
                &telemetry::context::current(),
            ],
        )
        .await?;
    Ok(code)
}

/// The columns of `authorization_codes c` that [`read_unused`] wants.
macro_rules! code_columns {
    () => {
        "c.redirect_uri, c.code_challenge, c.dpop_jkt, c.expires_at, c.traceparent, "
    };
}
pub(super) use code_columns;

/// The code as it stands, with its grant. Changes nothing.
pub async fn find(db: &TenantDb, code: &str) -> Result<Option<StoredCode>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "select c.redeemed_at is not null as is_redeemed, ",
            code_columns!(),
            grant_columns!(),
            " from authorization_codes c join grants g on g.id = c.grant_id join users u on u.id = g.user_id ",
            "where c.code_hash = $1",
        ))
        .await?;
    let Some(row) = client.query_opt(&statement, &[&db.digest(code)]).await? else {
        return Ok(None);
    };
    Ok(Some(StoredCode { is_redeemed: row.try_get("is_redeemed")?, ..read_unused(&row, grants::read(&row)?)? }))
}

/// The code as it was before that attempt redeemed it, if it did.
pub(super) async fn find_taken(client: &Connection, code: &[u8], attempt: Uuid) -> Result<Option<StoredCode>, DbError> {
    let statement = client
        .prepare_cached(concat!(
            "select ",
            code_columns!(),
            grant_columns!(),
            " from authorization_codes c join grants g on g.id = c.grant_id join users u on u.id = g.user_id ",
            "where c.code_hash = $1 and c.redeemed_by = $2",
        ))
        .await?;
    let row = client.query_opt(&statement, &[&code, &attempt]).await?;
    row.as_ref().map(|row| read_unused(row, grants::read(row)?)).transpose()
}

/// A code as it is until it is redeemed.
pub(super) fn read_unused(row: &Row, grant: Grant) -> Result<StoredCode, DbError> {
    let challenge: Option<String> = row.try_get("code_challenge")?;
    let dpop_jkt: Option<String> = row.try_get("dpop_jkt")?;
    Ok(StoredCode {
        grant,
        redirect_uri: row.try_get("redirect_uri")?,
        code_challenge: challenge
            .map(|text| Challenge::stored(&text).map_err(|error| DbError::Schema(error.to_string())))
            .transpose()?,
        dpop_jkt: dpop_jkt
            .map(|text| text.parse().map_err(|_| DbError::Schema("a dpop_jkt is no thumbprint".to_owned())))
            .transpose()?,
        expires_at: timestamp(row, "expires_at")?,
        is_redeemed: false,
        traceparent: row.try_get("traceparent")?,
    })
}

/// Who got it, of those that found a code or token unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Won,
    /// Another request used it in the meantime, or the grant or user ended.
    Lost,
}

/// Takes the code and stores what follows, both or neither: one statement, one commit. Of any number of requests at once,
/// one wins: the others wait for its row lock and then find the code redeemed.
///
/// When the connection breaks before the answer came, the statement is run once more on another connection, as
/// [`super::refresh::rotate`] does; the attempt knows itself by the number that it left.
pub async fn redeem(db: &TenantDb, code: &str, follows: Follows<'_>, now: Timestamp) -> Result<Taken, DbError> {
    let redemption = Redemption {
        code: db.digest(code),
        attempt: opaque::fresh_jti(),
        next: follows.refresh_token.map(|token| db.digest(token.value.expose())),
        idle_until: follows.refresh_token.map(|token| token.idle_until.system_time()),
        confirmation: follows.refresh_token.and_then(NewRefreshToken::confirmation),
        access_token: Columns::of(db, follows.access_token),
        now: now.system_time(),
    };
    match redemption.run(&db.get().await?).await {
        Err(DbError::Unavailable(_)) => redemption.run(&db.get_live().await?).await,
        answer => answer,
    }
}

struct Redemption {
    code: Vec<u8>,
    attempt: Uuid,
    next: Option<Vec<u8>>,
    idle_until: Option<SystemTime>,
    confirmation: Option<Json<Confirmation>>,
    access_token: Columns,
    now: SystemTime,
}

impl Redemption {
    async fn run(&self, client: &Connection) -> Result<Taken, DbError> {
        let statement = client
            .prepare_cached(concat!(
                "with taken as ( \
                     update authorization_codes c set redeemed_at = $2, redeemed_by = $9 \
                     from grants g join users u on u.id = g.user_id \
                     where c.code_hash = $1 and c.redeemed_at is null \
                       and g.id = c.grant_id and g.revoked_at is null and u.status = 'active' \
                     returning c.grant_id, g.expires_at \
                 ), follows as ( \
                     insert into refresh_tokens (token_hash, grant_id, created_at, expires_at, confirmation) \
                     select $3, grant_id, $2, least($4, expires_at), $10 from taken where $3::bytea is not null \
                 ), issued as (",
                store_with!("taken", "$5", "$6", "$7", "$8"),
                ") select exists (select from taken) \
                     or exists (select from authorization_codes where code_hash = $1 and redeemed_by = $9)",
            ))
            .await?;
        let token = &self.access_token;
        let row = client
            .query_one(
                &statement,
                &[
                    &self.code,
                    &self.now,
                    &self.next,
                    &self.idle_until,
                    &token.hash,
                    &token.client_id,
                    &token.claims,
                    &token.expires_at,
                    &self.attempt,
                    &self.confirmation,
                ],
            )
            .await?;
        Ok(if row.try_get(0)? { Taken::Won } else { Taken::Lost })
    }
}

/// Uses the code up without issuing anything.
pub async fn burn(db: &TenantDb, code: &str, now: Timestamp) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached("update authorization_codes set redeemed_at = $2 where code_hash = $1 and redeemed_at is null")
        .await?;
    client.execute(&statement, &[&db.digest(code), &now.system_time()]).await?;
    Ok(())
}
