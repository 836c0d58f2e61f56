//! The whole configuration, in memory, in order.

mod difference;
mod invariants;
mod read;
mod write;

use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use vocab::{
    AdminId, ClientId, KeyId, NodeId, PodId, RequestId, Revision, ScopeName, Sealed, SecretDigest, Slug, TenantId,
    Timestamp,
};

use crate::audit::{Chain, Record};
use crate::entry::Actor;
use crate::model::{Admin, Client, ClusterSettings, KeyOwner, NodeRecord, PodRecord, Scope, SigningKey, Tenant};
use crate::mutation::{Change, ResourceRef};

pub use difference::Touched;
pub use read::{Counts, Resource};

/// Everything the log has said so far.
///
/// The maps are persistent: a clone shares everything with its original and costs next to nothing, so that a snapshot
/// is taken of a clone while entries go on being applied. They are ordered; nothing here depends on a hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    tenants: OrdMap<TenantId, Arc<Tenant>>,
    clients: OrdMap<TenantId, OrdMap<ClientId, Arc<Client>>>,
    scopes: OrdMap<TenantId, OrdMap<ScopeName, Arc<Scope>>>,
    keys: OrdMap<KeyOwner, OrdMap<KeyId, Arc<SigningKey>>>,
    admins: OrdMap<AdminId, Arc<Admin>>,
    /// `None` until somebody writes them: then the defaults hold.
    settings: Option<Arc<ClusterSettings>>,
    pods: OrdMap<PodId, Arc<PodRecord>>,
    /// The control plane's own.
    nodes: OrdMap<NodeId, Arc<NodeRecord>>,
    /// Requests that carried an `Idempotency-Key`.
    requests: OrdMap<(Actor, RequestId), Remembered>,
    /// The same by the revision that answered them: the oldest first.
    request_order: OrdMap<Revision, (Actor, RequestId)>,
    // What follows from the rest, kept beside it so that no ordinary mutation scans anything.
    slugs: OrdMap<Slug, TenantId>,
    hosts: OrdMap<String, TenantId>,
    /// Where the audit stands.
    pub(crate) audit: Chain,
    /// How many envelopes there are of each master key, by its id.
    sealed_with: OrdMap<String, usize>,
}

/// What became of an accepted entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The revision the change was made at; of the first time, when this is a replay.
    pub revision: Revision,
    pub resource: ResourceRef,
    /// Empty when this is a replay.
    pub changes: Vec<Change>,
    /// True when the same request had been applied before and nothing was done now.
    pub replayed: bool,
    /// The receipt of the first time, when this is a replay.
    pub receipt: Option<Sealed>,
    /// What goes on record. Each node makes them for itself: they are not sent along.
    #[serde(skip)]
    pub records: Vec<Record>,
}

/// An answered request, kept for a while so that a retry is answered alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    /// SHA-256 of what was asked and its precondition: another request under the same id is refused.
    pub fingerprint: SecretDigest,
    pub revision: Revision,
    pub resource: ResourceRef,
    pub receipt: Option<Sealed>,
    pub at: Timestamp,
}
