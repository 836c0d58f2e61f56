//! Seals anew, with the first master key, what a tenant's database keeps for long, so that an old key can go.
//!
//! Page by page, and each value only if it is still the one that was read: pods are at work meanwhile. What lives for
//! minutes (sign-ins at another provider, forms) is left to end by itself.

use std::collections::BTreeMap;

use uuid::Uuid;
use vocab::SealError;

use crate::store::{DbError, TenantDb};

/// Rows that one statement reads.
const PAGE: i64 = 500;
/// Looks at everything, for what pods wrote in the meantime.
const MOST_PASSES: u32 = 5;

/// What was done, and what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub moved: u64,
    /// Others changed these between reading and writing, in each pass.
    pub missed: u64,
    /// Why some cannot be opened, and how many.
    pub unopened: BTreeMap<String, u64>,
}

/// Where something is kept: how a page is read, and how it is written.
struct Place {
    read: &'static str,
    write: &'static str,
}

macro_rules! place {
    ($table:literal) => {
        Place {
            read: concat!(
                "select id, sealed from ",
                $table,
                " where id > $1 and sealed like 'hjs1.%' order by id limit $2"
            ),
            write: concat!(
                "update ",
                $table,
                " t set sealed = n.anew from unnest($1::uuid[], $2::text[], $3::text[]) n (id, was, anew) \
                 where t.id = n.id and t.sealed = n.was"
            ),
        }
    };
}

/// The secrets of second factors, and of pings that wait for up to an hour.
const PLACES: [Place; 2] = [place!("second_factors"), place!("outbox")];

/// Everything, until a pass finds nothing more to do.
pub async fn everything(db: &TenantDb) -> Result<Outcome, DbError> {
    let mut moved = 0;
    for _ in 1..MOST_PASSES {
        let pass = pass(db).await?;
        moved += pass.moved;
        if pass.missed == 0 {
            return Ok(Outcome { moved, ..pass });
        }
    }
    let pass = pass(db).await?;
    Ok(Outcome { moved: moved + pass.moved, ..pass })
}

async fn pass(db: &TenantDb) -> Result<Outcome, DbError> {
    let mut outcome = Outcome::default();
    for place in &PLACES {
        let mut after = Uuid::nil();
        while let Some(last) = page(db, place, after, &mut outcome).await? {
            after = last;
        }
    }
    Ok(outcome)
}

/// The last id of the page; `None`: there is none after `after`.
async fn page(db: &TenantDb, place: &Place, after: Uuid, outcome: &mut Outcome) -> Result<Option<Uuid>, DbError> {
    let client = db.get().await?;
    let statement = client.prepare_cached(place.read).await?;
    let rows = client.query(&statement, &[&after, &PAGE]).await?;
    let (mut ids, mut was, mut anew): (Vec<Uuid>, Vec<&str>, Vec<String>) = Default::default();
    for row in &rows {
        let sealed = row.try_get("sealed")?;
        match db.reseal(sealed) {
            Ok(None) => {}
            Ok(Some(under_the_first)) => {
                ids.push(row.try_get("id")?);
                was.push(sealed);
                anew.push(under_the_first);
            }
            Err(why) => *outcome.unopened.entry(told(&why)).or_default() += 1,
        }
    }
    if !ids.is_empty() {
        let statement = client.prepare_cached(place.write).await?;
        let moved = client.execute(&statement, &[&ids, &was, &anew]).await?;
        outcome.moved += moved;
        outcome.missed += u64::try_from(ids.len()).unwrap_or(u64::MAX).saturating_sub(moved);
    }
    Ok(rows.last().map(|row| row.try_get("id")).transpose()?)
}

fn told(why: &SealError) -> String {
    match why {
        // Those that this process has are the same for all.
        SealError::UnknownKey { key_id, .. } => format!("sealed with master key {key_id}, which is not given here"),
        other => other.to_string(),
    }
}
