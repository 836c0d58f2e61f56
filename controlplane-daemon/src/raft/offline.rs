//! What is done to the data of a node that does not run: taking a cluster that lost its majority on with one node, and
//! making a new cluster of a snapshot.
//!
//! Both end the same way: a state, this node as the only member, and a cluster id of its own. Nodes of the old cluster
//! are strangers to it, whatever becomes of them: every call between nodes carries the cluster's id, and a pod that is
//! told another one takes a whole snapshot. The first start writes an audit record (see [`Unannounced`]).

mod announcement;
mod recovery;
mod restoration;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::BasicNode;
use vocab::{Clock, ClusterId, Keyring, NodeId};

pub use self::announcement::Unannounced;
pub use self::recovery::Recovery;
pub use self::restoration::restore;
use super::replica::Contents;
use super::types::{LogId, Membership, StoredMembership};
use crate::storage::StorageError;

/// Whose data it is, and how others will reach it.
#[derive(Debug)]
pub struct Place {
    pub data_dir: PathBuf,
    pub node_id: NodeId,
    /// `None`: as the old membership has it, else this machine.
    pub advertise_addr: Option<String>,
    pub keyring: Keyring,
    pub clock: Arc<dyn Clock>,
}

/// Why nothing was done, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{} holds nothing to recover", .0.display())]
    NothingThere(PathBuf),
    #[error("{} is not empty: a snapshot is restored into a directory of its own", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is sealed with master keys that are not in SECRETBOX_MASTER_KEY: {}", what.display(), list(missing))]
    MissingKeys { what: PathBuf, missing: BTreeSet<String> },
}

fn list(ids: &BTreeSet<String>) -> String {
    ids.iter().cloned().collect::<Vec<_>>().join(", ")
}

/// What was made.
#[derive(Debug)]
pub struct NewCluster {
    pub cluster_id: ClusterId,
    pub revision: u64,
    pub advertise_addr: String,
    /// Where the data that was replaced is kept.
    pub kept: Option<PathBuf>,
}

/// Turns a state into that of a cluster of one, as of its last position: that cluster's id and this node's address.
fn alone(contents: &mut Contents, place: &Place, at: LogId) -> (ClusterId, String) {
    let known = contents.membership.membership().get_node(&place.node_id.0).map(|node| node.addr.clone());
    let address = place.advertise_addr.clone().or(known).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let nodes = BTreeMap::from([(place.node_id.0, BasicNode::new(&address))]);
    let membership = Membership::new(vec![BTreeSet::from([place.node_id.0])], nodes)
        .expect("one voter that is among the nodes is a membership");
    contents.membership = StoredMembership::new(Some(at), membership);
    let cluster_id = ClusterId::from_uuid(crate::id::fresh(&*place.clock));
    contents.cluster_id = Some(cluster_id);
    contents.state.forget_nodes_but(place.node_id);
    (cluster_id, address)
}

/// Refuses what this node could not open afterwards.
fn check_keys(contents: &Contents, place: &Place, what: &Path) -> Result<(), OfflineError> {
    let known: BTreeSet<String> = place.keyring.keys().map(|key| key.id().to_owned()).collect();
    let used = crate::sealed::key_ids_of(&contents.state);
    let missing: BTreeSet<String> = used.difference(&known).cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(OfflineError::MissingKeys { what: what.to_owned(), missing })
}
