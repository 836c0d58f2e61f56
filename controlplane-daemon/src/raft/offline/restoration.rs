//! A new cluster from a snapshot file: a backup that was taken away, or one out of a node's folder.

use std::path::Path;

use controlplane_core::Note;

use super::{NewCluster, OfflineError, Place, Unannounced, alone, check_keys};
use crate::raft::log_storage::{StoredLogId, StoredVote, json};
use crate::raft::node::check_record;
use crate::raft::snapshot;
use crate::storage::identity;
use crate::storage::log_store::LogStore;
use crate::storage::snapshots::{SnapshotFile, Snapshots};

/// Makes `place` the first node of a new cluster. The file is read whole before the directory is touched.
pub async fn restore(place: Place, from: &Path) -> Result<NewCluster, OfflineError> {
    let data_dir = &place.data_dir;
    let is_empty = std::fs::read_dir(data_dir).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty {
        return Err(OfflineError::NotEmpty(data_dir.clone()));
    }
    let mut contents = snapshot::load(&SnapshotFile::open(from.to_owned())?)?;
    check_keys(&contents, &place, from)?;
    let from_cluster_id = contents.cluster_id;
    let Some(at) = contents.last_applied else { return Err(OfflineError::NothingThere(from.to_owned())) };
    let (cluster_id, advertise_addr) = alone(&mut contents, &place, at);

    identity::claim(data_dir, place.node_id, &place.keyring)?;
    Unannounced::write(&place, Note::Restored { from_cluster_id, cluster_id, revision: at.index })?;
    snapshot::save(&Snapshots::open(data_dir.join("snapshots"))?, &contents)?;
    // Last: a directory without it is refused, not taken for one that is whole.
    let store = LogStore::open(&data_dir.join("log.redb"), check_record)?;
    // Terms go on from where the old cluster was: positions of the log are compared by them.
    let vote = StoredVote { term: at.leader_id.term, node_id: place.node_id.0, committed: false };
    store.save_vote(json(&vote)).await;
    store.purge(at.index, json(&StoredLogId::from(at))).await;
    let ended = store.ended();
    drop(store);
    ended.await;
    Ok(NewCluster { cluster_id, revision: at.index, advertise_addr, kept: None })
}
