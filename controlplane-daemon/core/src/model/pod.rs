//! The roster of pods: which there are, so that whoever must know that *every* pod has something misses none that is
//! merely cut off. Who is connected right now, and how far, is not here: it changes too often for a log.

use serde::{Deserialize, Serialize};
use vocab::{NodeId, PodId, Revision, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodRecord {
    pub sighting: PodSighting,
    /// When the presence last changed.
    pub since: Timestamp,
    pub revision: Revision,
}

/// A pod as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodSighting {
    pub pod_id: PodId,
    /// The node it was last connected to.
    pub node_id: NodeId,
    pub version: String,
    pub address: String,
    pub presence: Presence,
    /// What it surely had then: nothing, when it could not use a signing key.
    pub acknowledged_revision: Revision,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Connected to some node when last looked.
    Connected,
    /// No longer connected: it crashed, or it is cut off and may be serving what it has.
    Gone,
    /// It said that it was stopping, and then left.
    Stopped,
}
