//! openraft's state machine on our replica: decode, apply, answer; and snapshots of it.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt as _};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use serde::{Deserialize, Serialize};
use vocab::{ClusterId, Timestamp};

use super::log_storage::StoredLogId;
use super::record::Members;
use super::replica::{Contents, Replica};
use super::types::{Answer, Entry, EntryPayload, LogId, Snapshot, SnapshotMeta, StoredMembership, Types};
use crate::feed;
use crate::storage::snapshots::{SnapshotFile, Snapshots};
use crate::storage::{StorageError, stop_process};

#[derive(Clone, Debug)]
pub struct StateMachine {
    replica: Arc<Replica>,
    snapshots: Snapshots,
}

/// What stands in a snapshot before the state.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    last_applied: Option<StoredLogId>,
    membership_at: Option<StoredLogId>,
    members: Members,
    cluster_id: Option<ClusterId>,
    last_stamp: Timestamp,
}

impl StateMachine {
    /// The newest snapshot that can be read, or nothing. `log_starts_after` is the last position the log has lost:
    /// a snapshot older than that cannot be continued from.
    pub fn open(
        snapshots: Snapshots,
        log_starts_after: Option<u64>,
        limits: feed::Limits,
    ) -> Result<Self, StorageError> {
        let copy = restore(&snapshots, log_starts_after)?;
        Ok(Self { replica: Replica::new(copy, limits), snapshots })
    }

    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    fn apply_one(&self, entry: &Entry) -> Answer {
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

fn restore(snapshots: &Snapshots, log_starts_after: Option<u64>) -> Result<Contents, StorageError> {
    let mut damage = None;
    for file in snapshots.list()? {
        match load(&file) {
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

fn load(file: &SnapshotFile) -> Result<Contents, StorageError> {
    let damaged = |why: &dyn std::fmt::Display| StorageError::corrupt(file.path(), why);
    let content = file.content()?;
    let header: Header = serde_json::from_slice(&content.header).map_err(|why| damaged(&why))?;
    let state = controlplane_core::snapshot::decode(content.body.as_slice()).map_err(|why| damaged(&why))?;
    let membership = header.members.try_into().map_err(|why: String| damaged(&why))?;
    Ok(Contents {
        state,
        last_applied: header.last_applied.map(LogId::from),
        membership: StoredMembership::new(header.membership_at.map(LogId::from), membership),
        cluster_id: header.cluster_id,
        last_stamp: header.last_stamp,
    })
}

fn save(snapshots: &Snapshots, copy: &Contents) -> Result<SnapshotFile, StorageError> {
    let header = Header {
        last_applied: copy.last_applied.map(StoredLogId::from),
        membership_at: copy.membership.log_id().map(StoredLogId::from),
        members: copy.membership.membership().into(),
        cluster_id: copy.cluster_id,
        last_stamp: copy.last_stamp,
    };
    let header = serde_json::to_vec(&header).expect("a header has string keys and serializes");
    let mut body = Vec::new();
    controlplane_core::snapshot::encode(&copy.state, &mut body).expect("a Vec grows as needed");
    snapshots.write(copy.last_applied.map_or(0, |last| last.index), &header, &body)
}

fn meta(copy: &Contents) -> SnapshotMeta {
    SnapshotMeta { last_log_id: copy.last_applied, last_membership: copy.membership.clone() }
}

/// What a whole snapshot file from a peer is a snapshot of; an error when the file is damaged.
pub(super) fn describe(file: SnapshotFile) -> Result<Snapshot, StorageError> {
    let copy = load(&file)?;
    Ok(Snapshot { meta: meta(&copy), snapshot: file })
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
            let applied = panic::catch_unwind(AssertUnwindSafe(|| self.apply_one(&entry)));
            // What is half applied can be neither finished nor undone.
            let answer = applied.unwrap_or_else(|_| {
                stop_process(&format_args!("log position {}: applying it panicked", entry.log_id.index))
            });
            latency.record(begun.elapsed());
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { copy: self.replica.copy(), snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> io::Result<()> {
        let snapshots = self.snapshots.clone();
        let position = meta.last_log_id.map_or(0, |last| last.index);
        let copy = tokio::task::spawn_blocking(move || {
            let copy = load(&snapshot)?;
            snapshots.adopt(&snapshot, position).map(|_| copy)
        });
        let copy = copy.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        self.replica.replace(copy);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let Some(file) = self.snapshots.list().map_err(io::Error::other)?.into_iter().next() else {
            return Ok(None);
        };
        let described = tokio::task::spawn_blocking(move || describe(file));
        described.await.map_err(io::Error::other)?.map(Some).map_err(io::Error::other)
    }
}

/// A view of the state that does not change any more, to be written while the state goes on.
#[derive(Debug)]
pub struct Builder {
    copy: Contents,
    snapshots: Snapshots,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (copy, snapshots) = (self.copy.clone(), self.snapshots.clone());
        let meta = meta(&copy);
        let written = tokio::task::spawn_blocking(move || save(&snapshots, &copy));
        let snapshot = written.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        Ok(Snapshot { meta, snapshot })
    }
}

#[cfg(test)]
mod tests;
