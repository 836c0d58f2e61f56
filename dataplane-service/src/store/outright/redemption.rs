//! Codes that are redeemed.

use std::sync::Arc;

use oauth_core::grant::StoredCode;
use oauth_core::grant::outright::CodeTerms;
use oauth_core::pkce::Challenge;
use oauth_core::scope::OFFLINE_ACCESS;
use tokio_postgres::Row;
use uuid::Uuid;
use vocab::Timestamp;

use super::{Next, OfGrant, by_number, columns_of_grant, grant_meets_the_terms, grants_that_meet_their_terms};
use crate::opaque;
use crate::store::codes::{self, code_columns};
use crate::store::grants::{self, plain_grant_columns};
use crate::store::refresh::NewRefreshToken;
use crate::store::together::{Answer, Lanes, Question, ask};
use crate::store::{Connection, DbError, TenantDb};

const REDEEM: &str = concat!(
    "with taken as ( \
         update authorization_codes c set redeemed_at = $2, redeemed_by = $9 \
         from grants g join users u on u.id = g.user_id \
         where c.code_hash = $1 and c.redeemed_at is null and c.expires_at > $2 \
           and c.redirect_uri = $10 and c.code_challenge is not distinct from $11 \
           and (c.dpop_jkt is null or c.dpop_jkt = $5) and g.id = c.grant_id and ",
    grant_meets_the_terms!(),
    " returning ",
    code_columns!(),
    plain_grant_columns!(),
    "), follows as ( \
         insert into refresh_tokens (token_hash, grant_id, created_at, expires_at, confirmation) \
         select $6, grant_id, $2, least($7, grant_expires_at), $8 from taken \
         where $6::bytea is not null and $12 = any(scopes) \
     ) select * from taken"
);

const REDEEM_MANY: &str = concat!(
    "with found as materialized ( \
         select a.*, ",
    columns_of_grant!("g."),
    " \
         from unnest($1::bytea[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::bytea[], \
                     $7::timestamptz[], $8::jsonb[], $9::uuid[], $10::text[], $11::text[]) with ordinality \
             as a (code, now, client_id, resources, key, next, idle_until, bound, attempt, uri, challenge, n) \
         cross join lateral (select c.grant_id from authorization_codes c where c.code_hash = a.code offset 0) t ",
    grants_that_meet_their_terms!(),
    "), taken as ( \
         update authorization_codes c set redeemed_at = f.now, redeemed_by = f.attempt from found f \
         where c.code_hash = any($1) and c.code_hash = f.code and c.redeemed_at is null and c.expires_at > f.now \
           and c.redirect_uri = f.uri and c.code_challenge is not distinct from f.challenge \
           and (c.dpop_jkt is null or c.dpop_jkt = f.key) \
         returning ",
    code_columns!(),
    "f.* \
     ), follows as ( \
         insert into refresh_tokens (token_hash, grant_id, created_at, expires_at, confirmation) \
         select next, grant_id, now, least(idle_until, grant_expires_at), bound from taken \
         where next is not null and $12 = any(scopes) \
     ) select n, redirect_uri, code_challenge, dpop_jkt, expires_at, traceparent, ",
    columns_of_grant!(""),
    " from taken"
);

/// Takes a code, when that meets the terms: the code as it was found. The refresh token is stored when the user allowed
/// `offline_access`.
pub async fn redeem(
    db: &TenantDb,
    code: &str,
    terms: &CodeTerms<'_>,
    refresh_token: Option<&NewRefreshToken>,
    now: Timestamp,
) -> Result<Option<StoredCode>, DbError> {
    let redemption = Arc::new(Redemption {
        code: db.digest(code),
        grant: OfGrant::of(&terms.grant, now.system_time()),
        key: terms.key().map(|key| key.to_string()),
        redirect_uri: terms.redirect_uri.to_owned(),
        challenge: terms.challenge.clone(),
        attempt: opaque::fresh_jti(),
        next: refresh_token.map(|token| Next::of(db, token)),
    });
    if let Answer::Known(answer) = ask(db, Arc::clone(&redemption)).await {
        return answer;
    }
    let client = db.get_live().await?;
    match redemption.alone(&client).await? {
        None => codes::find_taken(&client, &redemption.code, redemption.attempt).await,
        found => Ok(found),
    }
}

pub(super) struct Redemption {
    code: Vec<u8>,
    grant: OfGrant,
    key: Option<String>,
    redirect_uri: String,
    challenge: Option<Challenge>,
    attempt: Uuid,
    next: Option<Next>,
}

impl Redemption {
    fn challenge(&self) -> Option<&str> {
        self.challenge.as_ref().map(Challenge::as_str)
    }

    fn as_it_was(&self, row: &Row) -> Result<StoredCode, DbError> {
        codes::read_unused(row, grants::read_plain(row, &self.grant.client_id)?)
    }
}

impl Question for Redemption {
    type Found = Option<StoredCode>;

    fn lanes(db: &TenantDb) -> &Lanes<Self> {
        &db.together().redemptions
    }

    fn key(&self) -> &[u8] {
        &self.code
    }

    async fn alone(&self, client: &Connection) -> Result<Self::Found, DbError> {
        let statement = client.prepare_cached(REDEEM).await?;
        let next = self.next.as_ref();
        let row = client
            .query_opt(
                &statement,
                &[
                    &self.code,
                    &self.grant.now,
                    &self.grant.client_id,
                    &self.grant.resources,
                    &self.key,
                    &next.map(|next| next.hash.as_slice()),
                    &next.map(|next| next.idle_until),
                    &next.and_then(|next| next.confirmation.as_ref()),
                    &self.attempt,
                    &self.redirect_uri,
                    &self.challenge(),
                    &OFFLINE_ACCESS,
                ],
            )
            .await?;
        row.as_ref().map(|row| self.as_it_was(row)).transpose()
    }

    async fn together(all: &[Arc<Self>], client: &Connection) -> Result<Vec<Self::Found>, DbError> {
        let statement = client.prepare_cached(REDEEM_MANY).await?;
        let nexts = || all.iter().map(|it| it.next.as_ref());
        let rows = client
            .query(
                &statement,
                &[
                    &all.iter().map(|it| it.code.as_slice()).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.grant.now).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.grant.client_id.as_str()).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.grant.resources()).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.key.as_deref()).collect::<Vec<_>>(),
                    &nexts().map(|next| next.map(|next| next.hash.as_slice())).collect::<Vec<_>>(),
                    &nexts().map(|next| next.map(|next| next.idle_until)).collect::<Vec<_>>(),
                    &nexts().map(|next| next.and_then(|next| next.confirmation.as_ref())).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.attempt).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.redirect_uri.as_str()).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.challenge()).collect::<Vec<_>>(),
                    &OFFLINE_ACCESS,
                ],
            )
            .await?;
        by_number(&rows, all, |row, redemption| redemption.as_it_was(row))
    }
}
