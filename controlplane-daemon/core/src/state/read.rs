//! Questions to the state. Every list has one order and can be resumed after a given item.

use std::ops::Bound::{self, Excluded, Unbounded};
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use vocab::{AdminId, ClientId, KeyId, NodeId, PodId, RequestId, Revision, ScopeName, Slug, TenantId};

use crate::audit::Chain;
use crate::entry::Actor;
use crate::model::{
    Admin, Client, ClusterSettings, KeyFamily, KeyOwner, KeyRotation, KeyStatus, NodeRecord, PodRecord, Scope,
    SigningKey, Staleness, Tenant,
};
use crate::state::{Remembered, State};

/// How many there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Counts {
    pub tenants: usize,
    pub clients: usize,
    pub scopes: usize,
    pub keys: usize,
    pub admins: usize,
    pub requests: usize,
    /// One, once they were written.
    #[serde(default)]
    pub settings: usize,
    #[serde(default)]
    pub pods: usize,
    #[serde(default)]
    pub nodes: usize,
}

/// Any of the resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    Tenant(&'a Arc<Tenant>),
    Scope(&'a Arc<Scope>),
    Key(&'a Arc<SigningKey>),
    Client(&'a Arc<Client>),
    Admin(&'a Arc<Admin>),
    Settings(&'a Arc<ClusterSettings>),
    Pod(&'a Arc<PodRecord>),
    Node(&'a Arc<NodeRecord>),
}

impl State {
    pub fn tenant(&self, slug: &Slug) -> Option<&Arc<Tenant>> {
        self.tenants.get(self.slugs.get(slug)?)
    }

    pub fn tenant_by_id(&self, id: TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(&id)
    }

    /// Whose host name this is.
    pub fn tenant_of_host(&self, host: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(self.hosts.get(host)?)
    }

    /// In the order of their slugs, after `after`.
    pub fn tenants_after<'a>(&'a self, after: Option<&Slug>) -> impl Iterator<Item = &'a Arc<Tenant>> + use<'a> {
        self.slugs.range((start_after(after), Unbounded)).filter_map(|(_, id)| self.tenants.get(id))
    }

    /// Those of [`State::tenants_after`] whose slug begins with `query` or whose display name contains it, letter
    /// case aside. Looks at every tenant: for people's searches.
    pub fn tenants_matching<'a>(
        &'a self,
        query: &str,
        after: Option<&Slug>,
    ) -> impl Iterator<Item = &'a Arc<Tenant>> + use<'a> {
        let query = query.to_lowercase();
        self.tenants_after(after).filter(move |tenant| {
            tenant.slug.as_str().starts_with(&query) || tenant.spec.display_name.to_lowercase().contains(&query)
        })
    }

    pub fn tenant_count(&self) -> usize {
        self.tenants.len()
    }

    pub fn client(&self, tenant: TenantId, client_id: &ClientId) -> Option<&Arc<Client>> {
        self.clients.get(&tenant)?.get(client_id)
    }

    /// The newest revision of a tenant's clients and scopes; zero if it has none. What is removed leaves no trace in it.
    pub fn contents_revision(&self, tenant: TenantId) -> Revision {
        let clients = self.clients_of(tenant, None).map(|client| client.revision);
        clients.chain(self.scopes_of(tenant, None).map(|scope| scope.revision)).max().unwrap_or(Revision::ZERO)
    }

    /// A tenant's clients in the order of their ids, after `after`.
    pub fn clients_of<'a>(
        &'a self,
        tenant: TenantId,
        after: Option<&ClientId>,
    ) -> impl Iterator<Item = &'a Arc<Client>> + use<'a> {
        let start = start_after(after);
        self.clients
            .get(&tenant)
            .into_iter()
            .flat_map(move |clients| clients.range((start.clone(), Unbounded)).map(|(_, client)| client))
    }

    /// Of all tenants.
    pub(crate) fn all_clients(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.clients.values().flat_map(OrdMap::values)
    }

    pub fn client_count(&self, tenant: TenantId) -> usize {
        self.clients.get(&tenant).map_or(0, OrdMap::len)
    }

    pub fn scope(&self, tenant: TenantId, name: &ScopeName) -> Option<&Arc<Scope>> {
        self.scopes.get(&tenant)?.get(name)
    }

    /// A tenant's own scopes in the order of their names, after `after`.
    pub fn scopes_of<'a>(
        &'a self,
        tenant: TenantId,
        after: Option<&ScopeName>,
    ) -> impl Iterator<Item = &'a Arc<Scope>> + use<'a> {
        let start = start_after(after);
        self.scopes
            .get(&tenant)
            .into_iter()
            .flat_map(move |scopes| scopes.range((start.clone(), Unbounded)).map(|(_, scope)| scope))
    }

    pub fn scope_count(&self, tenant: TenantId) -> usize {
        self.scopes.get(&tenant).map_or(0, OrdMap::len)
    }

    pub fn key(&self, owner: KeyOwner, kid: &KeyId) -> Option<&Arc<SigningKey>> {
        self.keys.get(&owner)?.get(kid)
    }

    /// Every key of an owner, revoked ones too, in the order of their ids. Few: see [`crate::limits`].
    pub fn keys_of(&self, owner: KeyOwner) -> impl Iterator<Item = &Arc<SigningKey>> {
        self.keys.get(&owner).into_iter().flat_map(|keys| keys.iter().map(|(_, key)| key))
    }

    /// The keys that sign for an owner, one of a family. A tenant always has one at least; the global set has one once it
    /// was first rotated.
    pub fn active_keys(&self, owner: KeyOwner) -> impl Iterator<Item = &Arc<SigningKey>> {
        self.keys_of(owner).filter(|key| key.status == KeyStatus::Active)
    }

    pub fn active_key(&self, owner: KeyOwner, family: KeyFamily) -> Option<&Arc<SigningKey>> {
        self.active_keys(owner).find(|key| key.family == family)
    }

    /// The published key that will sign after the active one of its family.
    pub fn next_key(&self, owner: KeyOwner, family: KeyFamily) -> Option<&Arc<SigningKey>> {
        self.keys_of(owner).find(|key| key.status == KeyStatus::Next && key.family == family)
    }

    /// Whether what there is of an owner's keys can be: one that signs at least, and of no family two, nor two that follow.
    pub(crate) fn are_keys_consistent(&self, owner: KeyOwner) -> bool {
        let of = |family, status| self.keys_of(owner).filter(move |key| key.family == family && key.status == status);
        let several = |family| of(family, KeyStatus::Active).count() > 1 || of(family, KeyStatus::Next).count() > 1;
        let signs = self.active_keys(owner).any(|key| !key.family.is_for_encryption());
        signs && !KeyFamily::ALL.into_iter().any(several)
    }

    /// What a verifier may meet: every key that is not revoked.
    pub fn published_keys(&self, owner: KeyOwner) -> impl Iterator<Item = &Arc<SigningKey>> {
        self.keys_of(owner).filter(|key| key.status != KeyStatus::Revoked)
    }

    pub fn admin(&self, id: AdminId) -> Option<&Arc<Admin>> {
        self.admins.get(&id)
    }

    pub fn admin_count(&self) -> usize {
        self.admins.len()
    }

    /// In the order of their ids, that is of their making, after `after`.
    pub fn admins_after(&self, after: Option<AdminId>) -> impl Iterator<Item = &Arc<Admin>> {
        self.admins.range((after.map_or(Unbounded, Excluded), Unbounded)).map(|(_, admin)| admin)
    }

    /// What is set for the whole installation; the defaults until somebody wrote them.
    pub fn settings(&self) -> Arc<ClusterSettings> {
        self.settings.clone().unwrap_or_default()
    }

    /// The policy by which a tenant's keys are replaced: its own, else the cluster's.
    pub fn key_rotation_of(&self, tenant: &Tenant) -> Option<KeyRotation> {
        let of_cluster = || self.settings.as_ref().and_then(|settings| settings.spec.tenant_key_rotation);
        tenant.spec.settings.key_rotation.or_else(of_cluster)
    }

    /// How old a pod's configuration may be for a tenant: its own policy, else the cluster's.
    pub fn staleness_of(&self, tenant: &Tenant) -> Staleness {
        let of_cluster = || self.settings.as_ref().map(|settings| settings.spec.staleness).unwrap_or_default();
        tenant.spec.settings.staleness.unwrap_or_else(of_cluster)
    }

    pub fn pod(&self, pod_id: &PodId) -> Option<&Arc<PodRecord>> {
        self.pods.get(pod_id)
    }

    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// The roster, in the order of names.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<PodRecord>> {
        self.pods.values()
    }

    pub fn node(&self, id: NodeId) -> Option<&Arc<NodeRecord>> {
        self.nodes.get(&id)
    }

    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Every node, those that were removed too, in the order of their ids.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.nodes.iter().map(|(_, node)| node)
    }

    /// The answer that an earlier request of `actor` with this id got, while it is remembered.
    pub fn remembered(&self, actor: &Actor, request_id: &RequestId) -> Option<&Remembered> {
        self.requests.get(&(actor.clone(), request_id.clone()))
    }

    /// How many secrets are sealed with each master key, by the key's id.
    pub fn sealed_with(&self) -> &OrdMap<String, usize> {
        &self.sealed_with
    }

    /// In the order of their ids.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.iter().map(|(_, tenant)| tenant)
    }

    /// Everybody's.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        self.keys.iter().flat_map(|(_, of_one)| of_one.iter()).map(|(_, key)| key)
    }

    /// All that is remembered of requests, the oldest first.
    pub fn remembered_requests(&self) -> impl Iterator<Item = (&Actor, &RequestId, &Remembered)> {
        self.request_order.iter().filter_map(|(_, key)| self.requests.get(key).map(|r| (&key.0, &key.1, r)))
    }

    /// Where the audit stands.
    pub const fn audit(&self) -> &Chain {
        &self.audit
    }

    pub fn counts(&self) -> Counts {
        Counts {
            tenants: self.tenants.len(),
            scopes: self.scopes.iter().map(|(_, scopes)| scopes.len()).sum(),
            keys: self.keys.iter().map(|(_, keys)| keys.len()).sum(),
            clients: self.clients.iter().map(|(_, clients)| clients.len()).sum(),
            admins: self.admins.len(),
            nodes: self.nodes.len(),
            requests: self.requests.len(),
            settings: usize::from(self.settings.is_some()),
            pods: self.pods.len(),
        }
    }

    /// Everything there is, always in the same order, owners before what they own: tenants, scopes, keys, clients,
    /// administrators, settings, pods, nodes.
    pub fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        let tenants = self.tenants.iter().map(|(_, tenant)| Resource::Tenant(tenant));
        let scopes = self.scopes.iter().flat_map(|(_, of_one)| of_one.iter()).map(|(_, scope)| Resource::Scope(scope));
        let keys = self.keys.iter().flat_map(|(_, of_one)| of_one.iter()).map(|(_, key)| Resource::Key(key));
        let clients =
            self.clients.iter().flat_map(|(_, of_one)| of_one.iter()).map(|(_, client)| Resource::Client(client));
        let admins = self.admins.iter().map(|(_, admin)| Resource::Admin(admin));
        let settings = self.settings.iter().map(Resource::Settings);
        let pods = self.pods.values().map(Resource::Pod);
        let nodes = self.nodes.values().map(Resource::Node);
        tenants.chain(scopes).chain(keys).chain(clients).chain(admins).chain(settings).chain(pods).chain(nodes)
    }
}

fn start_after<K: Clone>(after: Option<&K>) -> Bound<K> {
    after.cloned().map_or(Unbounded, Excluded)
}
