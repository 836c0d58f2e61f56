//! The one thread that writes the log.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::database::Register;
use super::{Done, Fact, Shared};
use crate::storage::journal::{Block, Journal};
use crate::storage::{StorageError, stop_process};

/// Of records that share a block; the rest of the queue waits for the next. An append is never divided.
const BATCH_BYTES: usize = 8 << 20;

pub(super) enum Job {
    Append { records: Vec<(u64, Bytes)>, done: Done },
    SaveVote { vote: Vec<u8>, done: Done },
    Truncate { from: u64, done: Done },
    Purge { upto: u64, purged: Vec<u8>, done: Done },
}

impl Job {
    /// About what it adds to a block.
    fn block_bytes(&self) -> usize {
        match self {
            Self::Append { records, .. } => records.iter().map(|(_, record)| Block::length_with(record.len())).sum(),
            Self::SaveVote { .. } | Self::Truncate { .. } | Self::Purge { .. } => 0,
        }
    }
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
    journal: Journal,
    register: Register,
    /// What one commit carries.
    batch: Vec<Job>,
    block: Block,
    size_shown: metrics::Gauge,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, queue: mpsc::Receiver<Job>, journal: Journal, register: Register) -> Self {
        let size_shown = metrics::gauge!("raft_log_size_bytes");
        Self { shared, queue, journal, register, batch: Vec::new(), block: Block::default(), size_shown }
    }

    pub(super) fn run(mut self) {
        let _guard = StopOnPanic;
        while let Some(job) = self.queue.blocking_recv() {
            let mut bytes = job.block_bytes();
            self.batch.push(job);
            while bytes < BATCH_BYTES
                && let Ok(job) = self.queue.try_recv()
            {
                bytes += job.block_bytes();
                self.batch.push(job);
            }
            self.commit(bytes);
        }
        if let Err(error) = self.close() {
            stop_process(&error);
        }
        let ended = self.shared.ended.clone();
        // The database closes with the last reference; tell only after.
        drop(self);
        ended.send_replace(true);
    }

    fn commit(&mut self, bytes: usize) {
        if let Err(error) = self.write(bytes) {
            stop_process(&error);
        }
        self.forget();
        for job in self.batch.drain(..) {
            let (Job::Append { done, .. }
            | Job::SaveVote { done, .. }
            | Job::Truncate { done, .. }
            | Job::Purge { done, .. }) = job;
            done();
        }
    }

    /// Makes all of the batch durable. Facts first: a vote is never behind the records of its term, and a snapshot stands
    /// in for what is purged already.
    fn write(&mut self, bytes: usize) -> Result<(), StorageError> {
        self.save_facts()?;
        for job in &self.batch {
            match job {
                Job::Append { records, .. } => {
                    for (position, record) in records {
                        self.block.append(*position, record);
                    }
                }
                Job::Truncate { from, .. } => self.block.truncate(*from),
                Job::SaveVote { .. } | Job::Purge { .. } => {}
            }
        }
        if !self.block.is_empty() {
            if self.journal.is_full(bytes) {
                self.begin_segment()?;
            }
            self.write_block()?;
        }
        let mut index = self.shared.index.lock();
        index.purge(self.register.floor.unwrap_or_default());
        #[expect(clippy::cast_precision_loss, reason = "a log of 2^52 bytes does not exist")]
        self.size_shown.set(index.bytes() as f64);
        drop(index);
        if self.batch.iter().any(|job| matches!(job, Job::Purge { .. })) {
            self.journal.remove_before(self.register.first)?;
        }
        Ok(())
    }

    fn save_facts(&mut self) -> Result<(), StorageError> {
        let mut facts: Vec<(Fact, &[u8])> = Vec::new();
        for job in &self.batch {
            match job {
                Job::SaveVote { vote, .. } => facts.push((Fact::Vote, vote)),
                Job::Purge { upto, purged, .. } => {
                    let floor = self.register.floor.max(Some(upto.saturating_add(1)));
                    let first = self.shared.index.lock().segment_at(floor.unwrap_or_default());
                    self.register.floor = floor;
                    self.register.first = first.unwrap_or(self.journal.number());
                    facts.push((Fact::Purged, purged));
                }
                Job::Append { .. } | Job::Truncate { .. } => {}
            }
        }
        if facts.is_empty() { Ok(()) } else { self.save(&facts) }
    }

    /// With how many blocks there are by now.
    fn save(&self, facts: &[(Fact, &[u8])]) -> Result<(), StorageError> {
        let blocks = self.journal.next_block().to_string();
        let mut all = vec![(Fact::Blocks, blocks.as_bytes())];
        all.extend_from_slice(facts);
        self.shared.facts.save(&all, &self.register)
    }

    fn begin_segment(&mut self) -> Result<(), StorageError> {
        self.journal.rotate()?;
        self.register.last = self.journal.number();
        self.save(&[])
    }

    /// The block, and with it what is committed by now.
    fn write_block(&mut self) -> Result<(), StorageError> {
        let mut committed = self.shared.later.lock().take();
        if committed.is_none() && self.journal.is_at_start() {
            // The segment that says it may be gone before the next one is.
            committed.clone_from(&self.shared.committed.lock());
        }
        if let Some(committed) = &committed {
            self.block.committed(committed);
        }
        self.journal.write(&mut self.block, &self.shared.index)?;
        self.block.clear();
        if committed.is_some() {
            *self.shared.committed.lock() = committed;
        }
        Ok(())
    }

    /// What memory need not have any more.
    fn forget(&self) {
        let mut tail = self.shared.tail.lock();
        for job in &self.batch {
            match job {
                Job::Append { records, .. } => {
                    if let Some((durable, _)) = records.last() {
                        tail.trim(*durable);
                    }
                }
                Job::Purge { upto, .. } => tail.forget(*upto),
                Job::SaveVote { .. } | Job::Truncate { .. } => {}
            }
        }
    }

    /// Says that all ended in order, so that the last record is followed by an intact block as any other.
    fn close(&mut self) -> Result<(), StorageError> {
        if self.journal.is_closed() && self.shared.later.lock().is_none() {
            return Ok(());
        }
        self.block.close();
        self.write_block()?;
        self.save(&[])
    }
}
