//! openraft's state machine on our replica: decode, apply, answer; and snapshots of it.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use controlplane_core::audit::Chain;
use futures::{Stream, StreamExt as _};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;
use vocab::Revision;

use super::replica::{Contents, Replica};
use super::snapshot;
use super::types::{Answer, Entry, EntryPayload, LogId, Snapshot, SnapshotMeta, StoredMembership, Types};
use crate::audit;
use crate::feed;
use crate::storage::snapshots::{Incoming, SnapshotFile, Snapshots};
use crate::storage::{StorageError, stop_process};

/// An entry of this many bytes takes about a millisecond to read and apply.
pub(super) const LONG_BYTES: usize = 64 << 10;

#[derive(Clone, Debug)]
pub struct StateMachine {
    replica: Arc<Replica>,
    snapshots: Snapshots,
    /// A peer's snapshot that was found whole and is about to be installed: it is not decoded twice.
    received: Arc<Mutex<Option<(PathBuf, Contents)>>>,
}

impl StateMachine {
    /// The newest snapshot that can be read, or nothing. `log_starts_after` is the last position the log has lost:
    /// a snapshot older than that cannot be continued from.
    pub fn open(
        snapshots: Snapshots,
        log_starts_after: Option<u64>,
        limits: feed::Limits,
        records: impl FnOnce(&Chain) -> Result<audit::Store, StorageError>,
    ) -> Result<Self, StorageError> {
        let copy = restore(&snapshots, log_starts_after)?;
        let records = records(copy.state.audit())?;
        Ok(Self { replica: Replica::new(copy, limits, records), snapshots, received: Arc::default() })
    }

    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// A peer's snapshot, gathered whole. Everything is looked at before anything here is replaced: checksum, format, every
    /// record and what must hold of all of them together; with an error the file is gone and nothing has changed.
    pub(super) fn receive(&self, incoming: Incoming) -> Result<Snapshot, StorageError> {
        let file = incoming.finish()?;
        let copy = snapshot::load(&file)?;
        let meta = snapshot::meta(&copy);
        *self.received.lock() = Some((file.path().to_owned(), copy));
        Ok(Snapshot { meta, snapshot: file })
    }

    /// A snapshot of this moment that is not kept: for whoever takes it away.
    pub fn take_away(&self) -> Result<(Option<Revision>, SnapshotFile), StorageError> {
        let copy = self.replica.copy();
        let file = snapshot::save_temporary(&self.snapshots, &copy)?;
        Ok((copy.revision(), file))
    }

    /// The newest snapshot for a peer that is far behind. A damaged one is set aside and made anew: the state in memory
    /// is whole.
    fn current(&self) -> Result<Option<Snapshot>, StorageError> {
        let Some(file) = self.snapshots.list()?.into_iter().next() else { return Ok(None) };
        match snapshot::describe(&file) {
            Ok(meta) => Ok(Some(Snapshot { meta, snapshot: file })),
            Err(why @ StorageError::Corrupt { .. }) => {
                tracing::error!(%why, "a snapshot is damaged; writing a new one");
                self.snapshots.set_aside(&file)?;
                let copy = self.replica.copy();
                self.replica.records().flush();
                let snapshot = snapshot::save(&self.snapshots, &copy)?;
                Ok(Some(Snapshot { meta: snapshot::meta(&copy), snapshot }))
            }
            Err(why) => Err(why),
        }
    }

    fn apply_whole(&self, entry: &Entry) -> Answer {
        let applied = panic::catch_unwind(AssertUnwindSafe(|| self.apply_one(entry)));
        // What is half applied can be neither finished nor undone.
        applied.unwrap_or_else(|_| {
            stop_process(&format_args!("log position {}: applying it panicked", entry.log_id.index))
        })
    }

    pub(super) fn apply_one(&self, entry: &Entry) -> Answer {
        let log_id = entry.log_id;
        match &entry.payload {
            EntryPayload::Blank => self.replica.pass_blank(log_id),
            EntryPayload::Membership(membership) => self.replica.set_membership(log_id, membership.clone()),
            EntryPayload::Normal(payload) => match payload.content(log_id.index) {
                Ok(content) => {
                    return self
                        .replica
                        .apply(log_id, content)
                        .map_or(Answer::Nothing, |outcome| Answer::Outcome(Box::new(outcome)));
                }
                // Skipping it would make this node's state another one than the cluster's.
                Err(why) => stop_process(&why),
            },
        }
        Answer::Nothing
    }
}

/// Not on Raft's own thread, where a heartbeat would wait for it.
fn is_long(entry: &Entry) -> bool {
    matches!(&entry.payload, EntryPayload::Normal(payload) if payload.0.len() > LONG_BYTES)
}

fn restore(snapshots: &Snapshots, log_starts_after: Option<u64>) -> Result<Contents, StorageError> {
    let mut damage = None;
    for file in snapshots.list()? {
        match snapshot::load(&file) {
            Ok(copy) => {
                let at = copy.last_applied.map(|last| last.index);
                if log_starts_after > at {
                    break;
                }
                return Ok(copy);
            }
            Err(why @ StorageError::Corrupt { .. }) => {
                tracing::error!(%why, "a snapshot is damaged; trying the one before it");
                snapshots.set_aside(&file)?;
                damage = Some(why);
            }
            Err(why) => return Err(why),
        }
    }
    match (damage, log_starts_after) {
        // The log still has everything from its beginning.
        (_, None) => Ok(Contents::default()),
        (Some(damage), _) => Err(damage),
        (None, Some(lost)) => Err(StorageError::corrupt(
            Path::new("snapshots"),
            format_args!("the log begins after position {lost}, but no snapshot reaches that far"),
        )),
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let copy = self.replica.copy();
        Ok((copy.last_applied, copy.membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let latency = metrics::histogram!("raft_apply_latency");
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let begun = Instant::now();
            let answer = if is_long(&entry) {
                let machine = self.clone();
                tokio::task::spawn_blocking(move || machine.apply_whole(&entry)).await.map_err(io::Error::other)?
            } else {
                self.apply_whole(&entry)
            };
            latency.record(begun.elapsed());
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            copy: self.replica.copy(),
            snapshots: self.snapshots.clone(),
            records: self.replica.records().clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, file: SnapshotFile) -> io::Result<()> {
        let machine = self.clone();
        let position = meta.last_log_id.map_or(0, |last| last.index);
        let copy = tokio::task::spawn_blocking(move || {
            let received = machine.received.lock().take();
            let copy = match received {
                Some((path, copy)) if path == file.path() => copy,
                _ => snapshot::load(&file)?,
            };
            machine.snapshots.adopt(&file, position).map(|_| copy)
        });
        let copy = copy.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        self.replica.replace(copy);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let machine = self.clone();
        let current = tokio::task::spawn_blocking(move || machine.current());
        current.await.map_err(io::Error::other)?.map_err(io::Error::other)
    }
}

/// A view of the state that does not change any more, to be written while the state goes on.
#[derive(Debug)]
pub struct Builder {
    copy: Contents,
    snapshots: Snapshots,
    records: audit::Store,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (copy, snapshots, records) = (self.copy.clone(), self.snapshots.clone(), self.records.clone());
        let meta = snapshot::meta(&copy);
        let written = tokio::task::spawn_blocking(move || {
            // The log behind the snapshot can go: what it would make anew must be safe.
            records.flush();
            snapshot::save(&snapshots, &copy)
        });
        let snapshot = written.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        Ok(Snapshot { meta, snapshot })
    }
}

#[cfg(test)]
mod tests;
