//! As whom other providers know a user, as administrators see and change it. Sign-ins there are in
//! [`federation`](super::federation).

use uuid::Uuid;
use vocab::Timestamp;

use super::federation::Identity;
use super::grants::timestamp;
use crate::store::{DbError, TenantDb};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    pub issuer: String,
    pub subject: String,
    pub created_at: Timestamp,
}

/// The oldest first. `None`: there is no such user.
pub async fn of_user(db: &TenantDb, user: Uuid) -> Result<Option<Vec<Linked>>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select f.issuer, f.subject, f.created_at from users u \
             left join federated_identities f on f.user_id = u.id where u.id = $1 order by f.created_at, f.subject",
        )
        .await?;
    let rows = client.query(&statement, &[&user]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut linked = Vec::new();
    for row in &rows {
        // Null: a user without any.
        let Some(issuer) = row.try_get("issuer")? else { continue };
        linked.push(Linked { issuer, subject: row.try_get("subject")?, created_at: timestamp(row, "created_at")? });
    }
    Ok(Some(linked))
}

/// What became of a wish to link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Linking {
    Linked(Linked),
    NoSuchUser,
    /// The provider's person is somebody else here.
    AnotherUsers,
}

/// Makes it the only identity that the user has at that issuer.
pub async fn link(db: &TenantDb, user: Uuid, identity: Identity<'_>, now: Timestamp) -> Result<Linking, DbError> {
    let client = db.get().await?;
    // "do update", not "do nothing": one that was linked a moment ago to the same user is seen, too.
    let statement = client
        .prepare_cached(
            "with whom as (select id from users where id = $1), held as ( \
                 insert into federated_identities (issuer, subject, user_id, created_at) \
                 select $2, $3, id, $4 from whom \
                 on conflict (issuer, subject) do update set user_id = excluded.user_id \
                     where federated_identities.user_id = excluded.user_id \
                 returning user_id, created_at \
             ), others as ( \
                 delete from federated_identities f using held h \
                 where f.user_id = h.user_id and f.issuer = $2 and f.subject <> $3 \
             ) \
             select h.created_at from whom left join held h on true",
        )
        .await?;
    let row = client.query_opt(&statement, &[&user, &identity.issuer, &identity.subject, &now.system_time()]).await?;
    let Some(row) = row else { return Ok(Linking::NoSuchUser) };
    let created_at: Option<std::time::SystemTime> = row.try_get(0)?;
    Ok(created_at.map_or(Linking::AnotherUsers, |at| {
        let (issuer, subject) = (identity.issuer.to_owned(), identity.subject.to_owned());
        Linking::Linked(Linked { issuer, subject, created_at: at.into() })
    }))
}

/// Takes away what the user has at this issuer: the identity of that subject, or with `None` every one. `false`: there is
/// none.
pub async fn unlink(db: &TenantDb, user: Uuid, issuer: &str, subject: Option<&str>) -> Result<bool, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "delete from federated_identities \
             where user_id = $1 and issuer = $2 and ($3::text is null or subject = $3)",
        )
        .await?;
    Ok(client.execute(&statement, &[&user, &issuer, &subject]).await? > 0)
}
