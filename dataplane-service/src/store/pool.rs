//! Connections: each tenant's pool opens on first use, all pools of the pod share one cap, idle connections are closed.
//!
//! A pool lives as long as the configuration names its database: when the DSN changes, requests that hold the old
//! tenant finish on the old pool while new ones open the new one.

mod measures;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts};
use oauth_core::subject::Salt;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use uuid::Uuid;
use vocab::{Keyring, SealError, Sealed, Secret, Slug, TenantId};

use super::connection::{Connection, LIMITS};
use super::denied::DeniedTokens;
use super::dsn::{Dsn, Transport};
use super::outright::Together;
use super::{DbError, migrate};
use crate::opaque;
use crate::sync::decode::Database;
use measures::Shown;

/// How long a request waits for a connection that others use.
const WAIT: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// A peer that stopped acknowledging what it is sent is given up after this long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// How long a request waits for the schema to be looked at, or migrated. Larger migrations are run beforehand.
const PREPARE: Duration = Duration::from_secs(20);
/// A host name may stand for several addresses; all attempts together end by then.
const CREATE: Duration = Duration::from_secs(3);
/// How often a tenant that waits for the pod's cap looks for idle connections of others.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// After a failed attempt requests are refused at once for this long, so that a dead database holds nobody up.
const RETRY_AFTER: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub per_tenant: usize,
    pub total: usize,
    pub idle: Duration,
}

/// What all pools of the pod have in common.
pub struct PodPools {
    limits: Limits,
    keyring: Keyring,
    migrate: migrate::Mode,
    /// One permit per connection, held by the connection itself.
    permits: Arc<Semaphore>,
    databases: Mutex<Vec<Weak<Inner>>>,
    /// What metrics were told of.
    shown: Mutex<Shown>,
}

impl fmt::Debug for PodPools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodPools").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl PodPools {
    pub fn new(limits: Limits, keyring: Keyring, migrate: migrate::Mode) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(limits.total));
        let (databases, shown) = (Mutex::default(), Mutex::default());
        Arc::new(Self { limits, keyring, migrate, permits, databases, shown })
    }

    /// Opens nothing yet.
    pub fn database(self: &Arc<Self>, tenant: TenantId, slug: &Slug, database: Database) -> TenantDb {
        let inner = Arc::new(Inner {
            tenant,
            slug: slug.clone(),
            database,
            pod: Arc::clone(self),
            pool: OnceLock::new(),
            salt: OnceCell::new(),
            failed: Mutex::new(None),
            denied: DeniedTokens::default(),
            together: Together::default(),
        });
        let mut databases = self.databases.lock();
        databases.retain(|database| database.strong_count() > 0);
        databases.push(Arc::downgrade(&inner));
        TenantDb(inner)
    }

    /// Closes connections that were idle for long, until cancelled by being dropped.
    pub async fn sweep(self: Arc<Self>) {
        let period = (self.limits.idle / 4).clamp(Duration::from_millis(250), Duration::from_secs(10));
        let mut ticks = tokio::time::interval(period);
        loop {
            ticks.tick().await;
            self.close_idle(self.limits.idle);
        }
    }

    fn close_idle(&self, idle: Duration) {
        for database in self.open() {
            if let Some(pool) = database.pool.get() {
                pool.retain(|_, metrics| metrics.last_used() < idle);
            }
        }
    }

    /// Room for one more connection. While there is none, idle connections of any tenant make it; the pool that asks
    /// bounds the wait.
    async fn permit(&self) -> OwnedSemaphorePermit {
        loop {
            let permit = tokio::time::timeout(LOOK_AGAIN, Arc::clone(&self.permits).acquire_owned()).await;
            if let Ok(permit) = permit {
                return permit.expect("the semaphore is never closed");
            }
            self.close_idle(Duration::ZERO);
        }
    }

    fn open(&self) -> Vec<Arc<Inner>> {
        self.databases.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Every connection, also those in use when they come back.
    pub fn close(&self) {
        self.open().iter().filter_map(|database| database.pool.get()).for_each(Pool::close);
    }
}

/// One tenant's database: a pool that opens on first use. Cheap to clone; all clones are one pool.
#[derive(Clone)]
pub struct TenantDb(Arc<Inner>);

struct Inner {
    tenant: TenantId,
    slug: Slug,
    database: Database,
    pod: Arc<PodPools>,
    pool: OnceLock<Pool>,
    /// Set once the schema is known to fit this build: what pairwise subjects are made with.
    salt: OnceCell<Salt>,
    failed: Mutex<Option<(Instant, String)>>,
    denied: DeniedTokens,
    together: Together,
}

impl fmt::Debug for TenantDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantDb").field("tenant", &self.0.slug).finish_non_exhaustive()
    }
}

impl TenantDb {
    /// Whether this is the pool of `wanted`, so that a change of something else keeps it: also when the same DSN is sealed
    /// anew, as it is for every tenant at once when a master key is replaced.
    pub(crate) fn is_for(&self, wanted: &Database) -> bool {
        let held = &self.0.database;
        let opened = |database: &Database| self.0.pod.keyring.open(&database.dsn).ok();
        let same_dsn = || match (opened(held), opened(wanted)) {
            (Some(held), Some(wanted)) => held.expose() == wanted.expose(),
            _ => false,
        };
        held == wanted || (held.max_connections == wanted.max_connections && same_dsn())
    }

    #[cfg(test)]
    pub(crate) fn is_same_pool(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether anybody asked for a connection since this pod knows the database.
    pub fn is_open(&self) -> bool {
        self.0.pool.get().is_some()
    }

    /// A connection, bounded in time; the first call opens the pool and brings the schema up to date (or checks it).
    pub async fn get(&self) -> Result<Connection, DbError> {
        let mut connection = self.connect().await?;
        let mode = self.0.pod.migrate;
        self.0
            .salt
            .get_or_try_init(|| async {
                let prepared = tokio::time::timeout(PREPARE, migrate::prepare(&mut connection, mode)).await;
                let moved = prepared.map_err(|_| DbError::Unavailable("the schema could not be read".to_owned()))??;
                if moved.from != moved.to {
                    tracing::info!(tenant = %self.0.slug, from = moved.from, to = moved.to, "migrated");
                }
                let row = connection.query_one("select salt from pairwise_salt", &[]).await?;
                let salt: Vec<u8> = row.try_get("salt")?;
                let wrong = |_| DbError::Unavailable("the salt of subjects has not 32 bytes".to_owned());
                salt.try_into().map_err(wrong)
            })
            .await
            .inspect_err(|error: &DbError| tracing::error!(tenant = %self.0.slug, %error, "the schema is not ready"))?;
        Ok(Connection::new(connection))
    }

    /// What pairwise subjects are made with. Known as soon as the database was of use for anything.
    pub fn pairwise_salt(&self) -> Result<&Salt, DbError> {
        self.0.salt.get().ok_or_else(|| DbError::Unavailable("the database was not reached yet".to_owned()))
    }

    pub(super) fn tenant_id(&self) -> Uuid {
        *self.0.tenant.as_uuid()
    }

    /// Seals what must be read again, with the master key.
    pub(crate) fn seal(&self, plain: &[u8]) -> String {
        self.0.pod.keyring.seal(plain, rand::random()).to_string()
    }

    pub(crate) fn open(&self, sealed: &str) -> Result<Secret<Vec<u8>>, SealError> {
        self.0.pod.keyring.open(&sealed.parse().map_err(|_| SealError::Malformed)?)
    }

    /// The same under the first master key; `None`: it is so already.
    pub(super) fn reseal(&self, sealed: &str) -> Result<Option<String>, SealError> {
        let (keyring, sealed) = (&self.0.pod.keyring, sealed.parse::<Sealed>()?);
        if sealed.key_id() == keyring.first_id() {
            return Ok(None);
        }
        Ok(Some(keyring.seal(keyring.open(&sealed)?.expose(), rand::random()).to_string()))
    }

    /// What is stored of an opaque value: see [`opaque::digest`].
    pub(crate) fn digest(&self, value: &str) -> Vec<u8> {
        opaque::digest(self.0.tenant, value)
    }

    pub(super) fn denied_tokens(&self) -> &DeniedTokens {
        &self.0.denied
    }

    pub(super) fn together(&self) -> &Together {
        &self.0.together
    }

    /// A connection that answered just now, for the second run of a statement whose connection broke. A database that
    /// restarted has broken every idle connection of the pool, and each learns of it in its own time.
    pub async fn get_live(&self) -> Result<Connection, DbError> {
        let mut left = self.0.pool()?.status().max_size;
        loop {
            let connection = self.get().await?;
            match connection.query_one("select 1", &[]).await {
                Ok(_) => return Ok(connection),
                Err(DbError::Unavailable(_)) if left > 0 => left -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Migrates now, whatever the mode of the pod.
    pub async fn migrate(&self) -> Result<migrate::Moved, DbError> {
        let mut connection = self.connect().await?;
        migrate::prepare(&mut connection, migrate::Mode::Auto).await
    }

    async fn connect(&self) -> Result<Object, DbError> {
        let inner = &self.0;
        let pool = inner.pool()?;
        if pool.status().available == 0
            && let Some((at, reason)) = inner.failed.lock().as_ref()
            && at.elapsed() < RETRY_AFTER
        {
            measures::failed(&inner.slug, "unavailable");
            return Err(DbError::Unavailable(reason.clone()));
        }
        match pool.get().await {
            Ok(connection) => {
                *inner.failed.lock() = None;
                Ok(connection)
            }
            Err(PoolError::Timeout(deadpool_postgres::TimeoutType::Wait)) => {
                measures::failed(&inner.slug, "exhausted");
                Err(DbError::Exhausted)
            }
            // The time went by waiting for other tenants' connections, not for this database.
            Err(PoolError::Timeout(_)) if inner.pod.permits.available_permits() == 0 => {
                measures::failed(&inner.slug, "exhausted");
                Err(DbError::Exhausted)
            }
            Err(error) => {
                measures::failed(&inner.slug, "unavailable");
                // Never the DSN: these errors name addresses and roles at most, and go to the log only.
                let reason = describe(&error);
                tracing::warn!(tenant = %inner.slug, reason, "no connection to the tenant's database");
                *inner.failed.lock() = Some((Instant::now(), reason.clone()));
                Err(DbError::Unavailable(reason))
            }
        }
    }
}

fn describe(error: &PoolError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl Inner {
    fn pool(&self) -> Result<&Pool, DbError> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let pool = self.build().inspect_err(|error| tracing::error!(tenant = %self.slug, %error, "no pool"))?;
        Ok(self.pool.get_or_init(|| pool))
    }

    fn build(&self) -> Result<Pool, DbError> {
        let unusable = |error: &dyn fmt::Display| DbError::Unavailable(format!("its DSN is not usable: {error}"));
        let plain = self.pod.keyring.open(&self.database.dsn).map_err(|error| unusable(&error))?;
        let Dsn { mut config, transport } = Dsn::parse(plain.expose()).map_err(|error| unusable(&error))?;
        config.connect_timeout(CONNECT).tcp_user_timeout(UNACKNOWLEDGED).keepalives_idle(KEEPALIVE);
        config.application_name("hellojohn");
        let connect = Counted { pod: Arc::clone(&self.pod), transport };
        let manager = Manager::from_connect(config, connect, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        Pool::builder(manager)
            .max_size(self.database.max_connections.min(self.pod.limits.per_tenant))
            .timeouts(Timeouts { wait: Some(WAIT), create: Some(CREATE), recycle: Some(CONNECT) })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| unusable(&error))
    }
}

/// Makes connections that count against the pod's cap as long as they live.
struct Counted {
    pod: Arc<PodPools>,
    transport: Transport,
}

type Connected = Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error>;

impl Connect for Counted {
    fn connect(&self, config: &tokio_postgres::Config) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move {
            let permit = self.pod.permit().await;
            let (client, task) = match &self.transport {
                Transport::Plain => {
                    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
                    (client, drive(connection, permit))
                }
                Transport::Tls(tls) => {
                    let (client, connection) = config.connect(tls.as_ref().clone()).await?;
                    (client, drive(connection, permit))
                }
            };
            client.batch_execute(LIMITS).await?;
            Ok((client, task))
        })
    }
}

/// The connection's own task; deadpool aborts it when it drops the client, and the permit goes back then.
fn drive<C>(connection: C, permit: OwnedSemaphorePermit) -> JoinHandle<()>
where
    C: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
{
    tokio::spawn(async move {
        let _permit = permit;
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a database connection broke");
        }
    })
}
