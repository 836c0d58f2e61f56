//! The one thread that writes the records.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use controlplane_core::audit::Record;
use redb::{Durability, ReadableTable as _, Table};
use vocab::{ChainHash, Link};

use super::{ANCHOR, COMPLETE_FROM, Extent, FACTS, RECORDS, Shared};
use crate::storage::stop_process;

/// One commit carries no more than this many jobs.
const BATCH: usize = 1_024;
/// Several jobs at once mean that more are coming: they gather for a moment, since a commit costs more than what is in it.
/// One alone is written at once.
const GATHER: Duration = Duration::from_millis(5);
/// A commit that is not durable keeps what it replaced: now and then one is.
const DURABLE_EVERY_BYTES: usize = 16 << 20;

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
    /// Bytes since the last durable commit.
    loose: usize,
}

impl Writer {
    pub(super) const fn new(shared: Arc<Shared>, queue: mpsc::Receiver<Job>) -> Self {
        Self { shared, queue, loose: 0 }
    }

    pub(super) fn run(mut self) {
        while let Ok(first) = self.queue.recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = self.queue.try_recv()
            {
                batch.push(next);
            }
            let mut extent = *self.shared.extent.borrow();
            if let Err(why) = self.commit(&batch, &mut extent) {
                stop_process(&format_args!("{} cannot be written: {why}", self.shared.path.display()));
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

    fn commit(&mut self, batch: &[Job], extent: &mut Extent) -> Result<(), redb::Error> {
        let mut transaction = self.shared.database.begin_write()?;
        let durable = self.loose > DURABLE_EVERY_BYTES || batch.iter().any(|job| matches!(job, Job::Flush(_)));
        transaction.set_durability(if durable { Durability::Immediate } else { Durability::None })?;
        let before = *extent;
        {
            let mut records = transaction.open_table(RECORDS)?;
            for job in batch {
                self.loose += carry_out(job, &mut records, extent)?;
            }
            if (before.complete_from, before.anchor) != (extent.complete_from, extent.anchor) {
                let mut facts = transaction.open_table(FACTS)?;
                facts.insert(COMPLETE_FROM, extent.complete_from.to_string().as_str())?;
                facts.insert(ANCHOR, extent.anchor.to_string().as_str())?;
            }
        }
        transaction.commit()?;
        if durable {
            self.loose = 0;
        }
        Ok(())
    }
}

/// A log that is applied again gives the same records. Should one differ, the log is right: it is on a majority of disks.
fn replace_if_other(
    table: &mut Table<'_, u64, &'static str>,
    record: &Record,
    extent: &Extent,
) -> Result<(), redb::Error> {
    let is_other = table.get(record.seq)?.is_some_and(|stored| stored.value() != record.line);
    if is_other && record.seq >= extent.complete_from {
        tracing::error!(seq = record.seq, "a stored audit record differs from what the log says; it is replaced");
        table.insert(record.seq, record.line.as_str())?;
    }
    Ok(())
}

/// The bytes that were written.
fn carry_out(job: &Job, table: &mut Table<'_, u64, &'static str>, extent: &mut Extent) -> Result<usize, redb::Error> {
    let mut bytes = 0;
    match job {
        Job::Append(records) => {
            let newest = extent.newest;
            for record in records {
                if record.seq <= newest {
                    replace_if_other(table, record, extent)?;
                    continue;
                }
                table.insert(record.seq, record.line.as_str())?;
                bytes += record.line.len();
                extent.newest = record.seq;
            }
        }
        Job::Truncate { through } => {
            table.retain_in(..=*through, |_, _| false)?;
            extent.first = extent.first.max(through + 1);
            extent.complete_from = extent.complete_from.max(through + 1);
        }
        Job::Jump { first, newest, hash } => {
            table.retain_in(..*first, |_, _| false)?;
            extent.first = extent.first.max(*first);
            extent.complete_from = extent.complete_from.max(*first);
            if *newest > extent.newest {
                *extent = Extent { first: extent.first, complete_from: newest + 1, newest: *newest, anchor: *hash };
            }
        }
        Job::Fill(records) => {
            for (link, line) in records {
                if link.seq + 1 == extent.complete_from && link.hash == extent.anchor {
                    table.insert(link.seq, line.as_str())?;
                    bytes += line.len();
                    extent.complete_from = link.seq;
                    extent.anchor = link.previous;
                }
            }
        }
        Job::Flush(_) => {}
    }
    Ok(bytes)
}
