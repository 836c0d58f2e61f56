//! The journal of a directory: opened, or made of the log that a release before kept in `log.redb`.
//!
//! ```text
//!   log.redb: a journal is begun ──▶ segments of all records ──▶ log.redb: it is complete, and the old log is gone
//! ```
//!
//! The last step is one transaction: before it the old log counts, after it the journal. After a crash in between, what
//! there is of the journal is thrown away and made again. A new directory is taken over like one with an empty log.

use std::path::Path;

use parking_lot::Mutex;

use super::Check;
use super::database::{Facts, Register};
use super::fact::Fact;
use crate::storage::journal::{Block, Home, Index, Journal, Opened};
use crate::storage::{StorageError, identity};

/// Bytes of records in one block.
const BLOCK_BYTES: usize = 1 << 20;

/// The journal beside `facts`, with what is purged already gone from its index.
pub(super) fn open_journal(
    facts: &mut Facts,
    segment_bytes: u64,
    check: Check,
) -> Result<(Register, Opened), StorageError> {
    let folder = facts.path().with_file_name("journal");
    let home = |register: &Register| Home { folder: folder.clone(), id: register.id, segment_bytes };
    let register = match facts.register()? {
        Some(register) if register.complete => register,
        None if folder.exists() => {
            let why = format!("it is new or older than {}, of which it does not know", folder.display());
            return Err(StorageError::corrupt(facts.path(), why));
        }
        begun => {
            let register = begun.unwrap_or_else(Register::begun);
            take_over(facts, register.clone(), &home(&register), check)?
        }
    };
    let mut opened = Journal::open(home(&register), register.first..=register.last, check)?;
    let (there, wanted) = (opened.journal.next_block(), blocks(facts)?);
    if there < wanted {
        let why = format!("it was cut short: it ends behind block {}, and there were {}", there - 1, wanted - 1);
        return Err(StorageError::corrupt(opened.journal.path(), why));
    }
    if let Some(position) = opened.index.hole(register.floor) {
        return Err(StorageError::corrupt(&folder, format_args!("there is a hole before position {position}")));
    }
    opened.index.purge(register.floor.unwrap_or_default());
    Ok((register, opened))
}

fn blocks(facts: &Facts) -> Result<u64, StorageError> {
    // Releases before did not count them.
    let Some(stored) = facts.get(Fact::Blocks)? else { return Ok(1) };
    let number = std::str::from_utf8(&stored).ok().and_then(|number| number.parse().ok());
    number.ok_or_else(|| StorageError::corrupt(facts.path(), "the number of blocks is none"))
}

fn take_over(facts: &mut Facts, mut register: Register, home: &Home, check: Check) -> Result<Register, StorageError> {
    // Before anything an older release would miss; from here on it refuses the directory.
    identity::raise_format(folder_of(facts.path()))?;
    facts.save(&[], &register)?;
    match std::fs::remove_dir_all(&home.folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StorageError::io("remove", &home.folder)(error));
        }
        _ => {}
    }
    let mut copy = Copy { journal: Journal::create(home.clone())?, block: Block::default(), next: None, first: None };
    facts.old_log(|position, record| copy.record(facts.path(), position, record, check))?;
    if let Some(committed) = facts.get(Fact::Committed)? {
        copy.block.committed(&committed);
    }
    copy.flush()?;
    if let Some(first) = copy.first {
        tracing::info!(records_from = first, "the log has moved from log.redb to the journal");
    }
    register.last = copy.journal.number();
    register.floor = copy.first;
    register.complete = true;
    facts.save(&[], &register)?;
    facts.compact()?;
    Ok(register)
}

/// The old log on its way into the journal.
struct Copy {
    journal: Journal,
    block: Block,
    next: Option<u64>,
    first: Option<u64>,
}

impl Copy {
    fn record(&mut self, path: &Path, position: u64, record: &[u8], check: Check) -> Result<(), StorageError> {
        if self.next.is_some_and(|next| next != position) {
            return Err(StorageError::corrupt(path, format_args!("there is a hole before position {position}")));
        }
        check(position, record).map_err(|why| StorageError::corrupt(path, why))?;
        self.first.get_or_insert(position);
        self.next = Some(position + 1);
        self.block.append(position, record);
        if self.block.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        if self.block.is_empty() {
            return Ok(());
        }
        if self.journal.is_full(self.block.len()) {
            self.journal.rotate()?;
        }
        // Read back when it is opened.
        self.journal.write(&mut self.block, &Mutex::new(Index::default()))?;
        self.block.clear();
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
