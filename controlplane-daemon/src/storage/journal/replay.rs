//! Reading a journal at the start: every byte once, so that damage shows now and not in the middle of an election.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Home;
use super::block::{self, Change};
use super::index::Index;
use super::segment::{HEAD_BYTES, Segment};
use crate::storage::log_store::Check;
use crate::storage::{StorageError, sync_folder};

/// What was read, and where it goes on.
pub(super) struct Found {
    pub(super) active: Arc<Segment>,
    pub(super) end: u64,
    pub(super) allocated: u64,
    pub(super) next_block: u64,
    pub(super) closed: bool,
    pub(super) index: Index,
    pub(super) committed: Option<Vec<u8>>,
}

/// Takes away what a crash left: files without a name yet, segments that were purged, and one that was made but is not
/// known to `log.redb` and so was never written to.
pub(super) fn sweep(home: &Home, known: &RangeInclusive<u64>) -> Result<(), StorageError> {
    let folder = &home.folder;
    for path in paths(folder)? {
        let unknown = Segment::number_of(&path).filter(|number| number > known.end());
        if let Some(number) = unknown {
            let segment = Segment::open(folder, home.id, number)?;
            let blocks = segment.contents()?;
            if blocks.iter().skip(usize::try_from(HEAD_BYTES).unwrap_or_default()).any(|byte| *byte != 0) {
                return Err(StorageError::corrupt(&path, "it is not known to log.redb"));
            }
        }
        if unknown.is_some() || path.extension().is_some_and(|extension| extension == "tmp") {
            std::fs::remove_file(&path).map_err(StorageError::io("remove", &path))?;
        }
    }
    remove_before(folder, *known.start())
}

pub(super) fn remove_before(folder: &Path, first: u64) -> Result<(), StorageError> {
    let mut removed = false;
    for path in paths(folder)? {
        if Segment::number_of(&path).is_some_and(|number| number < first) {
            std::fs::remove_file(&path).map_err(StorageError::io("remove", &path))?;
            removed = true;
        }
    }
    if removed { sync_folder(folder) } else { Ok(()) }
}

fn paths(folder: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let failed = StorageError::io("list", folder);
    let listing = std::fs::read_dir(folder).and_then(|listing| listing.map(|entry| Ok(entry?.path())).collect());
    listing.map_err(failed)
}

pub(super) fn read(home: &Home, numbers: RangeInclusive<u64>, check: Check) -> Result<Found, StorageError> {
    let Home { folder, id, .. } = home;
    let (first, last) = numbers.into_inner();
    let mut segment = Segment::open(folder, *id, first)?;
    let mut replay =
        Replay { check, index: Index::default(), committed: None, next_block: segment.first_block(), closed: true };
    loop {
        if segment.first_block() != replay.next_block {
            return Err(StorageError::corrupt(segment.path(), "blocks before it are missing"));
        }
        let shared = Arc::new(segment);
        let end = replay.segment(&shared, shared.number() == last)?;
        if shared.number() >= last {
            let Replay { index, committed, next_block, closed, .. } = replay;
            let allocated = end.allocated;
            return Ok(Found { active: shared, end: end.at, allocated, next_block, closed, index, committed });
        }
        segment = Segment::open(folder, *id, shared.number() + 1)?;
    }
}

struct Replay {
    check: Check,
    index: Index,
    committed: Option<Vec<u8>>,
    next_block: u64,
    closed: bool,
}

/// Where a segment ends.
struct End {
    at: u64,
    allocated: u64,
}

impl Replay {
    fn segment(&mut self, segment: &Arc<Segment>, is_newest: bool) -> Result<End, StorageError> {
        let bytes = segment.contents()?;
        let mut at = HEAD_BYTES;
        loop {
            let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
            let block = match block::read(rest, segment.seed(), self.next_block) {
                Ok(block) => block,
                Err(_) if rest.iter().all(|byte| *byte == 0) => return Ok(End { at, allocated: bytes.len() as u64 }),
                Err(fault) => return self.broken(segment, is_newest, at, rest, fault),
            };
            for change in &block.changes {
                if let Change::Append { position, offset, len } = *change {
                    let record = rest.get(offset..offset + len).unwrap_or_default();
                    let damaged = |why| StorageError::corrupt(segment.path(), format_args!("at byte {at}: {why}"));
                    (self.check)(position, record).map_err(damaged)?;
                }
            }
            self.index.apply(segment, at, &block.changes);
            self.committed = block.committed.or(self.committed.take());
            self.closed = block.closing;
            self.next_block += 1;
            at += block.len as u64;
        }
    }

    /// Damage is refused; what a crash kept from being written, and so from being acknowledged, is cut off.
    fn broken(
        &self,
        segment: &Segment,
        is_newest: bool,
        at: u64,
        rest: &[u8],
        fault: block::Fault,
    ) -> Result<End, StorageError> {
        let last = self.index.last().map_or_else(|| "the start".to_owned(), |(last, _)| format!("log position {last}"));
        let place = format!("at byte {at}, behind {last}: {fault}");
        if !is_newest {
            return Err(StorageError::corrupt(segment.path(), place));
        }
        if let Some(intact) = block::find(rest, segment.seed(), self.next_block) {
            let intact = at + intact as u64;
            return Err(StorageError::corrupt(
                segment.path(),
                format_args!("{place}, and what follows at byte {intact} is intact"),
            ));
        }
        // An intact block that this build does not understand was acknowledged by one that does.
        if matches!(fault, block::Fault::Unknown | block::Fault::Number) {
            return Err(StorageError::corrupt(segment.path(), place));
        }
        tracing::warn!(
            file = %segment.path().display(),
            byte = at,
            "the last write was not finished when the process or the machine stopped; nobody was told that it was \
             done, and it is cut off behind {last}"
        );
        segment.cut(at)?;
        Ok(End { at, allocated: at })
    }
}
