//! The whole configuration, in memory, in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vocab::{
    AdminId, ClientId, KeyId, RequestId, Revision, ScopeName, Sealed, SecretDigest, Slug, TenantId, Timestamp,
};

use crate::entry::Actor;
use crate::model::{Admin, Client, KeyOwner, Scope, SigningKey, Tenant};
use crate::mutation::{Change, ResourceRef};

/// Everything the log has said so far. Cloning shares the resources, so that a snapshot costs no copy of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) tenants: BTreeMap<TenantId, Arc<Tenant>>,
    pub(crate) slugs: BTreeMap<Slug, TenantId>,
    pub(crate) clients: BTreeMap<(TenantId, ClientId), Arc<Client>>,
    pub(crate) scopes: BTreeMap<(TenantId, ScopeName), Arc<Scope>>,
    pub(crate) keys: BTreeMap<(KeyOwner, KeyId), Arc<SigningKey>>,
    pub(crate) admins: BTreeMap<AdminId, Arc<Admin>>,
    /// Requests that carried an `Idempotency-Key`, newest last in `request_order`.
    pub(crate) requests: BTreeMap<(Actor, RequestId), Remembered>,
    pub(crate) request_order: VecDeque<(Actor, RequestId)>,
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
}

/// An answered request, kept for a while so that a retry is answered alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    /// SHA-256 of the mutation and precondition: another request under the same id is refused.
    pub fingerprint: SecretDigest,
    pub revision: Revision,
    pub resource: ResourceRef,
    pub receipt: Option<Sealed>,
    pub at: Timestamp,
}

impl State {
    pub fn tenant(&self, slug: &Slug) -> Option<&Arc<Tenant>> {
        self.tenants.get(self.slugs.get(slug)?)
    }

    pub fn tenant_by_id(&self, id: TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(&id)
    }

    /// In the order of their slugs, after `after`.
    pub fn tenants_after<'a>(&'a self, after: Option<&Slug>) -> impl Iterator<Item = &'a Arc<Tenant>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.cloned().map_or(Unbounded, Excluded);
        self.slugs.range((start, Unbounded)).filter_map(|(_, id)| self.tenants.get(id))
    }

    pub fn client(&self, tenant: TenantId, client_id: &ClientId) -> Option<&Arc<Client>> {
        self.clients.get(&(tenant, client_id.clone()))
    }

    pub fn scope(&self, tenant: TenantId, name: &ScopeName) -> Option<&Arc<Scope>> {
        self.scopes.get(&(tenant, name.clone()))
    }

    pub fn key(&self, owner: KeyOwner, kid: &KeyId) -> Option<&Arc<SigningKey>> {
        self.keys.get(&(owner, kid.clone()))
    }

    pub fn admin(&self, id: AdminId) -> Option<&Arc<Admin>> {
        self.admins.get(&id)
    }
}
