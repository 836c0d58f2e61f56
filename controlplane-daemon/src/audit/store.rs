//! The records on this node's disk, in files of their own, written beside the path of a write and not on it.
//!
//! ```text
//!   apply ──▶ queue ──▶ writer thread: all that is queued, one write ──▶ audit/ ──▶ readers, newest first or last
//!                                                                          ▲
//!   peers ──▶ backfill (applied before a snapshot that was installed) ─────┘
//! ```
//!
//! A write is not durable, except before a snapshot of the state is written: what is lost with the power stands in the
//! log behind that snapshot and is made anew, line for line the same. A start leaves out what is newer than the
//! snapshot that it begins with, for the same reason. Records are one run of numbers without a hole,
//! `complete_from` to `newest`; what is missing before it is fetched from peers.

mod blocks;
mod files;
mod kept;
mod piece;
mod takeover;
mod writer;

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use controlplane_core::audit::{Chain, Record};
use tokio::sync::watch;
use vocab::{ChainHash, Link};

use self::files::Files;
use self::kept::Kept;
use self::writer::{Job, Writer};
use crate::storage::StorageError;

/// Jobs that may wait for the writer; then applying waits, and so does whoever writes: nothing is dropped.
const QUEUE: usize = 16_384;

/// A handle to the records; clones share it. The writer ends when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    jobs: mpsc::SyncSender<Job>,
}

struct Shared {
    kept: Kept,
    extent: watch::Sender<Extent>,
    /// Jobs that were given to the writer and are not done.
    waiting: AtomicUsize,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("extent", &*self.shared.extent.borrow()).finish_non_exhaustive()
    }
}

/// Which records are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The oldest that the cluster keeps.
    pub first: u64,
    /// From here to `newest` every record is here; one more than `newest` when there is none.
    pub complete_from: u64,
    pub newest: u64,
    /// The hash of the record before `complete_from`.
    pub anchor: ChainHash,
}

impl Extent {
    /// What this node still has to get from its peers.
    pub fn missing(&self) -> Option<std::ops::RangeInclusive<u64>> {
        (self.first < self.complete_from).then(|| self.first..=self.complete_from - 1)
    }
}

/// Which end of the records to begin at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    OldestFirst,
    NewestFirst,
}

impl Store {
    /// Opens or makes the folder. `chain` is where the state stands that this node starts with.
    pub fn open(folder: &Path, chain: &Chain) -> Result<Self, StorageError> {
        let (files, extent) = Files::open(folder, chain)?;
        Self::start(Kept::Files(files), extent).map_err(StorageError::io("start the writer of", folder))
    }

    /// For whoever only looks: nothing is kept.
    pub fn in_memory(chain: &Chain) -> Result<Self, StorageError> {
        let (first, newest, anchor) = (chain.first_seq(), chain.seq, chain.hash);
        let extent = Extent { first, complete_from: newest + 1, newest, anchor };
        let started = Self::start(Kept::Memory(parking_lot::Mutex::default()), extent);
        started.map_err(StorageError::io("start the writer of", Path::new("audit records in memory")))
    }

    fn start(kept: Kept, extent: Extent) -> io::Result<Self> {
        let extent = watch::Sender::new(extent);
        let shared = Arc::new(Shared { kept, extent, waiting: AtomicUsize::new(0) });
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let writer = Writer::new(Arc::clone(&shared), queue);
        thread::Builder::new().name("audit-writer".to_owned()).spawn(move || writer.run())?;
        Ok(Self { shared, jobs })
    }

    /// In the order of their numbers. Those that are here already (a log that is applied again) are passed over.
    pub fn append(&self, records: Vec<Record>) {
        if !records.is_empty() {
            self.send(Job::Append(records));
        }
    }

    /// Everything up to `through` was removed from the chain.
    pub fn truncate(&self, through: u64) {
        self.send(Job::Truncate { through });
    }

    /// The state jumped to where `chain` is, without its records being known.
    pub fn jump(&self, chain: &Chain) {
        self.send(Job::Jump { first: chain.first_seq(), newest: chain.seq, hash: chain.hash });
    }

    /// Records right before `complete_from`, the newest first, whose links were checked.
    pub fn fill(&self, checked: Vec<(Link, String)>) {
        self.send(Job::Fill(checked));
    }

    /// Returns once everything that was given is durable.
    pub fn flush(&self) {
        let (done, flushed) = mpsc::channel();
        self.send(Job::Flush(done));
        // The writer answers or the process ends.
        let _ = flushed.recv();
    }

    /// How many jobs wait for the disk, and how many may.
    pub fn waiting(&self) -> (usize, usize) {
        (self.shared.waiting.load(Ordering::Relaxed), QUEUE)
    }

    pub fn extent(&self) -> Extent {
        *self.shared.extent.borrow()
    }

    /// Follows what is here.
    pub fn extents(&self) -> watch::Receiver<Extent> {
        self.shared.extent.subscribe()
    }

    /// Hands the records numbered `from` to `through` that are here to `visit`, as long as it wants more. Reads the disk.
    pub fn read(
        &self,
        from: u64,
        through: u64,
        order: Order,
        mut visit: impl FnMut(u64, &str) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let extent = self.extent();
        let range = from.max(extent.complete_from)..through.min(extent.newest).saturating_add(1);
        if range.is_empty() { Ok(()) } else { self.shared.kept.read(&range, order, &mut visit) }
    }

    /// One record.
    pub fn record(&self, seq: u64) -> Result<Option<String>, StorageError> {
        let mut found = None;
        self.read(seq, seq, Order::OldestFirst, |_, line| {
            found = Some(line.to_owned());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn send(&self, job: Job) {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        // The writer lives as long as there is a handle, or the process has ended.
        let _ = self.jobs.send(job);
    }
}

#[cfg(test)]
mod tests;
