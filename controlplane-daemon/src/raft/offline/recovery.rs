//! A cluster whose majority is gone for good goes on with one node and what that node has.
//!
//! Nobody can say any more which of its last entries were committed, so all are taken: what was acknowledged and reached
//! this node is kept, and what was proposed and never acknowledged may appear. What only the lost nodes had is lost.

use std::fmt;
use std::path::{Path, PathBuf};

use controlplane_core::Note;
use controlplane_core::state::Counts;
use vocab::ClusterId;

use super::{NewCluster, OfflineError, Place, Unannounced, alone, check_keys};
use crate::audit;
use crate::feed;
use crate::raft::log_storage::{StoredLogId, json};
use crate::raft::node::{check_record, purged};
use crate::raft::record::{self, Members};
use crate::raft::snapshot;
use crate::raft::state_machine::StateMachine;
use crate::raft::types::LogId;
use crate::storage::binding::{self, Binder, Bound};
use crate::storage::log_store::{Fact, LogStore};
use crate::storage::snapshots::Snapshots;
use crate::storage::{StorageError, identity};

/// Records read at a time.
const BATCH_BYTES: usize = 4 << 20;

/// A node's data, looked at but not touched.
#[derive(Debug)]
pub struct Recovery {
    place: Place,
    store: LogStore,
    machine: StateMachine,
    report: Report,
}

/// What there is, for the operator to decide on.
#[derive(Clone, Debug)]
pub struct Report {
    data_dir: PathBuf,
    node_id: u64,
    cluster_id: Option<ClusterId>,
    last: LogId,
    /// As far as this node had heard.
    committed: Option<u64>,
    members: Members,
    counts: Counts,
}

impl Recovery {
    /// Reads everything: identity, log, snapshots. Fails while the node runs.
    pub fn examine(place: Place) -> Result<Self, OfflineError> {
        let data_dir = &place.data_dir;
        let log = data_dir.join("log.redb");
        if !data_dir.join("node.json").exists() || !log.exists() {
            return Err(OfflineError::NothingThere(data_dir.clone()));
        }
        identity::claim(data_dir, place.node_id, &place.keyring)?;
        let store = LogStore::open(&log, check_record)?;
        let snapshots = Snapshots::open(data_dir.join("snapshots"))?;
        // Who only looks must not put on record what may never have been committed.
        let machine = StateMachine::open(snapshots, purged(&store)?, feed::Limits::default(), audit::Store::in_memory)?;
        replay(&log, &store, &machine)?;
        let contents = machine.replica().copy();
        let Some(last) = contents.last_applied else {
            return Err(OfflineError::NothingThere(data_dir.clone()));
        };
        check_keys(&contents, &place, data_dir)?;
        let committed: Option<StoredLogId> =
            store.fact(Fact::Committed)?.and_then(|it| serde_json::from_slice(&it).ok());
        let report = Report {
            data_dir: data_dir.clone(),
            node_id: place.node_id.0,
            cluster_id: contents.cluster_id,
            last,
            committed: committed.map(|at| at.index),
            members: contents.membership.membership().into(),
            counts: contents.state.counts(),
        };
        Ok(Self { place, store, machine, report })
    }

    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Makes this node a cluster of its own. After a crash at any point the directory is the old one or the new one, and
    /// this can be done again.
    pub async fn carry_out(self) -> Result<NewCluster, OfflineError> {
        let Self { place, store, machine, report } = self;
        let kept = keep_copy(&place)?;
        let snapshots = machine.snapshots().clone();
        drop(machine);
        let machine = with_records(&place, &store, snapshots)?;
        let mut contents = machine.replica().copy();
        let at = report.last;
        let (cluster_id, advertise_addr) = alone(&mut contents, &place, at);
        Unannounced::write(
            &place,
            Note::Recovered {
                from_cluster_id: report.cluster_id,
                cluster_id,
                last_log: at.index,
                term: at.leader_id.term,
            },
        )?;
        let snapshots = machine.snapshots();
        let new = snapshot::save(snapshots, &contents)?;
        // The older ones are of the old cluster: nothing may fall back to them.
        snapshots.keep_only(&new)?;
        // Nor may anybody be sent what names the old cluster and its members.
        store.purge(at.index, json(&StoredLogId::from(at))).await;
        binding::write(&place.data_dir, Bound { cluster_id, by: Binder::Founder, filled_at: None })?;
        let ended = store.ended();
        drop((store, machine));
        ended.await;
        Ok(NewCluster { cluster_id, revision: at.index, advertise_addr, kept: Some(kept) })
    }
}

/// The same once more, as a start does it, so that what the log says of the audit is in its files: afterwards there is no
/// log any more to make it anew from.
fn with_records(place: &Place, store: &LogStore, snapshots: Snapshots) -> Result<StateMachine, StorageError> {
    let data_dir = &place.data_dir;
    let machine = StateMachine::open(snapshots, purged(store)?, feed::Limits::default(), |chain| {
        audit::Store::open(&data_dir.join("audit"), chain)
    })?;
    replay(&data_dir.join("log.redb"), store, &machine)?;
    machine.replica().records().flush();
    Ok(machine)
}

/// Applies what the log has beyond the snapshot.
fn replay(path: &Path, store: &LogStore, machine: &StateMachine) -> Result<(), StorageError> {
    let last = store.last()?.map(|(index, _)| index);
    let mut next = machine.replica().copy().last_applied.map_or(0, |at| at.index + 1);
    while last.is_some_and(|last| next <= last) {
        let records = store.read(next..u64::MAX, BATCH_BYTES)?;
        for (index, bytes) in &records {
            if *index != next {
                return Err(StorageError::corrupt(path, format_args!("position {next} is missing")));
            }
            let entry = record::decode(*index, bytes).map_err(|why| StorageError::corrupt(path, why))?;
            machine.apply_one(&entry);
            next += 1;
        }
        if records.is_empty() {
            return Err(StorageError::corrupt(path, format_args!("position {next} is missing")));
        }
    }
    Ok(())
}

/// Copies all that is about to change.
fn keep_copy(place: &Place) -> Result<PathBuf, StorageError> {
    let name = format!("before-recovery-{}", place.clock.now().millis());
    let kept = place.data_dir.join(name);
    let copy = |from: &Path, to: &Path| -> std::io::Result<()> {
        std::fs::copy(from, to)?;
        std::fs::File::open(to)?.sync_all()
    };
    let all = || -> std::io::Result<()> {
        std::fs::create_dir_all(&kept)?;
        // A release before had the audit in one file, and none which cluster it was in.
        for name in ["node.json", "log.redb", "cluster.json", "audit.redb"] {
            let from = place.data_dir.join(name);
            if from.exists() {
                copy(&from, &kept.join(name))?;
            }
        }
        for folder in ["journal", "snapshots", "audit"] {
            // The records may have been taken away as damaged.
            if !place.data_dir.join(folder).exists() {
                continue;
            }
            std::fs::create_dir(kept.join(folder))?;
            for entry in std::fs::read_dir(place.data_dir.join(folder))? {
                let entry = entry?;
                copy(&entry.path(), &kept.join(folder).join(entry.file_name()))?;
            }
        }
        Ok(())
    };
    all().map_err(StorageError::io("copy what is replaced to", &kept))?;
    Ok(kept)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.last.index;
        let cluster = self.cluster_id.map_or_else(|| "without a name".to_owned(), |id| id.to_string());
        writeln!(f, "Node {} in {}, of cluster {cluster}", self.node_id, self.data_dir.display())?;
        writeln!(f, "  its log ends at position {last}, of term {}", self.last.leader_id.term)?;
        let voters = self.members.voters.iter().flatten().collect::<std::collections::BTreeSet<_>>();
        for (id, address) in &self.members.addresses {
            let role = if voters.contains(id) { "voter" } else { "learner" };
            writeln!(f, "  member until now: {id} at {address} ({role})")?;
        }
        let Counts { tenants, clients, scopes, keys, admins, .. } = self.counts;
        writeln!(
            f,
            "  it holds {tenants} tenants, {clients} clients, {scopes} scopes, {keys} keys, {admins} administrators"
        )?;
        writeln!(f, "Lost is what was acknowledged after position {last} and never reached this node.")?;
        match self.committed.filter(|committed| *committed < last) {
            Some(committed) => {
                writeln!(f, "Positions {} to {last} may never have been acknowledged; they are kept.", committed + 1)
            }
            None => Ok(()),
        }
    }
}
