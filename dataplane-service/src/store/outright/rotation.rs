//! Refresh tokens that are replaced.

use std::sync::Arc;

use oauth_core::confirmation::Confirmation;
use oauth_core::grant::StoredRefreshToken;
use oauth_core::grant::outright::Terms;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use vocab::Timestamp;

use super::{Next, OfGrant, by_number, columns_of_grant, grant_meets_the_terms, grants_that_meet_their_terms};
use crate::store::grants::{self, plain_grant_columns, timestamp};
use crate::store::refresh::{self, NewRefreshToken};
use crate::store::together::{Answer, Lanes, Question, ask, ask_alone};
use crate::store::{Connection, DbError, TenantDb};

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
            plain_grant_columns!(),
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
/// One rotation of so many sweeps, by itself, so that more goes than comes in.
const SWEEP_EVERY: u8 = 16;

/// Replaces each of many. All but whether it was rotated meanwhile is found by key first: see
/// `grants_that_meet_their_terms`.
const ROTATE_MANY: &str = concat!(
    "with found as materialized ( \
         select a.*, t.expires_at, t.confirmation, ",
    columns_of_grant!("g."),
    " from unnest($1::bytea[], $2::timestamptz[], $3::text[], $4::text[], $5::jsonb[], $6::bytea[], \
                  $7::timestamptz[], $8::jsonb[], $9::text[]) with ordinality \
           as a (old, now, client_id, resources, shown, next, idle_until, bound, successor, n) \
         cross join lateral ( \
             select t.grant_id, t.expires_at, t.confirmation from refresh_tokens t where t.token_hash = a.old offset 0 \
         ) t ",
    grants_that_meet_their_terms!(),
    " and t.expires_at > a.now and (t.confirmation is null or t.confirmation = a.shown) \
     ), taken as ( \
         update refresh_tokens t set rotated_at = f.now, successor = f.successor from found f \
         where t.token_hash = any($1) and t.token_hash = f.old and t.rotated_at is null \
         returning f.* \
     ), follows as ( \
         insert into refresh_tokens (token_hash, grant_id, created_at, expires_at, confirmation) \
         select next, grant_id, now, least(idle_until, grant_expires_at), bound from taken \
     ) select n, expires_at, confirmation, ",
    columns_of_grant!(""),
    " from taken"
);

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
    let rotation = Arc::new(Rotation {
        old: db.digest(old),
        grant: OfGrant::of(terms, now.system_time()),
        shown: terms.confirmation.map(Json),
        next: Next::of(db, next),
        successor: successor.map(str::to_owned),
    });
    let answer =
        if rotation.sweeps() { ask_alone(db, rotation.as_ref()).await } else { ask(db, Arc::clone(&rotation)).await };
    if let Answer::Known(answer) = answer {
        return answer;
    }
    let client = db.get_live().await?;
    match rotation.alone(&client).await? {
        None => refresh::find_by_digest(&client, &rotation.next.hash).await,
        found => Ok(found),
    }
}

pub(super) struct Rotation {
    old: Vec<u8>,
    grant: OfGrant,
    shown: Option<Json<Confirmation>>,
    next: Next,
    successor: Option<String>,
}

impl Rotation {
    /// A digest is as good as chance.
    fn sweeps(&self) -> bool {
        self.next.hash.first().is_some_and(|byte| byte % SWEEP_EVERY == 0)
    }

    fn as_it_was(&self, row: &Row) -> Result<StoredRefreshToken, DbError> {
        Ok(StoredRefreshToken {
            grant: grants::read_plain(row, &self.grant.client_id)?,
            expires_at: timestamp(row, "expires_at")?,
            confirmation: row.try_get::<_, Option<Json<Confirmation>>>("confirmation")?.map(|Json(bound)| bound),
            rotated_at: None,
            successor: None,
        })
    }
}

impl Question for Rotation {
    type Found = Option<StoredRefreshToken>;

    fn lanes(db: &TenantDb) -> &Lanes<Self> {
        &db.together().rotations
    }

    fn key(&self) -> &[u8] {
        &self.old
    }

    async fn alone(&self, client: &Connection) -> Result<Self::Found, DbError> {
        let statement = client.prepare_cached(if self.sweeps() { ROTATE_AND_SWEEP } else { ROTATE }).await?;
        let row = client
            .query_opt(
                &statement,
                &[
                    &self.old,
                    &self.grant.now,
                    &self.grant.client_id,
                    &self.grant.resources,
                    &self.shown,
                    &self.next.hash,
                    &self.next.idle_until,
                    &self.next.confirmation,
                    &self.successor,
                ],
            )
            .await?;
        row.as_ref().map(|row| self.as_it_was(row)).transpose()
    }

    async fn together(all: &[Arc<Self>], client: &Connection) -> Result<Vec<Self::Found>, DbError> {
        let statement = client.prepare_cached(ROTATE_MANY).await?;
        let rows = client
            .query(
                &statement,
                &[
                    &all.iter().map(|it| it.old.as_slice()).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.grant.now).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.grant.client_id.as_str()).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.grant.resources()).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.shown.as_ref()).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.next.hash.as_slice()).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.next.idle_until).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.next.confirmation.as_ref()).collect::<Vec<_>>(),
                    &all.iter().map(|it| it.successor.as_deref()).collect::<Vec<_>>(),
                ],
            )
            .await?;
        by_number(&rows, all, |row, rotation| rotation.as_it_was(row))
    }
}
