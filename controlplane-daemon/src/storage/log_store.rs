//! The log: opaque records at consecutive positions, and three facts beside them.
//!
//! ```text
//!   append, vote, truncate, purge ──▶ queue ──▶ writer thread: takes all that is queued, makes it durable,
//!         │                                     then completes every callback of it
//!         │                                       records, truncations  one block of the journal, one fdatasync
//!         │                                       vote, purge           one transaction of log.redb
//!         └──▶ tail in memory (readable at once, kept until durable and a little longer)
//! ```
//!
//! One thread writes, so the order on disk is the order of the calls. Everything that queues up while one commit runs
//! shares the next: under load an fsync carries dozens of appends.

mod database;
mod fact;
mod tail;
mod takeover;
mod writer;

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use self::database::Facts;
pub use self::fact::Fact;
use self::tail::Tail;
use self::writer::{Job, Writer};
use super::StorageError;
use super::journal::{Index, Opened, Place, SEGMENT_BYTES};

/// Jobs that may wait for the writer; then callers wait.
const QUEUE: usize = 4096;

/// Told once the job is durable. There is no failure to tell: the process ends on one.
pub type Done = Box<dyn FnOnce() + Send>;

/// Says what is wrong with the record at a position: only its owner understands it.
pub type Check = fn(u64, &[u8]) -> Result<(), String>;

/// A handle to the log; clones share it. The writer ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct LogStore {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Shared {
    facts: Facts,
    /// Where the durable records are.
    index: Mutex<Index>,
    tail: Mutex<Tail>,
    /// As it is on the disk.
    committed: Mutex<Option<Vec<u8>>>,
    /// What is committed goes with the next block.
    later: Mutex<Option<Vec<u8>>>,
    ended: tokio::sync::watch::Sender<bool>,
}

impl LogStore {
    /// Opens or makes the log: `log.redb` and `journal/` beside it. Reads all of it once and has `check` look at each
    /// record, so that damage shows now and not in the middle of an election.
    pub fn open(path: &Path, check: Check) -> Result<Self, StorageError> {
        Self::open_with(path, check, SEGMENT_BYTES)
    }

    fn open_with(path: &Path, check: Check, segment_bytes: u64) -> Result<Self, StorageError> {
        // redb trusts its own pages after an orderly close: damaged ones may make it panic.
        let opened = panic::catch_unwind(AssertUnwindSafe(|| Self::open_checked(path, check, segment_bytes)));
        opened.unwrap_or_else(|_| Err(StorageError::corrupt(path, "its structure is broken")))
    }

    fn open_checked(path: &Path, check: Check, segment_bytes: u64) -> Result<Self, StorageError> {
        let mut facts = Facts::open(path)?;
        let (register, opened) = takeover::open_journal(&mut facts, segment_bytes, check)?;
        let Opened { journal, index, committed } = opened;
        let shared = Arc::new(Shared {
            facts,
            tail: Mutex::new(Tail::after(index.last().map(|(last, _)| last))),
            index: Mutex::new(index),
            committed: Mutex::new(committed),
            later: Mutex::default(),
            ended: tokio::sync::watch::Sender::new(false),
        });
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(Arc::clone(&shared), queue, journal, register);
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(StorageError::io("start the writer of", path))?;
        Ok(Self { shared, jobs })
    }

    /// Adds records at consecutive positions. They can be read when this returns; `done` is told when they are durable.
    pub async fn append(&self, records: Vec<(u64, Bytes)>, done: Done) {
        self.shared.tail.lock().push(&records);
        self.send(Job::Append { records, done }).await;
    }

    /// Returns once the vote is durable.
    pub async fn save_vote(&self, vote: Vec<u8>) {
        let (done, wait) = completion();
        self.send(Job::SaveVote { vote, done }).await;
        let _ = wait.await;
    }

    /// Remembers what is committed with the next records: the log can do without. The writer is not even woken.
    pub fn save_committed_lazily(&self, committed: Vec<u8>) {
        *self.shared.later.lock() = Some(committed);
    }

    /// Removes the records at `from` and after it.
    pub async fn truncate(&self, from: u64) {
        let (done, wait) = completion();
        self.shared.tail.lock().truncate(from);
        self.send(Job::Truncate { from, done }).await;
        let _ = wait.await;
    }

    /// Removes the records up to and including `upto` and remembers `purged`.
    pub async fn purge(&self, upto: u64, purged: Vec<u8>) {
        let (done, wait) = completion();
        self.send(Job::Purge { upto, purged, done }).await;
        let _ = wait.await;
    }

    /// As it is on the disk.
    pub fn fact(&self, fact: Fact) -> Result<Option<Vec<u8>>, StorageError> {
        match fact {
            Fact::Committed => Ok(self.shared.committed.lock().clone()),
            Fact::Vote | Fact::Purged | Fact::Blocks => self.shared.facts.get(fact),
        }
    }

    /// The records of `range` that exist, in order, at most `limit_bytes` of them but at least one.
    pub fn read(&self, range: Range<u64>, limit_bytes: usize) -> Result<Vec<(u64, Bytes)>, StorageError> {
        // Memory first: a record that is missing there has been durable since before, so the index has it.
        let (recent, tail_start) = self.shared.tail.lock().read(&range);
        let mut room = Room { bytes: limit_bytes, full: false, empty: true };
        let on_disk = range.start..range.end.min(tail_start);
        let places = self.places(&on_disk, &mut room);
        let read = places.into_iter().map(|(position, place)| Ok((position, place.read()?)));
        let mut records = read.collect::<Result<Vec<_>, StorageError>>()?;
        records.extend(recent.into_iter().take_while(|(_, record)| room.take(record.len())));
        Ok(records)
    }

    /// Where the records of `range` are that there is room for. They are read without the lock.
    fn places(&self, range: &Range<u64>, room: &mut Room) -> Vec<(u64, Place)> {
        let index = self.shared.index.lock();
        let places = index.range(range).take_while(|(_, place)| room.take(place.bytes()));
        places.map(|(position, place)| (position, place.clone())).collect()
    }

    /// The last record, if there is any.
    pub fn last(&self) -> Result<Option<(u64, Bytes)>, StorageError> {
        if let Some(last) = self.shared.tail.lock().last() {
            return Ok(Some(last));
        }
        let last = self.shared.index.lock().last();
        last.map(|(position, place)| Ok((position, place.read()?))).transpose()
    }

    /// Bytes of the records in the log.
    pub fn size_bytes(&self) -> u64 {
        self.shared.index.lock().bytes()
    }

    /// How many writes wait for the disk, and how many may.
    pub fn waiting(&self) -> (usize, usize) {
        let limit = self.jobs.max_capacity();
        (limit - self.jobs.capacity(), limit)
    }

    /// Returns once the writer has ended, after the last handle is gone: then the file can be opened again.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut ended = self.shared.ended.subscribe();
        async move {
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }

    async fn send(&self, job: Job) {
        if self.jobs.send(job).await.is_err() {
            // It ends only after every handle is gone, or by panicking.
            super::stop_process(&"the log's writer is gone");
        }
    }
}

/// What may still be read. Once something did not fit, nothing does: there are no holes in an answer.
struct Room {
    bytes: usize,
    empty: bool,
    full: bool,
}

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        self.full |= !self.empty && bytes > self.bytes;
        if !self.full {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.empty = false;
        }
        !self.full
    }
}

fn completion() -> (Done, oneshot::Receiver<()>) {
    let (told, wait) = oneshot::channel();
    let done = move || {
        // Nobody may be waiting any more.
        let _ = told.send(());
    };
    (Box::new(done), wait)
}

#[cfg(test)]
mod tests;
