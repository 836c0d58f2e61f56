//! What a user has, as administrators see it: of every kind, also of those that only newer builds know.

use uuid::Uuid;
use vocab::Timestamp;

use crate::store::grants::timestamp;
use crate::store::{DbError, TenantDb};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFactor {
    pub id: Uuid,
    /// As in the column.
    pub kind: String,
    /// What its user calls it.
    pub name: Option<String>,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The oldest first.
    pub factors: Vec<HeldFactor>,
    pub codes_left: i64,
}

/// `None`: there is no such user.
pub async fn of_user(db: &TenantDb, user: Uuid) -> Result<Option<Held>, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select f.id, f.kind, f.name, f.created_at, f.last_used_at, \
                 (select count(*) from recovery_codes r where r.user_id = u.id) as codes_left \
             from users u left join second_factors f on f.user_id = u.id where u.id = $1 order by f.id",
        )
        .await?;
    let rows = client.query(&statement, &[&user]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut held = Held { factors: Vec::new(), codes_left: first.try_get("codes_left")? };
    for row in &rows {
        // Null: a user without any.
        let Some(id) = row.try_get("id")? else { continue };
        let last_used_at: Option<std::time::SystemTime> = row.try_get("last_used_at")?;
        held.factors.push(HeldFactor {
            id,
            kind: row.try_get("kind")?,
            name: row.try_get("name")?,
            created_at: timestamp(row, "created_at")?,
            last_used_at: last_used_at.map(Timestamp::from),
        });
    }
    Ok(Some(held))
}
