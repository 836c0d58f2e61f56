//! `log.redb`: the facts beside the log, and which segments the journal has. Releases before kept the log in it, too.

use std::path::{Path, PathBuf};

use redb::{
    Database, Durability, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
};
use serde::{Deserialize, Serialize};

use super::fact::{self, Fact};
use crate::storage::StorageError;

/// The log of releases before the journal; empty since.
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");
const REGISTER: &str = "journal";
const REGISTER_FORMAT: u32 = 1;
/// A few facts.
const REDB_CACHE_BYTES: usize = 1 << 20;

/// The journal that belongs to this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Register {
    format: u32,
    pub(super) id: u64,
    /// Whether the log is in the journal. Until then it is in this file, and the journal is being made.
    pub(super) complete: bool,
    /// The segments that there must be.
    pub(super) first: u64,
    pub(super) last: u64,
    /// All positions before it are purged. Unknown until the first purge.
    pub(super) floor: Option<u64>,
}

impl Register {
    /// Of a journal that is yet to be made.
    pub(super) fn begun() -> Self {
        Self { format: REGISTER_FORMAT, id: rand::random(), complete: false, first: 1, last: 1, floor: None }
    }
}

#[derive(Debug)]
pub(super) struct Facts {
    path: PathBuf,
    database: Database,
}

impl Facts {
    /// Opens or makes it; it is locked against other processes as long as it is open.
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let database = Database::builder()
            .set_cache_size(REDB_CACHE_BYTES)
            .create(path)
            .map_err(|error| open_error(path, error))?;
        let facts = Self { path: path.to_owned(), database };
        facts.make_tables().map_err(|error| facts.unreadable(error))?;
        crate::storage::sync_folder_of(path)?;
        for fact in [Fact::Vote, Fact::Committed, Fact::Purged, Fact::Blocks] {
            facts.get(fact)?;
        }
        Ok(facts)
    }

    fn make_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(LOG)?;
        transaction.open_table(FACTS)?;
        transaction.commit()?;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn get(&self, fact: Fact) -> Result<Option<Vec<u8>>, StorageError> {
        self.stored(fact.key())
    }

    pub(super) fn register(&self) -> Result<Option<Register>, StorageError> {
        let Some(stored) = self.stored(REGISTER)? else { return Ok(None) };
        let register: Register =
            serde_json::from_slice(&stored).map_err(|why| StorageError::corrupt(&self.path, why))?;
        if register.format > REGISTER_FORMAT {
            let (found, known) = (register.format, REGISTER_FORMAT);
            return Err(StorageError::NewerFormat { path: self.path.clone(), found, known });
        }
        Ok(Some(register))
    }

    fn stored(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let read = || -> Result<_, redb::Error> {
            let facts = self.database.begin_read()?.open_table(FACTS)?;
            Ok(facts.get(key)?.map(|value| value.value().to_vec()))
        };
        let stored = read().map_err(|error| self.unreadable(error))?;
        let damaged = || StorageError::corrupt(&self.path, format_args!("the {key} is damaged"));
        stored.map(|stored| fact::open(stored).ok_or_else(damaged)).transpose()
    }

    /// Makes all of it durable at once.
    pub(super) fn save(&self, facts: &[(Fact, &[u8])], register: &Register) -> Result<(), StorageError> {
        self.write(facts, register).map_err(|error| self.unwritable(error))
    }

    fn write(&self, facts: &[(Fact, &[u8])], register: &Register) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(FACTS)?;
            for (fact, value) in facts {
                table.insert(fact.key(), fact::seal(value).as_slice())?;
            }
            let register = serde_json::to_vec(register).expect("numbers and booleans serialize");
            table.insert(REGISTER, fact::seal(&register).as_slice())?;
        }
        if register.complete && !transaction.open_table(LOG)?.is_empty()? {
            // In the transaction that says that the journal has it.
            transaction.open_table(LOG)?.retain(|_, _| false)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The log as releases before the journal kept it, in order.
    pub(super) fn old_log(
        &self,
        mut record: impl FnMut(u64, &[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let unreadable = |error| self.unreadable(error);
        let log = || -> Result<_, redb::Error> { Ok(self.database.begin_read()?.open_table(LOG)?) };
        let log = log().map_err(unreadable)?;
        for stored in log.iter().map_err(|error| unreadable(error.into()))? {
            let (position, value) = stored.map_err(|error| unreadable(error.into()))?;
            record(position.value(), value.value())?;
        }
        Ok(())
    }

    /// Gives back the room that the old log had.
    pub(super) fn compact(&mut self) -> Result<(), StorageError> {
        let compacted = self.database.compact().map(|_| ());
        compacted.map_err(|error| self.unwritable(redb::Error::from(error)))
    }

    fn unreadable(&self, error: redb::Error) -> StorageError {
        match error {
            redb::Error::Io(source) if !is_damage(&source) => StorageError::io("read", &self.path)(source),
            other => StorageError::corrupt(&self.path, other),
        }
    }

    fn unwritable(&self, error: redb::Error) -> StorageError {
        match error {
            redb::Error::Io(source) => StorageError::io("write", &self.path)(source),
            other => StorageError::io("write", &self.path)(std::io::Error::other(other)),
        }
    }
}

fn is_damage(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData)
}

fn open_error(path: &Path, error: redb::DatabaseError) -> StorageError {
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StorageError::InUse { path: path.to_owned() },
        redb::DatabaseError::Storage(redb::StorageError::Io(source)) if !is_damage(&source) => {
            StorageError::Io { doing: "open", path: path.to_owned(), source }
        }
        other => StorageError::corrupt(path, other),
    }
}
