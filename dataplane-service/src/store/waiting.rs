//! Requests that wait for a user who answers elsewhere, as their clients see them: asked for, and taken once.

use oauth_core::grant::Grant;
use oauth_core::grant::outright::Terms;
use oauth_core::grant::waiting::{Answer, Code, Waiting};
use oauth_core::scope::OFFLINE_ACCESS;
use tokio_postgres::Row;
use uuid::Uuid;
use vocab::Timestamp;

use super::access_tokens::{Columns, store_with};
use super::codes::Taken;
use super::grants::{self, grant_columns, timestamp};
use super::outright::{Next, grant_meets_the_terms};
use super::refresh::{self, Follows, NewRefreshToken};
use crate::store::{Connection, DbError, TenantDb};

/// A user's yes: the grant that it makes.
#[derive(Clone, Copy, Debug)]
pub struct Approval<'a> {
    pub user_id: Uuid,
    pub auth_time: Timestamp,
    pub amr: &'a [String],
    /// The end of the grant and of every token that may follow.
    pub grant_expires_at: Timestamp,
}

/// What is taken in the statement that notes that the client asked, and what follows.
#[derive(Clone, Copy, Debug)]
pub struct Outright<'a> {
    pub terms: &'a Terms<'a>,
    /// It is stored when the user allowed `offline_access`.
    pub refresh_token: Option<&'a NewRefreshToken>,
}

/// A request as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It stays. That the client asked is noted.
    Waits(Waiting),
    /// Its answer met the terms: it is used up.
    Taken { grant: Box<Grant>, traceparent: Option<String> },
}

/// Uses the request up when it meets the terms (`$4` says whether there are any), and stores what follows. Else notes when
/// the client asked; half a second is forgiven, for clocks and networks are not exact. Whoever asks sooner than that must
/// pause 5 seconds longer from then on (RFC 8628 §3.5).
///
/// An answer that came while this waited for the row has a grant that is not seen yet: it waits for the next question.
macro_rules! ask {
    ($table:literal, $code:literal) => {
        concat!(
            "with old as ( \
                 select ",
            $code,
            " as code, status, grant_id as approved, expires_at as waits_until, traceparent, \
                     coalesce($2::timestamptz < last_polled_at + interval_secs * interval '1 second' \
                              - interval '0.5 seconds', false) as too_soon \
                 from ",
            $table,
            " where ",
            $code,
            " = $1 and client_id = $3 for update \
             ), found as ( \
                 select old.code, old.waits_until, old.traceparent, old.too_soon, \
                        case when old.status = 'approved' and g.id is null then 'pending' else old.status end as answer, \
                        ($4::text[] is not null and old.status = 'approved' and old.waits_until > $2 and ",
            grant_meets_the_terms!(),
            ") is true as is_good, ",
            grant_columns!(),
            " from old left join grants g on g.id = old.approved left join users u on u.id = g.user_id \
             ), taken as ( \
                 delete from ",
            $table,
            " r using found f where r.",
            $code,
            " = f.code and f.is_good returning f.grant_id, f.grant_expires_at, f.scopes \
             ), asked as ( \
                 update ",
            $table,
            " r set last_polled_at = $2, interval_secs = interval_secs + case when f.too_soon then 5 else 0 end \
                 from found f where r.",
            $code,
            " = f.code and not f.is_good \
             ), follows as ( \
                 insert into refresh_tokens (token_hash, grant_id, created_at, expires_at, confirmation) \
                 select $5, grant_id, $2, least($6, grant_expires_at), $7 from taken \
                 where $5::bytea is not null and $8 = any(scopes) \
             ) select *, exists (select from taken) as is_taken from found",
        )
    };
}

macro_rules! take {
    ($table:literal, $code:literal) => {
        concat!(
            "with taken as ( \
                 delete from ",
            $table,
            " r using grants g, users u \
                 where r.",
            $code,
            " = $1 and r.status = 'approved' and r.expires_at > $2 and g.id = r.grant_id and u.id = g.user_id \
                   and g.revoked_at is null and u.status = 'active' \
                 returning r.grant_id, g.expires_at \
             ), follows as ( \
                 insert into refresh_tokens (token_hash, grant_id, created_at, expires_at, confirmation) \
                 select $3, grant_id, $2, least($4, expires_at), $5 from taken where $3::bytea is not null \
             ), issued as (",
            store_with!("taken", "$6", "$7", "$8", "$9"),
            ") select exists (select from taken) or exists (select from refresh_tokens where token_hash = $3) \
                   or exists (select from access_tokens where token_hash = $6)",
        )
    };
}

/// The request of that client as it stands; taken, when that meets the terms, and of any number of requests at once one
/// takes it.
///
/// When the connection breaks before the answer came, what was taken is known by the refresh token that follows. Where none
/// does, or nothing was taken, the client is told to ask again: a question that is asked twice would come too soon.
pub async fn ask(
    db: &TenantDb,
    code: Code<'_>,
    client_id: &str,
    outright: Option<Outright<'_>>,
    now: Timestamp,
) -> Result<Option<Found>, DbError> {
    let next = outright.and_then(|it| it.refresh_token).map(|token| Next::of(db, token));
    let question = Question { code, client_id, resources: outright.map(|it| it.terms.resources.as_slice()), now };
    let client = db.get().await?;
    let answer = question.ask(&client, db, next.as_ref()).await;
    let (Err(DbError::Unavailable(_)), Some(next)) = (&answer, next) else { return answer };
    let stored = refresh::find_by_digest(&db.get_live().await?, &next.hash).await?;
    match stored {
        Some(token) => Ok(Some(Found::Taken { grant: Box::new(token.grant), traceparent: None })),
        None => answer,
    }
}

struct Question<'a> {
    code: Code<'a>,
    client_id: &'a str,
    /// `None`: nothing is taken.
    resources: Option<&'a [String]>,
    now: Timestamp,
}

impl Question<'_> {
    async fn ask(&self, client: &Connection, db: &TenantDb, next: Option<&Next>) -> Result<Option<Found>, DbError> {
        let statement = client
            .prepare_cached(match self.code {
                Code::Device(_) => ask!("device_codes", "device_code_hash"),
                Code::Ciba(_) => ask!("ciba_requests", "auth_req_id_hash"),
            })
            .await?;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
            &db.digest(self.code.secret()),
            &self.now.system_time(),
            &self.client_id,
            &self.resources,
            &next.map(|next| next.hash.as_slice()),
            &next.map(|next| next.idle_until),
            &next.and_then(|next| next.confirmation.as_ref()),
            &OFFLINE_ACCESS,
        ];
        client.query_opt(&statement, &parameters).await?.as_ref().map(read).transpose()
    }
}

fn read(row: &Row) -> Result<Found, DbError> {
    let traceparent = row.try_get("traceparent")?;
    let answer = match row.try_get::<_, &str>("answer")? {
        "pending" => Answer::Pending,
        "approved" => Answer::Approved(Box::new(grants::read(row)?)),
        _ => Answer::Denied,
    };
    Ok(match (answer, row.try_get("is_taken")?) {
        (Answer::Approved(grant), true) => Found::Taken { grant, traceparent },
        (answer, _) => Found::Waits(Waiting {
            answer,
            expires_at: timestamp(row, "waits_until")?,
            asked_too_soon: row.try_get("too_soon")?,
            traceparent,
        }),
    })
}

/// Takes an approved request that was decided in full, and stores what follows, both or neither. Of any number of requests at once, one wins.
///
/// When the connection breaks before the answer came, the statement is run once more on another connection, as
/// [`super::refresh::rotate`] does; the attempt knows itself by the tokens that it stored, which nobody else could have. One
/// that stores none cannot know, and has lost: its client begins anew.
pub async fn take(db: &TenantDb, code: Code<'_>, follows: Follows<'_>, now: Timestamp) -> Result<Taken, DbError> {
    match run_take(&db.get().await?, db, code, follows, now).await {
        Err(DbError::Unavailable(_)) => run_take(&db.get_live().await?, db, code, follows, now).await,
        answer => answer,
    }
}

async fn run_take(
    client: &Connection,
    db: &TenantDb,
    code: Code<'_>,
    follows: Follows<'_>,
    now: Timestamp,
) -> Result<Taken, DbError> {
    let statement = client
        .prepare_cached(match code {
            Code::Device(_) => take!("device_codes", "device_code_hash"),
            Code::Ciba(_) => take!("ciba_requests", "auth_req_id_hash"),
        })
        .await?;
    let hash = follows.refresh_token.map(|token| db.digest(token.value.expose()));
    let idle_end = follows.refresh_token.map(|token| token.idle_until.system_time());
    let confirmation = follows.refresh_token.and_then(NewRefreshToken::confirmation);
    let token = Columns::of(db, follows.access_token);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
        &db.digest(code.secret()),
        &now.system_time(),
        &hash,
        &idle_end,
        &confirmation,
        &token.hash,
        &token.client_id,
        &token.claims,
        &token.expires_at,
    ];
    let row = client.query_one(&statement, &parameters).await?;
    Ok(if row.try_get(0)? { Taken::Won } else { Taken::Lost })
}
