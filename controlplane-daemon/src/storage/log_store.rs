//! The log on disk: opaque records at consecutive positions, and four facts beside them, in redb.
//!
//! ```text
//!   append, vote, truncate, purge ──▶ queue ──▶ writer thread: takes all that is queued, ONE durable transaction,
//!         │                                     then completes every callback of it
//!         └──▶ tail in memory (readable at once, kept until durable and a little longer)
//! ```
//!
//! One thread writes, so the order on disk is the order of the calls. Everything that queues up while one commit runs
//! shares the next: under load an fsync carries dozens of appends.

mod fact;
mod tail;
mod writer;

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use tokio::sync::{mpsc, oneshot};

pub use self::fact::Fact;
use self::tail::Tail;
use self::writer::{Job, Writer};
use super::StorageError;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");

/// Jobs that may wait for the writer; then callers wait.
const QUEUE: usize = 4096;
/// A log is read in order and mostly from its tail in memory: redb needs little.
const REDB_CACHE_BYTES: usize = 8 << 20;

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
    path: PathBuf,
    database: Database,
    tail: Mutex<Tail>,
    /// The newest of each fact that goes with the next transaction.
    later: Mutex<Vec<(Fact, Vec<u8>)>>,
    /// Bytes of the records in the log.
    size: AtomicU64,
    ended: tokio::sync::watch::Sender<bool>,
}

impl LogStore {
    /// Opens or makes the log. Reads all of it once and has `check` look at each record, so that damage shows now and not
    /// in the middle of an election.
    pub fn open(path: &Path, check: Check) -> Result<Self, StorageError> {
        // redb trusts its own pages after an orderly close: damaged ones may make it panic.
        let opened = panic::catch_unwind(AssertUnwindSafe(|| Self::open_checked(path, check)));
        opened.unwrap_or_else(|_| Err(StorageError::corrupt(path, "its structure is broken")))
    }

    fn open_checked(path: &Path, check: Check) -> Result<Self, StorageError> {
        let database = Database::builder()
            .set_cache_size(REDB_CACHE_BYTES)
            .create(path)
            .map_err(|error| open_error(path, error))?;
        let damaged = |error: redb::Error| StorageError::corrupt(path, error);
        make_tables(&database).map_err(damaged)?;
        super::sync_folder_of(path)?;
        let (last, size) = scan(path, &database, check)?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            database,
            tail: Mutex::new(Tail::after(last)),
            later: Mutex::default(),
            size: AtomicU64::new(size),
            ended: tokio::sync::watch::Sender::new(false),
        });
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(Arc::clone(&shared), queue);
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(StorageError::io("start the writer of", path))?;
        let opened = Self { shared, jobs };
        for fact in [Fact::Vote, Fact::Committed, Fact::Purged] {
            opened.fact(fact)?;
        }
        Ok(opened)
    }

    /// Adds records at consecutive positions. They can be read when this returns; `done` is told when they are durable.
    pub async fn append(&self, records: Vec<(u64, Bytes)>, done: Done) {
        self.shared.tail.lock().push(&records);
        self.send(Job::Append { records, done }).await;
    }

    /// Returns once `value` is durable.
    pub async fn save(&self, fact: Fact, value: Vec<u8>) {
        let (done, wait) = completion();
        self.send(Job::Save { fact, value, done }).await;
        let _ = wait.await;
    }

    /// Remembers `value` with the next transaction: for facts the log can do without. The writer is not even woken.
    pub fn save_lazily(&self, fact: Fact, value: Vec<u8>) {
        let mut later = self.shared.later.lock();
        later.retain(|(other, _)| *other != fact);
        later.push((fact, value));
    }

    /// Removes the records at `from` and after it.
    pub async fn truncate(&self, from: u64) {
        let (done, wait) = completion();
        self.shared.tail.lock().truncate(from);
        self.send(Job::Truncate { from, done }).await;
        let _ = wait.await;
    }

    /// Removes the records up to and including `upto` and remembers `purged` in the same transaction.
    pub async fn purge(&self, upto: u64, purged: Vec<u8>) {
        let (done, wait) = completion();
        self.send(Job::Purge { upto, purged, done }).await;
        let _ = wait.await;
    }

    pub fn fact(&self, fact: Fact) -> Result<Option<Vec<u8>>, StorageError> {
        let read = || -> Result<_, redb::Error> {
            let facts = self.shared.database.begin_read()?.open_table(FACTS)?;
            Ok(facts.get(fact.key())?.map(|value| value.value().to_vec()))
        };
        let stored = read().map_err(|error| StorageError::corrupt(&self.shared.path, error))?;
        let damaged = || StorageError::corrupt(&self.shared.path, format_args!("the {} is damaged", fact.key()));
        stored.map(|stored| fact::open(stored).ok_or_else(damaged)).transpose()
    }

    /// The records of `range` that exist, in order, at most `limit_bytes` of them but at least one.
    pub fn read(&self, range: Range<u64>, limit_bytes: usize) -> Result<Vec<(u64, Bytes)>, StorageError> {
        // Memory first: a record that is missing there has been durable since before, so redb has it.
        let (recent, tail_start) = self.shared.tail.lock().read(&range);
        let mut records = Vec::new();
        let mut room = Room { bytes: limit_bytes, empty: true };
        let on_disk = range.start..range.end.min(tail_start);
        if !on_disk.is_empty() {
            let read = || -> Result<bool, redb::Error> {
                let log = self.shared.database.begin_read()?.open_table(LOG)?;
                for record in log.range(on_disk)? {
                    let (position, value) = record?;
                    if !room.take(value.value().len()) {
                        return Ok(false);
                    }
                    records.push((position.value(), Bytes::copy_from_slice(value.value())));
                }
                Ok(true)
            };
            if !read().map_err(|error| StorageError::corrupt(&self.shared.path, error))? {
                return Ok(records);
            }
        }
        records.extend(recent.into_iter().take_while(|(_, record)| room.take(record.len())));
        Ok(records)
    }

    /// The last record, if there is any.
    pub fn last(&self) -> Result<Option<(u64, Bytes)>, StorageError> {
        if let Some(last) = self.shared.tail.lock().last() {
            return Ok(Some(last));
        }
        let read = || -> Result<_, redb::Error> {
            let log = self.shared.database.begin_read()?.open_table(LOG)?;
            Ok(log.last()?.map(|(position, value)| (position.value(), Bytes::copy_from_slice(value.value()))))
        };
        read().map_err(|error| StorageError::corrupt(&self.shared.path, error))
    }

    /// Bytes of the records in the log.
    pub fn size_bytes(&self) -> u64 {
        self.shared.size.load(Ordering::Relaxed)
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

struct Room {
    bytes: usize,
    empty: bool,
}

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.empty || bytes <= self.bytes;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.empty = false;
        fits
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

fn open_error(path: &Path, error: redb::DatabaseError) -> StorageError {
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StorageError::InUse { path: path.to_owned() },
        redb::DatabaseError::Storage(redb::StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::UnexpectedEof
                && source.kind() != std::io::ErrorKind::InvalidData =>
        {
            StorageError::Io { doing: "open", path: path.to_owned(), source }
        }
        other => StorageError::corrupt(path, other),
    }
}

fn make_tables(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(LOG)?;
    transaction.open_table(FACTS)?;
    transaction.commit()?;
    Ok(())
}

/// The last position and the bytes of all records; an error when a position is missing or a record is damaged.
fn scan(path: &Path, database: &Database, check: Check) -> Result<(Option<u64>, u64), StorageError> {
    let damaged = |error: redb::Error| StorageError::corrupt(path, error);
    let (mut last, mut size) = (None, 0);
    let log = database.begin_read().map_err(|e| damaged(e.into()))?.open_table(LOG).map_err(|e| damaged(e.into()))?;
    for record in log.iter().map_err(|e| damaged(e.into()))? {
        let (position, value) = record.map_err(|e| damaged(e.into()))?;
        let position = position.value();
        if last.is_some_and(|last| position != last + 1) {
            return Err(StorageError::corrupt(path, format_args!("there is a hole before position {position}")));
        }
        check(position, value.value()).map_err(|why| StorageError::corrupt(path, why))?;
        last = Some(position);
        size += value.value().len() as u64;
    }
    Ok((last, size))
}

#[cfg(test)]
mod tests;
