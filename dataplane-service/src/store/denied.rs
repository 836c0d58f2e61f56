//! Access tokens that were revoked before their end, by `jti`: in the tenant's database for all pods, and in the memory
//! of each pod that is asked about tokens.
//!
//! A JWT is meant to be checked without a database, so a pod asks for new entries once a second and tenant at most,
//! however many tokens it checks, and not at all while it checks none. What that costs: a token that was revoked at one
//! pod is taken by another for up to [`BOUND`]; at the pod that revoked it, not at all. The tokens of users have no such
//! delay, because they are checked against their grant in the database anyway ([`super::grants::live_user`]).
//!
//! A database that does not answer does not make tokens invalid at once: nothing can be revoked in it either, and only a
//! pod that alone is cut off could miss something. After [`SURVIVES`] it is no longer believed, and checks fail. The
//! option not taken, telling pods by `LISTEN`, does not get through PgBouncer in transaction mode.

use std::fmt;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use imbl::HashMap;
use tokio::sync::Mutex;
use uuid::Uuid;
use vocab::Timestamp;

use super::grants::timestamp;
use super::swept::swept;
use crate::store::{DbError, TenantDb};

/// A picture so old is taken without a look at the database.
const FRESH: Duration = Duration::from_secs(1);
/// While one request reads, others go on with a picture so old.
const BOUND: Duration = Duration::from_secs(2);
/// How long a picture is believed while the database does not answer.
const SURVIVES: Duration = Duration::from_mins(1);
/// How long a request waits for the database, if it can do without.
const PATIENCE: Duration = Duration::from_secs(1);

/// What this pod knows of one tenant's entries.
#[derive(Default)]
pub(super) struct DeniedTokens {
    picture: ArcSwap<Picture>,
    /// Held by who reads; when the last attempt failed.
    turn: Mutex<Option<Instant>>,
}

#[derive(Clone, Default)]
struct Picture {
    /// With the end of each.
    entries: HashMap<Uuid, Timestamp>,
    /// Every transaction below this one has ended and was seen.
    horizon: u64,
    /// `None`: never.
    read_at: Option<Instant>,
}

impl Picture {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() < age)
    }

    fn has(&self, jti: Uuid) -> bool {
        self.entries.contains_key(&jti)
    }
}

impl fmt::Debug for DeniedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeniedTokens").field("entries", &self.picture.load().entries.len()).finish_non_exhaustive()
    }
}

/// Whether the token was revoked, as far as this pod knows.
pub async fn is_denied(db: &TenantDb, jti: Uuid, now: Timestamp) -> Result<bool, DbError> {
    let list = db.denied_tokens();
    let picture = list.picture.load_full();
    if picture.is_younger_than(FRESH) {
        return Ok(picture.has(jti));
    }
    let mut failed_at = match list.turn.try_lock() {
        Ok(turn) => turn,
        Err(_) if picture.is_younger_than(BOUND) => return Ok(picture.has(jti)),
        Err(_) => list.turn.lock().await,
    };
    let picture = list.picture.load_full();
    if picture.is_younger_than(FRESH) {
        return Ok(picture.has(jti));
    }
    let is_believed = picture.is_younger_than(SURVIVES);
    let failure = if is_believed && failed_at.is_some_and(|at| at.elapsed() < FRESH) {
        None
    } else if is_believed {
        let bounded = tokio::time::timeout(PATIENCE, read(db, &picture, now)).await;
        let late = |_| DbError::Unavailable("revoked tokens could not be read in time".to_owned());
        Some(bounded.map_err(late).and_then(|read| read))
    } else {
        Some(read(db, &picture, now).await)
    };
    match failure {
        Some(Ok(newer)) => {
            let denied = newer.has(jti);
            *failed_at = None;
            list.picture.store(newer.into());
            Ok(denied)
        }
        Some(Err(error)) if is_believed => {
            tracing::warn!(%error, "revoked tokens are those of a while ago");
            *failed_at = Some(Instant::now());
            Ok(picture.has(jti))
        }
        Some(Err(error)) => Err(error),
        None => Ok(picture.has(jti)),
    }
}

/// The picture with what is new, and without what has ended.
async fn read(db: &TenantDb, known: &Picture, now: Timestamp) -> Result<Picture, DbError> {
    let began = Instant::now();
    let mut newer = known.clone();
    let mut horizon = fetch(db, known.horizon, now, &mut newer).await?;
    if horizon < known.horizon {
        // Another server, in whose count of transactions ours means nothing: a restored one.
        newer.entries = HashMap::new();
        horizon = fetch(db, 0, now, &mut newer).await?;
    }
    if newer.entries.values().any(|end| *end <= now) {
        newer.entries.retain(|_, end| *end > now);
    }
    newer.horizon = horizon;
    newer.read_at = Some(began);
    Ok(newer)
}

/// Adds what was denied by transactions from `horizon` on; the horizon for the next time.
async fn fetch(db: &TenantDb, horizon: u64, now: Timestamp, into: &mut Picture) -> Result<u64, DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(
            "select pg_snapshot_xmin(pg_current_snapshot())::text as horizon, d.jti, d.expires_at \
             from (values (1)) one (row) \
             left join denied_tokens d on d.denied_by >= $1::text::xid8 and d.expires_at > $2",
        )
        .await?;
    let rows = client.query(&statement, &[&horizon.to_string(), &now.system_time()]).await?;
    let mut next = horizon;
    for row in rows {
        let text: String = row.try_get("horizon")?;
        next = text.parse().map_err(|_| DbError::Schema("a transaction's number is none".to_owned()))?;
        if let Some(jti) = row.try_get("jti")? {
            into.entries.insert(jti, timestamp(&row, "expires_at")?);
        }
    }
    Ok(next)
}

/// Revokes a token for good: once this returns, this pod refuses it, and every other within [`BOUND`]. A few entries that
/// ended are swept up on the way.
pub async fn deny(db: &TenantDb, jti: Uuid, expires_at: Timestamp, now: Timestamp) -> Result<(), DbError> {
    let client = db.get().await?;
    let statement = client
        .prepare_cached(concat!(
            "with ",
            swept!(from: "denied_tokens", by: "jti", before: "$3"),
            " insert into denied_tokens (jti, expires_at) values ($1, $2) on conflict (jti) do nothing",
        ))
        .await?;
    client.execute(&statement, &[&jti, &expires_at.system_time(), &now.system_time()]).await?;
    let list = db.denied_tokens();
    // Not while somebody reads, who may have begun before this was committed.
    let _turn = list.turn.lock().await;
    let mut picture = Picture::clone(&list.picture.load());
    picture.entries.insert(jti, expires_at);
    list.picture.store(picture.into());
    Ok(())
}
