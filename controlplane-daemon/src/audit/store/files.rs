//! The records as files: `DATA_DIR/audit/`, append-only, every block with its checksum.
//!
//! ```text
//!   audit/00000000000000000001.journal   records 1 to 40211, never written again
//!         00000000000000040212.journal   the newest, which is written
//!         lock                           held by whoever has the records open
//! ```
//!
//! A piece has the records from its number to the next piece's. A full one is made durable when the next begins, so that
//! only the newest may end in what a crash has torn. Retention removes pieces once all of their records go.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use controlplane_core::audit::Chain;
use parking_lot::Mutex;
use vocab::{ChainHash, Link};

use super::blocks::BLOCK_BYTES;
use super::piece::Piece;
use super::{Extent, Order, takeover};
use crate::storage::journal::{Block, SEGMENT_BYTES, Segment};
use crate::storage::{StorageError, sync_folder};

/// What the one who had the records before may take to let go of them.
const CLOSING: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    pieces: Mutex<BTreeMap<u64, Arc<Piece>>>,
    tail: Mutex<Tail>,
    _lock: File,
}

/// What is written to. The writer alone has it.
#[derive(Debug, Default)]
struct Tail {
    piece: Option<Arc<Piece>>,
    block: Block,
    is_dirty: bool,
}

impl Files {
    pub(super) fn open(folder: &Path, chain: &Chain) -> Result<(Self, Extent), StorageError> {
        takeover::take_over(folder)?;
        let lock = lock(folder)?;
        let mut pieces = BTreeMap::new();
        for path in listing(folder)? {
            if let Some(first) = Segment::number_of(&path) {
                pieces.insert(first, Arc::new(Piece::known(folder, first)));
            } else if path.extension().is_some_and(|extension| extension == "tmp") {
                std::fs::remove_file(&path).map_err(StorageError::io("remove", &path))?;
            }
        }
        let files = Self { folder: folder.to_owned(), pieces: Mutex::new(pieces), tail: Mutex::default(), _lock: lock };
        let extent = files.resume(chain)?;
        Ok((files, extent))
    }

    /// Goes on where the state stands: what is newer comes again out of the log.
    fn resume(&self, chain: &Chain) -> Result<Extent, StorageError> {
        self.drop_range(&(chain.seq + 1..u64::MAX))?;
        let newest = self.pieces.lock().last_key_value().map(|(_, piece)| Arc::clone(piece));
        let resumed = newest.as_ref().map(|piece| piece.resume(chain.seq)).transpose()?;
        if resumed != Some(true) {
            // The files are older than the state: their disk was replaced, or a snapshot came before its records.
            self.clear()?;
            return Ok(Extent {
                first: chain.first_seq(),
                complete_from: chain.seq + 1,
                newest: chain.seq,
                anchor: chain.hash,
            });
        }
        self.tail.lock().piece = newest;
        self.drop_before(chain.first_seq())?;
        let oldest = self.pieces.lock().first_key_value().map_or(chain.seq + 1, |(first, _)| *first);
        let complete_from = oldest.max(chain.first_seq());
        // Only what goes before it needs to know what it names as its previous one.
        let anchor = if complete_from > chain.first_seq() { self.before(complete_from)? } else { ChainHash::ORIGIN };
        Ok(Extent { first: chain.first_seq(), complete_from, newest: chain.seq, anchor })
    }

    /// The hash of the record before `seq`, as that one names it.
    fn before(&self, seq: u64) -> Result<ChainHash, StorageError> {
        let mut anchor = Err(StorageError::corrupt(&self.folder, format_args!("record {seq} is no line of a chain")));
        self.read(&(seq..seq + 1), Order::OldestFirst, &mut |_, line| {
            if let Ok(link) = Link::read(line) {
                anchor = Ok(link.previous);
            }
            ControlFlow::Break(())
        })?;
        anchor
    }

    /// Adds records; nothing is durable before [`Self::sync`].
    pub(super) fn append<'a>(&self, records: impl Iterator<Item = (u64, &'a [u8])>) -> Result<(), StorageError> {
        let mut tail = self.tail.lock();
        let mut next = None;
        for (seq, line) in records {
            tail.block.append(seq, line);
            next = Some((next.map_or(seq, |(first, _)| first), seq + 1));
            if tail.block.len() >= BLOCK_BYTES {
                self.write(&mut tail, next.take())?;
            }
        }
        self.write(&mut tail, next)
    }

    /// The block, with its first record and the one after its last.
    fn write(&self, tail: &mut Tail, records: Option<(u64, u64)>) -> Result<(), StorageError> {
        let Some((first, next)) = records else { return Ok(()) };
        let Tail { piece, block, is_dirty } = tail;
        if let Some(full) = piece.take_if(|piece| piece.bytes() >= SEGMENT_BYTES) {
            full.sync()?;
            full.let_go();
        }
        let piece = if let Some(piece) = piece {
            piece
        } else {
            let begun = Arc::new(Piece::begin(&self.folder, first)?);
            self.pieces.lock().insert(first, Arc::clone(&begun));
            piece.insert(begun)
        };
        piece.write(block, next)?;
        block.clear();
        *is_dirty = true;
        Ok(())
    }

    /// Adds what goes right before the oldest, durably. In the order of their numbers.
    pub(super) fn fill<'a>(
        &self,
        first: u64,
        records: impl Iterator<Item = (u64, &'a str)>,
    ) -> Result<(), StorageError> {
        let piece = Piece::whole(&self.folder, first, records)?;
        self.pieces.lock().insert(first, Arc::new(piece));
        Ok(())
    }

    /// Removes the pieces that have no record at or behind `first`.
    pub(super) fn drop_before(&self, first: u64) -> Result<(), StorageError> {
        let kept = self.pieces.lock().range(..=first).next_back().map_or(first, |(kept, _)| *kept);
        self.drop_range(&(0..kept))
    }

    pub(super) fn clear(&self) -> Result<(), StorageError> {
        self.tail.lock().piece = None;
        self.drop_range(&(0..u64::MAX))
    }

    fn drop_range(&self, range: &Range<u64>) -> Result<(), StorageError> {
        let mut pieces = self.pieces.lock();
        let gone: Vec<_> = pieces.range(range.clone()).map(|(first, piece)| (*first, Arc::clone(piece))).collect();
        for (first, piece) in &gone {
            piece.remove()?;
            pieces.remove(first);
        }
        if gone.is_empty() { Ok(()) } else { sync_folder(&self.folder) }
    }

    pub(super) fn sync(&self) -> Result<(), StorageError> {
        let mut tail = self.tail.lock();
        if let Some(piece) = tail.piece.clone().filter(|_| tail.is_dirty) {
            piece.sync()?;
        }
        tail.is_dirty = false;
        Ok(())
    }

    /// Hands out the records of `range`, all of which must be there, or have been removed just now.
    pub(super) fn read(
        &self,
        range: &Range<u64>,
        order: Order,
        visit: &mut dyn FnMut(u64, &str) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let mut parts = self.parts(range);
        if order == Order::NewestFirst {
            parts.reverse();
        }
        for (piece, through) in parts {
            if piece.read(range, through, order, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Which pieces have records of `range`, and which record is the last that each must have.
    fn parts(&self, range: &Range<u64>) -> Vec<(Arc<Piece>, u64)> {
        let pieces = self.pieces.lock();
        let begin = pieces.range(..=range.start).next_back().map_or(range.start, |(first, _)| *first);
        let found = pieces.range(begin..range.end.max(begin));
        let ends = found.clone().skip(1).map(|(first, _)| *first).chain([range.end]);
        found.zip(ends).map(|((_, piece), end)| (Arc::clone(piece), end.saturating_sub(1))).collect()
    }
}

/// A node that stopped a moment ago, in this process even, may still be closing them.
fn lock(folder: &Path) -> Result<File, StorageError> {
    let path = folder.join("lock");
    let file = File::options().create(true).append(true).open(&path).map_err(StorageError::io("open", &path))?;
    let began = Instant::now();
    while let Err(taken) = file.try_lock() {
        match taken {
            std::fs::TryLockError::WouldBlock if began.elapsed() < CLOSING => thread::sleep(CLOSING / 100),
            std::fs::TryLockError::WouldBlock => return Err(StorageError::InUse { path: folder.to_owned() }),
            std::fs::TryLockError::Error(source) => return Err(StorageError::io("lock", &path)(source)),
        }
    }
    Ok(file)
}

fn listing(folder: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let listing = std::fs::read_dir(folder).and_then(|listing| listing.map(|entry| Ok(entry?.path())).collect());
    listing.map_err(StorageError::io("list", folder))
}
