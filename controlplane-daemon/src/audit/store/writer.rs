//! The one thread that writes the records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use controlplane_core::audit::Record;
use vocab::{ChainHash, Link};

use super::{Extent, Shared};
use crate::storage::{StorageError, stop_process};

/// What is carried out at a time, and then seen by readers.
const BATCH: usize = 1_024;
/// Several jobs at once mean that more are coming: they gather for a moment, since waking this thread costs more than
/// what it does. One alone is written at once.
const GATHER: Duration = Duration::from_millis(5);

pub(super) enum Job {
    Append(Vec<Record>),
    Truncate { through: u64 },
    Jump { first: u64, newest: u64, hash: ChainHash },
    Fill(Vec<(Link, String)>),
    Flush(mpsc::Sender<()>),
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Job>,
}

impl Writer {
    pub(super) const fn new(shared: Arc<Shared>, queue: mpsc::Receiver<Job>) -> Self {
        Self { shared, queue }
    }

    pub(super) fn run(self) {
        while let Ok(first) = self.queue.recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = self.queue.try_recv()
            {
                batch.push(next);
            }
            let mut extent = *self.shared.extent.borrow();
            if let Err(why) = self.carry_out(&batch, &mut extent) {
                stop_process(&format_args!("the audit cannot be written: {why}"));
            }
            self.shared.extent.send_if_modified(|known| std::mem::replace(known, extent) != extent);
            self.shared.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
            let more_are_coming = batch.len() > 1;
            for job in batch {
                if let Job::Flush(done) = job {
                    let _ = done.send(());
                }
            }
            if more_are_coming {
                thread::sleep(GATHER);
            }
        }
    }

    fn carry_out(&self, batch: &[Job], extent: &mut Extent) -> Result<(), StorageError> {
        let mut rest = batch;
        while let Some(job) = rest.first() {
            // All appends in a row are one.
            let appends = rest.iter().take_while(|job| matches!(job, Job::Append(_))).count();
            let (now, later) = rest.split_at(appends.max(1));
            rest = later;
            match job {
                Job::Append(_) => self.append(now, extent)?,
                Job::Truncate { through } => {
                    extent.first = extent.first.max(through + 1);
                    extent.complete_from = extent.complete_from.max(through + 1);
                    self.shared.kept.drop_before(extent.complete_from)?;
                }
                Job::Jump { first, newest, hash } => self.jump(*first, *newest, *hash, extent)?,
                Job::Fill(records) => self.fill(records, extent)?,
                Job::Flush(_) => self.shared.kept.sync()?,
            }
        }
        Ok(())
    }

    /// Those that are here already are passed over.
    fn append(&self, jobs: &[Job], extent: &mut Extent) -> Result<(), StorageError> {
        let records = jobs.iter().filter_map(|job| match job {
            Job::Append(records) => Some(records),
            _ => None,
        });
        let mut newest = extent.newest;
        let new = records.flatten().filter(|record| {
            let is_new = record.seq > newest;
            newest = newest.max(record.seq);
            is_new
        });
        self.shared.kept.append(new.map(|record| (record.seq, record.line.as_slice())))?;
        extent.newest = newest;
        Ok(())
    }

    fn jump(&self, first: u64, newest: u64, hash: ChainHash, extent: &mut Extent) -> Result<(), StorageError> {
        extent.first = extent.first.max(first);
        if newest > extent.newest {
            *extent = Extent { first: extent.first, complete_from: newest + 1, newest, anchor: hash };
            return self.shared.kept.clear();
        }
        extent.complete_from = extent.complete_from.max(first);
        self.shared.kept.drop_before(extent.complete_from)
    }

    fn fill(&self, records: &[(Link, String)], extent: &mut Extent) -> Result<(), StorageError> {
        let mut fitting = BTreeMap::new();
        for (link, line) in records {
            // A peer may have answered with what was removed from the chain meanwhile.
            let is_kept = link.seq >= extent.first;
            if is_kept && link.seq + 1 == extent.complete_from && link.hash == extent.anchor {
                fitting.insert(link.seq, line.as_str());
                extent.complete_from = link.seq;
                extent.anchor = link.previous;
            }
        }
        self.shared.kept.fill(&fitting)
    }
}
