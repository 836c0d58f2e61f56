//! The records of the log on disk: appended to files, a whole batch with one fdatasync.
//!
//! ```text
//!   DATA_DIR/journal/00000000000000000007.journal   a segment: header, blocks, zeros that wait to be written over
//!                    00000000000000000008.journal   the newest, which is written
//!                    next.tmp                       zeros for the one after it, made while the newest fills up
//!   DATA_DIR/log.redb                               the facts: vote, what is purged, which segments there must be
//! ```
//!
//! **Why files of our own.** redb's commit of one record is nine pages and a header; a block of a segment is that record
//! and one write. Only the records are written that often, and only at one end. What changes now and then (vote, purge,
//! a new segment) stays in redb, which is also what locks the directory and says which segments belong to it: one that
//! is missing, old or of another directory is noticed. Each thing is stored in one of the two, never in both, so there
//! is nothing to bring in step after a crash. The option not taken is redb filled from a journal in large transactions:
//! every record is written twice, and reads have to know how far that is.
//!
//! **Why zeros.** A write over blocks that have been written before changes no metadata: one flush of the disk instead
//! of two on ext4. Blocks that were only reserved (`fallocate`) do not help, they must be marked as written first.
//!
//! **What a crash leaves.** A block is the unit of a batch and of its checksum, and the next one is written only after
//! its fdatasync. So only the last block of the newest segment can be torn, nobody was told of it, and it is cut off. A
//! block that is not what was written and has an intact one anywhere behind it is damage: refused, with file and byte.
//! An orderly end writes a block of its own, so that then this holds for the last record as well. A file that was cut
//! short ends like one that a crash left: how many blocks there must be stands in `log.redb`, as of its last change and
//! of an orderly end. What no journal can tell apart is a torn last block and one that was acknowledged and then damaged
//! before anything followed, on a machine that also crashed.
//!
//! The sequence of blocks is the log: an append adds records, a truncation takes them back. The positions of records
//! are kept in memory ([`Index`]). Whole segments are removed from the front once all of their records are purged.

mod block;
mod index;
mod replay;
mod segment;
mod spare;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::block::{Block, Change, Fault, Seed, read as read_block};
pub use self::index::{Index, Place};
pub use self::segment::{HEAD_BYTES, Head, Segment};
use self::spare::Spare;
use super::log_store::Check;
use super::{StorageError, sync_folder_of};

/// A segment is left for the next one when a block would make it longer; a longer block has one for itself.
pub const SEGMENT_BYTES: u64 = 16 << 20;
/// The least and the most zeros written at once where there is no spare segment.
const FIRST_ZEROS: u64 = 64 << 10;
const MOST_ZEROS: u64 = 4 << 20;

/// Which journal, and where.
#[derive(Clone, Debug)]
pub struct Home {
    pub folder: PathBuf,
    /// Random, so that no segment of another journal is taken for one of this.
    pub id: u64,
    pub segment_bytes: u64,
}

/// The end of the journal that is written to. One thread has it.
#[derive(Debug)]
pub struct Journal {
    home: Home,
    active: Arc<Segment>,
    /// Where the next block goes.
    end: u64,
    /// As far as the file reaches.
    allocated: u64,
    next_block: u64,
    spare: Spare,
    closed: bool,
}

/// A journal as it was found.
#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    pub index: Index,
    pub committed: Option<Vec<u8>>,
}

impl Journal {
    /// Makes the folder and the first segment, number 1.
    pub fn create(home: Home) -> Result<Self, StorageError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = std::fs::DirBuilder::new().mode(0o700).create(&home.folder);
        made.map_err(StorageError::io("create", &home.folder))?;
        sync_folder_of(&home.folder)?;
        let active = Segment::create(&home.folder, segment::Head { id: home.id, number: 1, first_block: 1 }, None)?;
        Ok(Self {
            end: segment::HEAD_BYTES,
            allocated: active.len_when_opened(),
            next_block: 1,
            spare: Spare::none(&home.folder),
            // Nothing is open yet that a block would have to close.
            closed: true,
            active,
            home,
        })
    }

    /// Reads all of `segments` once; `check` looks at each record.
    pub fn open(home: Home, segments: RangeInclusive<u64>, check: Check) -> Result<Opened, StorageError> {
        replay::sweep(&home, &segments)?;
        let replay::Found { active, end, allocated, next_block, closed, index, committed } =
            replay::read(&home, segments, check)?;
        let spare = Spare::none(&home.folder);
        let journal = Self { home, active, end, allocated, next_block, spare, closed };
        Ok(Opened { journal, index, committed })
    }

    /// The number of the segment that is written to.
    pub fn next_block(&self) -> u64 {
        self.next_block
    }

    /// Of the newest segment.
    pub fn path(&self) -> &Path {
        self.active.path()
    }

    pub fn number(&self) -> u64 {
        self.active.number()
    }

    /// Whether the segment has no block yet.
    pub const fn is_at_start(&self) -> bool {
        self.end == segment::HEAD_BYTES
    }

    /// Whether the last block says that the writer ended in order.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a block of about `bytes` belongs into the next segment.
    pub const fn is_full(&self, bytes: usize) -> bool {
        !self.is_at_start() && self.end.saturating_add(bytes as u64) > self.home.segment_bytes
    }

    /// Begins the next segment. It is to be known to `log.redb` before anything is written to it.
    pub fn rotate(&mut self) -> Result<(), StorageError> {
        let head = segment::Head { id: self.home.id, number: self.number() + 1, first_block: self.next_block };
        self.active = Segment::create(&self.home.folder, head, self.spare.take())?;
        self.end = segment::HEAD_BYTES;
        self.allocated = self.active.len_when_opened();
        Ok(())
    }

    /// Writes the block, makes it durable and then has `index` know what it did.
    pub fn write(&mut self, block: &mut Block, index: &parking_lot::Mutex<Index>) -> Result<(), StorageError> {
        self.write_unsynced(block)?;
        self.active.sync()?;
        self.enter(block, &mut index.lock());
        if self.end > self.home.segment_bytes / 2 {
            self.spare.prepare(self.home.segment_bytes);
        }
        Ok(())
    }

    fn write_unsynced(&mut self, block: &mut Block) -> Result<(), StorageError> {
        let bytes = block.seal(self.active.seed(), self.next_block);
        let new_end = self.end + bytes.len() as u64;
        if new_end > self.allocated {
            let wanted = (self.allocated + self.allocated.clamp(FIRST_ZEROS, MOST_ZEROS)).min(self.home.segment_bytes);
            self.allocated = self.active.extend(self.allocated, wanted).max(new_end);
        }
        self.active.write(bytes, self.end)
    }

    fn enter(&mut self, block: &Block, index: &mut Index) {
        index.apply(&self.active, self.end, block.changes());
        self.end += block.len() as u64;
        self.next_block += 1;
        self.closed = block.is_closing();
    }

    /// Removes the segments before `first`. What is in them must be purged, and `log.redb` must know.
    pub fn remove_before(&self, first: u64) -> Result<(), StorageError> {
        replay::remove_before(&self.home.folder, first)
    }
}

#[cfg(test)]
mod tests;
