//! A borrowed connection: every statement ends in time, and a connection that was left in the middle of one is closed.
//!
//! A request may be dropped while it waits for its database (its client went away, it took too long). What it waited for
//! would then stand before the next request that is given the same connection.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement, ToStatement};
use tracing::Instrument as _;

use super::DbError;

/// A statement that takes longer is given up here. The server, which is told [`LIMITS`], gives up a little before.
const STATEMENT: Duration = Duration::from_secs(6);
/// What every connection begins with. A lock that somebody holds must not pile up backends.
///
/// Every statement finds its rows by an index. The server must not take to reading whole tables because they were small,
/// or nothing was known of them, when it made the plan that it keeps; nor make a plan for each call, which would take
/// longer than the statement.
pub(super) const LIMITS: &str = "set statement_timeout = '5s'; set lock_timeout = '3s'; \
                                 set idle_in_transaction_session_timeout = '60s'; \
                                 set enable_seqscan = off; set plan_cache_mode = force_generic_plan";

/// A connection of the tenant's pool, given back when it is dropped.
pub struct Connection {
    /// `None` only while dropping.
    object: Option<Object>,
    /// Whether a statement was sent whose answer has not been read to the end.
    busy: AtomicBool,
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Connection {
    pub(super) const fn new(object: Object) -> Self {
        Self { object: Some(object), busy: AtomicBool::new(false) }
    }

    fn object(&self) -> &Object {
        self.object.as_ref().expect("it is taken out by `drop` only")
    }

    /// Runs one exchange with the server within its time.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, DbError> {
        let span = tracing::trace_span!(
            target: telemetry::TRACE,
            "SQL",
            otel.kind = "client",
            db.system.name = "postgresql",
        );
        self.within_its_time(work).instrument(span).await
    }

    async fn within_its_time<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DbError> {
        self.busy.store(true, Ordering::Relaxed);
        let answer = tokio::time::timeout(STATEMENT, work)
            .await
            .map_err(|_| DbError::Unavailable("a statement was not answered in time".to_owned()))?;
        // Without a word from the server, the connection is broken.
        let broken = answer.as_ref().is_err_and(|error| error.as_db_error().is_none());
        self.busy.store(broken, Ordering::Relaxed);
        Ok(answer?)
    }

    /// Prepared once per connection.
    pub async fn prepare_cached(&self, sql: &str) -> Result<Statement, DbError> {
        self.bounded(self.object().prepare_cached(sql)).await
    }

    pub async fn query<S>(&self, statement: &S, parameters: Parameters<'_>) -> Result<Vec<Row>, DbError>
    where
        S: ?Sized + ToStatement,
    {
        self.bounded(self.object().query(statement, parameters)).await
    }

    pub async fn query_one<S>(&self, statement: &S, parameters: Parameters<'_>) -> Result<Row, DbError>
    where
        S: ?Sized + ToStatement,
    {
        self.bounded(self.object().query_one(statement, parameters)).await
    }

    pub async fn query_opt<S>(&self, statement: &S, parameters: Parameters<'_>) -> Result<Option<Row>, DbError>
    where
        S: ?Sized + ToStatement,
    {
        self.bounded(self.object().query_opt(statement, parameters)).await
    }

    pub async fn execute<S>(&self, statement: &S, parameters: Parameters<'_>) -> Result<u64, DbError>
    where
        S: ?Sized + ToStatement,
    {
        self.bounded(self.object().execute(statement, parameters)).await
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection(…)")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && self.busy.load(Ordering::Relaxed)
        {
            drop(Object::take(object));
        }
    }
}
