//! The tenants' databases: each tenant has its own, reached only through its own [`TenantDb`].

pub mod access_tokens;
pub mod challenges;
pub mod change_mails;
pub mod ciba;
pub mod codes;
mod connection;
pub mod consents;
pub mod credentials;
pub mod denied;
pub mod device;
pub mod dsn;
pub mod factors;
pub mod federation;
pub mod grants;
pub mod identities;
pub mod interactions;
pub mod mail_links;
pub mod migrate;
pub mod outbox;
pub mod outright;
pub mod pool;
pub mod proofs;
pub mod pushed_requests;
pub mod refresh;
pub mod reseal;
pub mod sessions;
pub mod sign_ins;
mod swept;
mod together;
pub mod users;
pub mod waiting;

use vocab::ErrorCode;

pub use connection::Connection;
pub use pool::TenantDb;

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

impl DbError {
    /// The same for each of several that wait for one thing.
    fn for_another(&self) -> Self {
        match self {
            Self::NoDatabase => Self::NoDatabase,
            Self::Exhausted => Self::Exhausted,
            Self::Schema(reason) => Self::Schema(reason.clone()),
            Self::Unavailable(reason) => Self::Unavailable(reason.clone()),
            Self::Query(error) => Self::Unavailable(error.to_string()),
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
            // Overloaded, or somebody holds a lock.
            SqlState::QUERY_CANCELED,
            SqlState::LOCK_NOT_AVAILABLE,
        ];
        let source = std::error::Error::source(&error);
        let broken = match error.code() {
            Some(code) => leaving.contains(code),
            None => error.is_closed() || source.is_some_and(<dyn std::error::Error>::is::<std::io::Error>),
        };
        if broken { Self::Unavailable(error.to_string()) } else { Self::Query(error) }
    }
}
