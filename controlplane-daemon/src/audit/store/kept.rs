//! Where the records are kept: in files, or in memory for whoever only looks.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use parking_lot::Mutex;

use super::Order;
use super::files::Files;
use crate::storage::StorageError;

#[derive(Debug)]
pub(super) enum Kept {
    Files(Files),
    Memory(Mutex<BTreeMap<u64, String>>),
}

impl Kept {
    /// Adds records behind the newest; nothing is durable before [`Self::sync`].
    pub(super) fn append<'a>(&self, records: impl Iterator<Item = (u64, &'a [u8])>) -> Result<(), StorageError> {
        match self {
            Self::Files(files) => files.append(records),
            Self::Memory(kept) => {
                kept.lock().extend(records.map(|(seq, line)| (seq, String::from_utf8_lossy(line).into_owned())));
                Ok(())
            }
        }
    }

    /// Adds what goes right before the oldest, durably.
    pub(super) fn fill(&self, records: &BTreeMap<u64, &str>) -> Result<(), StorageError> {
        let Some((first, _)) = records.first_key_value() else { return Ok(()) };
        let each = records.iter().map(|(seq, line)| (*seq, *line));
        match self {
            Self::Files(files) => files.fill(*first, each),
            Self::Memory(_) => self.append(each.map(|(seq, line)| (seq, line.as_bytes()))),
        }
    }

    /// The records before `first` are not asked for any more.
    pub(super) fn drop_before(&self, first: u64) -> Result<(), StorageError> {
        match self {
            Self::Files(files) => files.drop_before(first),
            Self::Memory(kept) => {
                let mut kept = kept.lock();
                *kept = kept.split_off(&first);
                Ok(())
            }
        }
    }

    pub(super) fn clear(&self) -> Result<(), StorageError> {
        match self {
            Self::Files(files) => files.clear(),
            Self::Memory(kept) => {
                kept.lock().clear();
                Ok(())
            }
        }
    }

    pub(super) fn sync(&self) -> Result<(), StorageError> {
        match self {
            Self::Files(files) => files.sync(),
            Self::Memory(_) => Ok(()),
        }
    }

    pub(super) fn read(
        &self,
        range: &Range<u64>,
        order: Order,
        visit: &mut dyn FnMut(u64, &str) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        match self {
            Self::Files(files) => files.read(range, order, visit),
            Self::Memory(kept) => {
                let mut records: Vec<_> =
                    kept.lock().range(range.clone()).map(|(seq, line)| (*seq, line.clone())).collect();
                if order == Order::NewestFirst {
                    records.reverse();
                }
                let _ = records.iter().try_for_each(|(seq, line)| visit(*seq, line));
                Ok(())
            }
        }
    }
}
