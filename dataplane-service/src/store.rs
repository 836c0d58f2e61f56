//! The tenants' databases: each tenant has its own, reached only through its own [`TenantDb`].

pub mod codes;
pub mod grants;
pub mod refresh;

use std::fmt;

use vocab::ErrorCode;

/// Why there is no connection, or why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the tenant has no database")]
    NoDatabase,
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    #[error("all connections are in use")]
    Exhausted,
    /// The database's schema is not the one this build needs.
    #[error("the schema does not fit: {0}")]
    Schema(String),
    #[error("a statement failed: {0}")]
    Query(#[source] tokio_postgres::Error),
}

impl DbError {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoDatabase => ErrorCode::NoDatabase,
            Self::Unavailable(_) | Self::Exhausted | Self::Schema(_) => ErrorCode::DatabaseUnavailable,
            Self::Query(_) => ErrorCode::Internal,
        }
    }
}

impl From<tokio_postgres::Error> for DbError {
    /// A connection that broke is a database that does not answer; everything else is a fault of the statement.
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        let leaving = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ];
        match error.code() {
            Some(code) if leaving.contains(code) => Self::Unavailable(error.to_string()),
            Some(_) => Self::Query(error),
            None if error.is_closed()
                || std::error::Error::source(&error).is_some_and(|e| e.is::<std::io::Error>()) =>
            {
                Self::Unavailable(error.to_string())
            }
            None => Self::Query(error),
        }
    }
}

/// One tenant's database: a pool that opens on first use.
#[derive(Clone)]
pub struct TenantDb {}

impl TenantDb {
    /// A connection, bounded in time; the first call opens the pool and brings the schema up to date.
    #[expect(clippy::unused_async, reason = "the pool follows")]
    pub async fn get(&self) -> Result<deadpool_postgres::Object, DbError> {
        Err(DbError::Unavailable("no pool".to_owned()))
    }
}

impl fmt::Debug for TenantDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantDb").finish_non_exhaustive()
    }
}
