//! Brings a tenant's schema to what this build needs, once, however many pods try at the same time.

use std::str::FromStr;

use deadpool_postgres::ClientWrapper;

use super::DbError;

/// What a pod does with a schema that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Migrates before the tenant's first use.
    Auto,
    /// Refuses to use it; `dataplane-service migrate` is run beforehand.
    Off,
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => Err("must be auto or off"),
        }
    }
}

struct Migration {
    version: i32,
    name: &'static str,
    sql: &'static str,
}

/// In order, without gaps. A released migration is never edited: a database that has it does not get it again.
const MIGRATIONS: [Migration; 19] = [
    Migration {
        version: 1,
        name: "identity",
        sql: include_str!("../../../migrations/postgres/tenant/V0001__identity.sql"),
    },
    Migration {
        version: 2,
        name: "logout",
        sql: include_str!("../../../migrations/postgres/tenant/V0002__logout.sql"),
    },
    Migration {
        version: 3,
        name: "waiting",
        sql: include_str!("../../../migrations/postgres/tenant/V0003__waiting.sql"),
    },
    Migration {
        version: 4,
        name: "tokens",
        sql: include_str!("../../../migrations/postgres/tenant/V0004__tokens.sql"),
    },
    Migration {
        version: 5,
        name: "proofs",
        sql: include_str!("../../../migrations/postgres/tenant/V0005__proofs.sql"),
    },
    Migration {
        version: 6,
        name: "exchange",
        sql: include_str!("../../../migrations/postgres/tenant/V0006__exchange.sql"),
    },
    Migration {
        version: 7,
        name: "subjects",
        sql: include_str!("../../../migrations/postgres/tenant/V0007__subjects.sql"),
    },
    Migration {
        version: 8,
        name: "authorization_requests",
        sql: include_str!("../../../migrations/postgres/tenant/V0008__authorization_requests.sql"),
    },
    Migration {
        version: 9,
        name: "authorization_details",
        sql: include_str!("../../../migrations/postgres/tenant/V0009__authorization_details.sql"),
    },
    Migration {
        version: 10,
        name: "traces",
        sql: include_str!("../../../migrations/postgres/tenant/V0010__traces.sql"),
    },
    Migration { version: 11, name: "mail", sql: include_str!("../../../migrations/postgres/tenant/V0011__mail.sql") },
    Migration {
        version: 12,
        name: "rotation",
        sql: include_str!("../../../migrations/postgres/tenant/V0012__rotation.sql"),
    },
    Migration {
        version: 13,
        name: "continuity",
        sql: include_str!("../../../migrations/postgres/tenant/V0013__continuity.sql"),
    },
    Migration {
        version: 14,
        name: "factors",
        sql: include_str!("../../../migrations/postgres/tenant/V0014__factors.sql"),
    },
    Migration {
        version: 15,
        name: "mail_links",
        sql: include_str!("../../../migrations/postgres/tenant/V0015__mail_links.sql"),
    },
    Migration {
        version: 16,
        name: "families",
        sql: include_str!("../../../migrations/postgres/tenant/V0016__families.sql"),
    },
    Migration {
        version: 17,
        name: "federation",
        sql: include_str!("../../../migrations/postgres/tenant/V0017__federation.sql"),
    },
    Migration {
        version: 18,
        name: "security_keys",
        sql: include_str!("../../../migrations/postgres/tenant/V0018__security_keys.sql"),
    },
    Migration {
        version: 19,
        name: "change_mail",
        sql: include_str!("../../../migrations/postgres/tenant/V0019__change_mail.sql"),
    },
];

/// The version this build needs.
const NEWEST: i32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// The oldest build, by what it needs, that works with the schema as this build leaves it: while pods are replaced one by
/// one, those of the release before start again, and are added, with a schema that has more than they know. It stays where
/// it is for a migration that only adds, and rises to the newest with one that takes away what older builds use.
const READABLE_FROM: i32 = 12;

/// "hjmigr": whoever holds this lock in a database migrates it.
const LOCK: i64 = 0x686a_6d69_6772;

/// From which version to which; the same when there was nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    pub from: i32,
    pub to: i32,
}

/// Makes sure that the schema is this build's.
pub async fn prepare(connection: &mut ClientWrapper, mode: Mode) -> Result<Moved, DbError> {
    let found = found(connection).await?;
    found.check()?;
    if found.version >= NEWEST {
        return Ok(Moved { from: found.version, to: found.version });
    }
    match mode {
        Mode::Auto => migrate(connection).await,
        Mode::Off => Err(DbError::Schema(format!(
            "it is at version {}, this build needs {NEWEST}: run `dataplane-service migrate`",
            found.version
        ))),
    }
}

/// What the database says of its schema.
#[derive(Clone, Copy, Debug)]
struct Found {
    version: i32,
    /// The oldest build that works with it.
    readable_from: i32,
}

impl Found {
    fn check(self) -> Result<(), DbError> {
        let Self { version, readable_from } = self;
        if version <= NEWEST || readable_from <= NEWEST {
            return Ok(());
        }
        Err(DbError::Schema(format!("it is at version {version}, newer than this build, which knows {NEWEST}")))
    }
}

/// Where nothing says who can read a version, only builds that know it can.
const HISTORY: &str = "select coalesce(max(version), 0),
    coalesce(max(coalesce((to_jsonb(h) ->> 'readable_from')::integer, version)), 0) from hj_schema_history h";

async fn found(connection: &mut ClientWrapper) -> Result<Found, DbError> {
    let there: bool =
        connection.query_one("select to_regclass('hj_schema_history') is not null", &[]).await?.try_get(0)?;
    if !there {
        return Ok(Found { version: 0, readable_from: 0 });
    }
    let row = connection.query_one(HISTORY, &[]).await?;
    Ok(Found { version: row.try_get(0)?, readable_from: row.try_get(1)? })
}

/// One transaction: all of it, or nothing. The lock goes with the transaction, so PgBouncer may stand between.
async fn migrate(connection: &mut ClientWrapper) -> Result<Moved, DbError> {
    let transaction = connection.transaction().await?;
    // A migration takes as long as it takes; so does waiting for the pod that runs it.
    transaction.batch_execute("set local statement_timeout = 0; set local lock_timeout = 0").await?;
    transaction.execute("select pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    transaction
        .batch_execute(
            "create table if not exists hj_schema_history (
                 version integer primary key, name text not null, applied_at timestamptz not null default now());
             alter table hj_schema_history add column if not exists readable_from integer",
        )
        .await
        .map_err(|error| failed("the history of migrations", &error))?;
    // Another pod may have done it while this one waited for the lock.
    let row = transaction.query_one(HISTORY, &[]).await?;
    let found = Found { version: row.try_get(0)?, readable_from: row.try_get(1)? };
    found.check()?;
    let from = found.version;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > from) {
        let label = format!("migration {} ({})", migration.version, migration.name);
        transaction.batch_execute(migration.sql).await.map_err(|error| failed(&label, &error))?;
        transaction
            .execute(
                "insert into hj_schema_history (version, name, readable_from) values ($1, $2, $3)",
                &[&migration.version, &migration.name, &READABLE_FROM],
            )
            .await?;
    }
    transaction.commit().await?;
    Ok(Moved { from, to: from.max(NEWEST) })
}

fn failed(what: &str, error: &tokio_postgres::Error) -> DbError {
    let reason = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    DbError::Schema(format!("{what}: {reason}"))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn every_file_is_listed_under_its_number_and_name() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/postgres/tenant");
        let mut files: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let listed: Vec<_> = MIGRATIONS.iter().map(|m| format!("V{:04}__{}.sql", m.version, m.name)).collect();
        assert_eq!(files, listed);
        assert!(MIGRATIONS.iter().zip(1..).all(|(migration, number)| migration.version == number));
    }

    /// `migrations/postgres/tenant.sha256` is what `sha256sum -c` reads. A database that has a migration does not get it
    /// again, so an edited one makes two kinds of databases.
    #[test]
    fn what_was_released_is_as_it_was() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/postgres/tenant");
        let released = include_str!("../../../migrations/postgres/tenant.sha256");
        let lines: Vec<_> = released.lines().filter_map(|line| line.split_once("  ")).collect();
        assert!(lines.len() >= usize::try_from(READABLE_FROM).unwrap(), "READABLE_FROM is a release");
        for (digest, name) in lines {
            let bytes = std::fs::read(format!("{folder}/{name}")).unwrap();
            let found = Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
            assert_eq!(found, digest, "{name} was edited: make a new migration");
        }
    }

    #[test]
    fn a_newer_schema_is_refused_unless_it_says_that_this_build_can_use_it() {
        let found = |version, readable_from| Found { version, readable_from };
        for usable in [found(0, 0), found(NEWEST, READABLE_FROM), found(NEWEST + 1, NEWEST), found(NEWEST + 9, 1)] {
            assert!(usable.check().is_ok(), "{usable:?}");
        }
        let error = found(NEWEST + 1, NEWEST + 1).check().unwrap_err();
        assert!(error.to_string().contains("newer than this build"), "{error}");
    }

    /// Pods of the release before are at work, and start, while the new schema is there already.
    #[test]
    fn a_migration_that_takes_away_says_so() {
        const { assert!(READABLE_FROM <= NEWEST) };
        let takes_away = ["drop table", "drop column", "rename ", "set not null"];
        for migration in MIGRATIONS.iter().filter(|migration| migration.version > READABLE_FROM) {
            let sql = migration.sql.to_lowercase();
            let found: Vec<_> = takes_away.iter().filter(|words| sql.contains(**words)).collect();
            assert!(found.is_empty(), "{}: {found:?}: older builds may need it, see READABLE_FROM", migration.name);
        }
    }
}
