//! The one thread that writes the log.

use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use redb::{Durability, Table};
use tokio::sync::mpsc;

use super::{Done, FACTS, Fact, LOG, Shared, fact};
use crate::storage::stop_process;

pub(super) enum Job {
    Append { records: Vec<(u64, Bytes)>, done: Done },
    Save { fact: Fact, value: Vec<u8>, done: Done },
    Truncate { from: u64, done: Done },
    Purge { upto: u64, purged: Vec<u8>, done: Done },
}

/// A writer that panicked must take the process with it: whoever waits for it would take its silence for durability.
struct StopOnPanic;

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            stop_process(&"the log's writer panicked");
        }
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Job>,
    /// What one commit carries.
    batch: Vec<Job>,
    size_shown: metrics::Gauge,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, queue: mpsc::Receiver<Job>) -> Self {
        Self { shared, queue, batch: Vec::new(), size_shown: metrics::gauge!("raft_log_size_bytes") }
    }

    pub(super) fn run(mut self) {
        let _guard = StopOnPanic;
        while let Some(job) = self.queue.blocking_recv() {
            self.batch.push(job);
            while let Ok(job) = self.queue.try_recv() {
                self.batch.push(job);
            }
            self.commit();
        }
        if !self.shared.later.lock().is_empty() {
            self.commit();
        }
        let ended = self.shared.ended.clone();
        // The database closes with the last reference; tell only after.
        drop(self);
        ended.send_replace(true);
    }

    fn commit(&mut self) {
        let size = self.shared.size.load(Ordering::Relaxed);
        match self.write(size) {
            Ok((size, durable)) => {
                self.shared.size.store(size, Ordering::Relaxed);
                #[expect(clippy::cast_precision_loss, reason = "a log of 2^52 bytes does not exist")]
                self.size_shown.set(size as f64);
                let mut tail = self.shared.tail.lock();
                if let Some(durable) = durable {
                    tail.trim(durable);
                }
                for job in &self.batch {
                    if let Job::Purge { upto, .. } = job {
                        tail.forget(*upto);
                    }
                }
            }
            Err(error) => stop_process(&format_args!("{} cannot be written: {error}", self.shared.path.display())),
        }
        for job in self.batch.drain(..) {
            let (Job::Append { done, .. }
            | Job::Save { done, .. }
            | Job::Truncate { done, .. }
            | Job::Purge { done, .. }) = job;
            done();
        }
    }

    /// All of the batch in one durable transaction; the new size of the log and the last position appended.
    fn write(&self, mut size: u64) -> Result<(u64, Option<u64>), redb::Error> {
        let mut transaction = self.shared.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let mut durable = None;
        {
            let mut log = transaction.open_table(LOG)?;
            let mut facts = transaction.open_table(FACTS)?;
            for (fact, value) in std::mem::take(&mut *self.shared.later.lock()) {
                facts.insert(fact.key(), fact::seal(&value).as_slice())?;
            }
            for job in &self.batch {
                match job {
                    Job::Append { records, .. } => {
                        for (position, record) in records {
                            log.insert(position, record.as_ref())?;
                            size += record.len() as u64;
                            durable = Some(*position);
                        }
                    }
                    Job::Save { fact, value, .. } => {
                        facts.insert(fact.key(), fact::seal(value).as_slice())?;
                    }
                    Job::Truncate { from, .. } => {
                        size = size.saturating_sub(remove(&mut log, *from..)?);
                    }
                    Job::Purge { upto, purged, .. } => {
                        size = size.saturating_sub(remove(&mut log, ..=*upto)?);
                        facts.insert(Fact::Purged.key(), fact::seal(purged).as_slice())?;
                    }
                }
            }
        }
        transaction.commit()?;
        Ok((size, durable))
    }
}

/// Removes a range; the bytes its records had.
fn remove(log: &mut Table<'_, u64, &'static [u8]>, range: impl RangeBounds<u64>) -> Result<u64, redb::Error> {
    let mut freed = 0;
    log.retain_in(range, |_, record| {
        freed += record.len() as u64;
        false
    })?;
    Ok(freed)
}
