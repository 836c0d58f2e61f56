//! The records on this node's disk, in a file of their own, written beside the path of a write and not on it.
//!
//! ```text
//!   apply ──▶ queue ──▶ writer thread: all that is queued, one transaction ──▶ audit.redb ──▶ readers, newest first or last
//!                                                                                ▲
//!   peers ──▶ backfill (what was applied before a snapshot that was installed) ──┘
//! ```
//!
//! A commit is not durable, except before a snapshot of the state is written: what is lost with the power stands in the
//! log behind that snapshot and is made anew, line for line the same. Records are one run of numbers without a hole,
//! `complete_from` to `newest`; what is missing before it is fetched from peers.

mod writer;

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use controlplane_core::audit::{Chain, Record};
use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use tokio::sync::watch;
use vocab::{ChainHash, Link};

use self::writer::{Job, Writer};
use crate::storage::StorageError;

const RECORDS: TableDefinition<'_, u64, &str> = TableDefinition::new("records");
const FACTS: TableDefinition<'_, &str, &str> = TableDefinition::new("facts");
const COMPLETE_FROM: &str = "complete_from";
const ANCHOR: &str = "anchor";

/// Jobs that may wait for the writer; then applying waits, and so does whoever writes: nothing is dropped.
const QUEUE: usize = 16_384;
const REDB_CACHE_BYTES: usize = 8 << 20;

/// A handle to the records; clones share it. The writer ends when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    jobs: mpsc::SyncSender<Job>,
}

struct Shared {
    path: PathBuf,
    database: Database,
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

/// What the one who had the file before may take to let go of it.
const CLOSING: Duration = Duration::from_secs(5);

impl Store {
    /// Opens or makes the file. `chain` is where the state stands that this node starts with.
    pub fn open(path: &Path, chain: &Chain) -> Result<Self, StorageError> {
        let damaged = |why: redb::Error| StorageError::corrupt(path, why);
        let began = Instant::now();
        let database = loop {
            match Database::builder().set_cache_size(REDB_CACHE_BYTES).create(path) {
                // A node that stopped a moment ago, in this process even, may still be closing it.
                Err(DatabaseError::DatabaseAlreadyOpen) if began.elapsed() < CLOSING => thread::sleep(CLOSING / 100),
                opened => break opened.map_err(|why| damaged(why.into()))?,
            }
        };
        Self::start(path, database, chain)
    }

    /// For whoever only looks: nothing is kept.
    pub fn in_memory(chain: &Chain) -> Result<Self, StorageError> {
        let path = Path::new("audit records in memory");
        let database = Database::builder()
            .create_with_backend(redb::backends::InMemoryBackend::new())
            .map_err(|why| StorageError::corrupt(path, why))?;
        Self::start(path, database, chain)
    }

    fn start(path: &Path, database: Database, chain: &Chain) -> Result<Self, StorageError> {
        let extent = read_extent(&database, chain).map_err(|why| StorageError::corrupt(path, why))?;
        let extent = watch::Sender::new(extent);
        let shared = Arc::new(Shared { path: path.to_owned(), database, extent, waiting: AtomicUsize::new(0) });
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let writer = Writer::new(Arc::clone(&shared), queue);
        thread::Builder::new()
            .name("audit-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(StorageError::io("start the writer of", path))?;
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

    /// Hands the records numbered `from` to `through` to `visit`, as long as it wants more. Reads the disk.
    pub fn read(
        &self,
        from: u64,
        through: u64,
        order: Order,
        mut visit: impl FnMut(u64, &str) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        if from > through {
            return Ok(());
        }
        let mut walk = || -> Result<(), redb::Error> {
            let transaction = self.shared.database.begin_read()?;
            let table = transaction.open_table(RECORDS)?;
            let mut range = table.range(from..=through)?;
            loop {
                let next = match order {
                    Order::OldestFirst => range.next(),
                    Order::NewestFirst => range.next_back(),
                };
                let Some(next) = next else { return Ok(()) };
                let (seq, line) = next?;
                if visit(seq.value(), line.value()).is_break() {
                    return Ok(());
                }
            }
        };
        walk().map_err(|why| StorageError::corrupt(&self.shared.path, why))
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

fn read_extent(database: &Database, chain: &Chain) -> Result<Extent, redb::Error> {
    let transaction = database.begin_write()?;
    let extent = {
        let records = transaction.open_table(RECORDS)?;
        let facts = transaction.open_table(FACTS)?;
        let fact = |name| Ok::<_, redb::Error>(facts.get(name)?.map(|value| value.value().to_owned()));
        let newest = records.last()?.map_or(0, |(seq, _)| seq.value());
        let complete_from = fact(COMPLETE_FROM)?.and_then(|text| text.parse().ok()).unwrap_or(1);
        let anchor = fact(ANCHOR)?.and_then(|text| text.parse().ok()).unwrap_or(ChainHash::ORIGIN);
        if newest < chain.seq {
            // The file is younger than the state: its disk was replaced, or a snapshot came before its records.
            Extent { first: chain.first_seq(), complete_from: chain.seq + 1, newest: chain.seq, anchor: chain.hash }
        } else {
            Extent { first: chain.first_seq(), complete_from, newest, anchor }
        }
    };
    transaction.commit()?;
    Ok(extent)
}

#[cfg(test)]
mod tests {
    use vocab::Revision;

    use super::*;

    fn chain(count: u64) -> (Vec<Record>, Chain) {
        let mut chain = Chain::default();
        let records = (1..=count)
            .map(|seq| {
                let (link, line) = Link::write(seq, chain.hash, "\"n\":1");
                chain.seq = seq;
                chain.hash = link.hash;
                Record { seq, revision: Revision(seq), line }
            })
            .collect();
        (records, chain)
    }

    fn seqs(store: &Store, order: Order) -> Vec<u64> {
        let mut seen = Vec::new();
        store
            .read(0, u64::MAX, order, |seq, _| {
                seen.push(seq);
                ControlFlow::Continue(())
            })
            .unwrap();
        seen
    }

    #[test]
    fn records_are_there_after_a_restart_and_given_twice_they_stand_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.redb");
        let (records, end) = chain(5);
        let store = Store::open(&path, &Chain::default()).unwrap();
        store.append(records[..3].to_vec());
        store.append(records.clone());
        store.flush();
        assert_eq!(seqs(&store, Order::OldestFirst), [1, 2, 3, 4, 5]);
        assert_eq!(seqs(&store, Order::NewestFirst), [5, 4, 3, 2, 1]);
        store.truncate(2);
        store.flush();
        let mut ended = store.extents();
        drop(store);
        // The file is closed when the writer has ended.
        futures::executor::block_on(async { while ended.changed().await.is_ok() {} });
        let store = Store::open(&path, &Chain { removed_through: 2, ..end }).unwrap();
        assert_eq!(seqs(&store, Order::OldestFirst), [3, 4, 5]);
        assert_eq!(store.extent().missing(), None);
        assert_eq!(store.record(2).unwrap(), None);
        assert!(store.record(3).unwrap().is_some());
    }

    #[test]
    fn what_a_snapshot_jumps_over_is_missing_until_it_is_filled_in() {
        let dir = tempfile::tempdir().unwrap();
        let (records, end) = chain(6);
        let store = Store::open(&dir.path().join("audit.redb"), &Chain::default()).unwrap();
        store.append(records[..1].to_vec());
        let at = |seq: usize| Chain {
            seq: seq as u64,
            hash: Link::read(&records[seq - 1].line).unwrap().hash,
            ..end.clone()
        };
        store.jump(&at(4));
        store.append(records[4..].to_vec());
        store.flush();
        assert_eq!(store.extent().missing(), Some(1..=4));
        let link = |seq: usize| (Link::read(&records[seq - 1].line).unwrap(), records[seq - 1].line.clone());
        store.fill(vec![link(4), link(3)]);
        store.flush();
        assert_eq!((store.extent().missing(), store.extent().anchor), (Some(1..=2), link(2).0.hash));
        store.fill(vec![link(2), link(1)]);
        store.flush();
        assert_eq!(store.extent().missing(), None);
        assert_eq!(seqs(&store, Order::OldestFirst), [1, 2, 3, 4, 5, 6]);
    }
}
