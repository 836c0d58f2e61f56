//! Sign-ins that are halfway: who showed a password and has a second factor to show yet. They are no sessions, and nothing
//! that asks for a session finds them. The cookie's value is stored as SHA-256 only.

use uuid::Uuid;
use vocab::{Secret, Timestamp};

use super::swept::swept;
use crate::opaque;
use crate::store::{DbError, TenantDb};

/// How long a user may take.
pub const LIFETIME_SECS: i64 = 600;

#[derive(Clone, Debug)]
pub struct Halfway {
    /// Names it in forms; finds nothing.
    pub id: Uuid,
    pub user_id: Uuid,
    pub email: String,
    /// What was shown so far (RFC 8176).
    pub amr: Vec<String>,
}

#[derive(Debug)]
pub struct NewSignIn<'a> {
    pub user_id: Uuid,
    /// The id of the interaction it is for.
    pub interaction: Option<&'a str>,
    pub amr: &'a [&'a str],
    pub now: Timestamp,
}

/// Begins one and returns its cookie. A few that nobody finished are swept up on the way.
pub async fn begin(db: &TenantDb, new: &NewSignIn<'_>) -> Result<Secret<String>, DbError> {
    let cookie = opaque::fresh();
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "sign_ins", by: "id_hash", before: "$6"),
            " insert into sign_ins (id_hash, id, user_id, interaction_hash, amr, expires_at) \
             values ($1, $2, $3, $4, $5, $7)",
        ))
        .await?;
    client
        .execute(
            &statement,
            &[
                &db.digest(cookie.expose()),
                &opaque::fresh_id(new.now),
                &new.user_id,
                &new.interaction.map(|id| db.digest(id)),
                &new.amr,
                &new.now.system_time(),
                &new.now.plus_secs(LIFETIME_SECS).system_time(),
            ],
        )
        .await?;
    Ok(cookie)
}

/// The one of a cookie, if it was begun for this interaction, is not over, and its user may sign in.
pub async fn find(
    db: &TenantDb,
    cookie: &str,
    interaction: Option<&str>,
    now: Timestamp,
) -> Result<Option<Halfway>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select s.id, s.user_id, s.amr, u.email from sign_ins s join users u on u.id = s.user_id \
             where s.id_hash = $1 and s.interaction_hash is not distinct from $2 and s.expires_at > $3 \
                 and u.status = 'active'",
        )
        .await?;
    let interaction = interaction.map(|id| db.digest(id));
    let row = client.query_opt(&statement, &[&db.digest(cookie), &interaction, &now.system_time()]).await?;
    let read = |row: tokio_postgres::Row| -> Result<Halfway, DbError> {
        Ok(Halfway {
            id: row.try_get("id")?,
            user_id: row.try_get("user_id")?,
            email: row.try_get("email")?,
            amr: row.try_get("amr")?,
        })
    };
    row.map(read).transpose()
}

/// Ends it. Of any number of requests that try, one is told `true` and may begin the session.
pub async fn finish(db: &TenantDb, cookie: &str) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "delete from sign_ins s using users u where s.id_hash = $1 and u.id = s.user_id and u.status = 'active'",
        )
        .await?;
    Ok(client.execute(&statement, &[&db.digest(cookie)]).await? == 1)
}
