//! The folder of the records: made, or filled from the `audit.redb` of a release before.
//!
//! All of it is copied to a folder beside, which then gets its name, and only then the old file goes: after a crash
//! anywhere in between it is done again, or was done already.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use redb::{Database, ReadableDatabase as _, TableDefinition};

use super::piece::Piece;
use crate::storage::{StorageError, rename_durably, sync_folder, sync_folder_of};

const RECORDS: TableDefinition<'_, u64, &str> = TableDefinition::new("records");
const FACTS: TableDefinition<'_, &str, &str> = TableDefinition::new("facts");
const COMPLETE_FROM: &str = "complete_from";
/// Of a piece.
const PIECE_BYTES: usize = 8 << 20;

/// Afterwards there is the folder, and no `audit.redb`.
pub(super) fn take_over(folder: &Path) -> Result<(), StorageError> {
    let old = folder.with_extension("redb");
    if !folder.exists() {
        let beside = folder.with_extension("tmp");
        match std::fs::remove_dir_all(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io("remove", &beside)(error));
            }
            _ => {}
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&beside);
        made.map_err(StorageError::io("create", &beside))?;
        if old.exists() {
            let copied = copy(&old, &beside)?;
            tracing::info!(records = copied, "the audit has moved from audit.redb to audit/");
        }
        sync_folder(&beside)?;
        rename_durably(&beside, folder)?;
    }
    match std::fs::remove_file(&old) {
        Ok(()) => sync_folder_of(&old),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StorageError::io("remove", &old)(error)),
    }
}

fn copy(old: &Path, folder: &Path) -> Result<u64, StorageError> {
    let damaged = |why: redb::Error| StorageError::corrupt(old, why);
    let database = Database::open(old).map_err(|why| damaged(why.into()))?;
    let (mut gathered, mut bytes, mut copied) = (Vec::<(u64, String)>::new(), 0, 0);
    let write = |gathered: &mut Vec<(u64, String)>| match gathered.first() {
        Some((first, _)) => {
            let records = gathered.iter().map(|(seq, line)| (*seq, line.as_str()));
            Piece::whole(folder, *first, records).map(|_| gathered.clear())
        }
        None => Ok(()),
    };
    let transaction = database.begin_read().map_err(|why| damaged(why.into()))?;
    let facts = transaction.open_table(FACTS).map_err(|why| damaged(why.into()))?;
    let complete_from = facts.get(COMPLETE_FROM).map_err(|why| damaged(why.into()))?;
    let complete_from = complete_from.and_then(|text| text.value().parse().ok()).unwrap_or(1_u64);
    let table = transaction.open_table(RECORDS).map_err(|why| damaged(why.into()))?;
    for record in table.range(complete_from..).map_err(|why| damaged(why.into()))? {
        let (seq, line) = record.map_err(|why| damaged(why.into()))?;
        gathered.push((seq.value(), line.value().to_owned()));
        bytes += line.value().len();
        copied += 1;
        if bytes >= PIECE_BYTES {
            write(&mut gathered)?;
            bytes = 0;
        }
    }
    write(&mut gathered)?;
    Ok(copied)
}
