//! A replica's contents as a snapshot file and back, record by record.

use std::io;

use serde::{Deserialize, Serialize};
use vocab::{ClusterId, Timestamp};

use super::log_storage::StoredLogId;
use super::record::Members;
use super::replica::Contents;
use super::types::{LogId, Membership, SnapshotMeta, StoredMembership};
use crate::storage::StorageError;
use crate::storage::snapshots::{SnapshotFile, Snapshots};

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

impl Header {
    fn of(copy: &Contents) -> Vec<u8> {
        let header = Self {
            last_applied: copy.last_applied.map(StoredLogId::from),
            membership_at: copy.membership.log_id().map(StoredLogId::from),
            members: copy.membership.membership().into(),
            cluster_id: copy.cluster_id,
            last_stamp: copy.last_stamp,
        };
        serde_json::to_vec(&header).expect("a header has string keys and serializes")
    }
}

/// Writes a snapshot that is kept.
pub fn save(snapshots: &Snapshots, copy: &Contents) -> Result<SnapshotFile, StorageError> {
    let position = copy.last_applied.map_or(0, |last| last.index);
    snapshots.write(position, &Header::of(copy), |out| body(copy, out))
}

/// Writes a snapshot that is gone with its last handle.
pub fn save_temporary(snapshots: &Snapshots, copy: &Contents) -> Result<SnapshotFile, StorageError> {
    snapshots.write_temporary("download", &Header::of(copy), |out| body(copy, out))
}

fn body(copy: &Contents, mut out: &mut dyn io::Write) -> io::Result<()> {
    controlplane_core::snapshot::encode(&copy.state, &mut out)
}

/// Reads and checks everything: every byte, every record, and what must hold of all of them.
pub fn load(file: &SnapshotFile) -> Result<Contents, StorageError> {
    file.verify()?;
    let damaged = |why: &dyn std::fmt::Display| StorageError::corrupt(file.path(), why);
    let (header, body) = file.read()?;
    let header: Header = serde_json::from_slice(&header).map_err(|why| damaged(&why))?;
    let state = controlplane_core::snapshot::decode(body).map_err(|why| damaged(&why))?;
    let (last_applied, membership) = positions(file, &header)?;
    Ok(Contents { state, last_applied, membership, cluster_id: header.cluster_id, last_stamp: header.last_stamp })
}

/// What an intact file is a snapshot of, without unpacking the state.
pub fn describe(file: &SnapshotFile) -> Result<SnapshotMeta, StorageError> {
    file.verify()?;
    let (header, _) = file.read()?;
    let header: Header = serde_json::from_slice(&header).map_err(|why| StorageError::corrupt(file.path(), why))?;
    let (last_log_id, last_membership) = positions(file, &header)?;
    Ok(SnapshotMeta { last_log_id, last_membership })
}

fn positions(file: &SnapshotFile, header: &Header) -> Result<(Option<LogId>, StoredMembership), StorageError> {
    let members = Membership::try_from(header.members.clone());
    let members = members.map_err(|why| StorageError::corrupt(file.path(), why))?;
    let membership = StoredMembership::new(header.membership_at.map(LogId::from), members);
    Ok((header.last_applied.map(LogId::from), membership))
}

pub fn meta(copy: &Contents) -> SnapshotMeta {
    SnapshotMeta { last_log_id: copy.last_applied, last_membership: copy.membership.clone() }
}
