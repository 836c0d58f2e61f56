//! The only way the state changes: one [`Change`] after the other, and the memory of requests.
//!
//! Both `apply` and the snapshot reader come through here, so an index cannot be right after one and wrong after the
//! other. Nothing is checked: `apply` has decided before.

use std::sync::Arc;

use imbl::OrdMap;
use vocab::{ClientId, KeyId, NodeId, RequestId, Sealed, TenantId, Timestamp};

use crate::entry::Actor;
use crate::limits;
use crate::model::{Admin, Client, KeyOwner, Scope, SigningKey, Tenant};
use crate::mutation::Change;
use crate::state::{Remembered, State};

impl State {
    /// Carries out what was decided.
    pub(crate) fn absorb(&mut self, change: Change) {
        match change {
            Change::TenantPut(tenant) => self.put_tenant(tenant),
            Change::TenantDeleted { id, .. } => self.remove_tenant(id),
            Change::ClientPut(client) => self.put_client(client),
            Change::ClientDeleted { tenant_id, client_id } => self.remove_client(tenant_id, &client_id),
            Change::ScopePut(scope) => self.put_scope(scope),
            Change::ScopeDeleted { tenant_id, name } => remove_below(&mut self.scopes, &tenant_id, &name),
            Change::KeyPut(key) => self.put_key(key),
            Change::KeyDeleted { owner, kid } => self.remove_key(owner, &kid),
            Change::AdminPut(admin) => self.put_admin(admin),
            Change::AdminDeleted { id } => {
                self.admins.remove(&id);
            }
            Change::SettingsPut(settings) => self.settings = Some(settings),
            Change::PodPut(pod) => {
                self.pods.insert(pod.sighting.pod_id.clone(), pod);
            }
            Change::PodDeleted { pod_id } => {
                self.pods.remove(&pod_id);
            }
            Change::NodePut(node) => {
                self.nodes.insert(node.id, node);
            }
            Change::NodeDeleted { id } => {
                self.nodes.remove(&id);
            }
            Change::ReceiptPut { actor, request_id, receipt } => self.put_receipt(actor, request_id, receipt),
        }
    }

    fn put_tenant(&mut self, tenant: Arc<Tenant>) {
        let id = tenant.id;
        self.forget_hosts(id);
        self.recount_settings(id, Some(&tenant));
        for host in &tenant.spec.settings.hosts {
            self.hosts.insert(host.clone(), id);
        }
        self.slugs.insert(tenant.slug.clone(), id);
        self.tenants.insert(id, tenant);
    }

    fn remove_tenant(&mut self, id: TenantId) {
        self.forget_hosts(id);
        self.recount_settings(id, None);
        if let Some(tenant) = self.tenants.remove(&id) {
            self.slugs.remove(&tenant.slug);
        }
    }

    fn recount_settings(&mut self, id: TenantId, new: Option<&Tenant>) {
        let old: Vec<String> = self.tenants.get(&id).map(|old| setting_keys(old).collect()).unwrap_or_default();
        self.recount_all(old, new.into_iter().flat_map(setting_keys));
    }

    fn forget_hosts(&mut self, id: TenantId) {
        if let Some(tenant) = self.tenants.get(&id) {
            for host in &tenant.spec.settings.hosts {
                self.hosts.remove(host);
            }
        }
    }

    fn put_client(&mut self, client: Arc<Client>) {
        self.recount_secrets(client.tenant_id, &client.client_id, Some(&client));
        self.clients.entry(client.tenant_id).or_default().insert(client.client_id.clone(), client);
    }

    fn remove_client(&mut self, tenant_id: TenantId, client_id: &ClientId) {
        self.recount_secrets(tenant_id, client_id, None);
        remove_below(&mut self.clients, &tenant_id, client_id);
    }

    fn recount_secrets(&mut self, tenant_id: TenantId, client_id: &ClientId, new: Option<&Client>) {
        let old: Vec<String> =
            self.client(tenant_id, client_id).map(|old| secret_keys(old).collect()).unwrap_or_default();
        self.recount_all(old, new.into_iter().flat_map(secret_keys));
    }

    fn put_scope(&mut self, scope: Arc<Scope>) {
        self.scopes.entry(scope.tenant_id).or_default().insert(scope.name.clone(), scope);
    }

    fn put_key(&mut self, key: Arc<SigningKey>) {
        let old = self.key(key.owner, &key.kid).map(|old| old.private_key.key_id().to_owned());
        self.recount(old, Some(key.private_key.key_id().to_owned()));
        self.keys.entry(key.owner).or_default().insert(key.kid.clone(), key);
    }

    fn remove_key(&mut self, owner: KeyOwner, kid: &KeyId) {
        let old = self.key(owner, kid).map(|old| old.private_key.key_id().to_owned());
        self.recount(old, None);
        remove_below(&mut self.keys, &owner, kid);
    }

    fn put_admin(&mut self, admin: Arc<Admin>) {
        self.admins.insert(admin.id, admin);
    }

    /// Strikes every other node off: they are of a cluster that this is a copy of.
    pub fn forget_nodes_but(&mut self, kept: NodeId) {
        let others: Vec<NodeId> = self.nodes.keys().copied().filter(|id| *id != kept).collect();
        for other in others {
            self.nodes.remove(&other);
        }
    }

    pub(crate) fn remember(&mut self, actor: Actor, request_id: RequestId, answer: Remembered) {
        self.request_order.insert(answer.revision, (actor.clone(), request_id.clone()));
        self.recount(None, receipt_key(&answer));
        if let Some(old) = self.requests.insert((actor, request_id), answer) {
            self.recount(receipt_key(&old), None);
        }
    }

    fn put_receipt(&mut self, actor: Actor, request_id: RequestId, receipt: Sealed) {
        let key = (actor, request_id);
        if let Some(answer) = self.requests.get(&key) {
            let (old, new) = (receipt_key(answer), receipt.key_id().to_owned());
            let answer = Remembered { receipt: Some(receipt), ..answer.clone() };
            self.recount(old, Some(new));
            self.requests.insert(key, answer);
        }
    }

    fn recount_all(&mut self, old: Vec<String>, new: impl Iterator<Item = String>) {
        for key in old {
            self.recount(Some(key), None);
        }
        for key in new {
            self.recount(None, Some(key));
        }
    }

    /// An envelope of `old` went, one of `new` came.
    fn recount(&mut self, old: Option<String>, new: Option<String>) {
        if old == new {
            return;
        }
        if let Some(old) = old
            && let Some(count) = self.sealed_with.get_mut(&old)
        {
            *count -= 1;
            if *count == 0 {
                self.sealed_with.remove(&old);
            }
        }
        if let Some(new) = new {
            *self.sealed_with.entry(new).or_default() += 1;
        }
    }

    /// Forgets requests that are too many or too old. `now` is a stamp: clocks step back, so age is only ever looked
    /// for at the oldest end.
    pub(crate) fn forget_requests(&mut self, now: Timestamp) {
        while let Some((revision, key)) = self.request_order.get_min().cloned() {
            let too_old = self.requests.get(&key).is_none_or(|r| now.since(r.at) > limits::REQUEST_MEMORY);
            if !too_old && self.requests.len() <= limits::REQUESTS {
                break;
            }
            self.request_order.remove(&revision);
            if let Some(forgotten) = self.requests.remove(&key) {
                self.recount(receipt_key(&forgotten), None);
            }
        }
    }

    pub(crate) fn has_keys(&self, owner: KeyOwner) -> bool {
        self.keys.contains_key(&owner)
    }
}

/// The master keys of what is sealed in a tenant's settings.
fn setting_keys(tenant: &Tenant) -> impl Iterator<Item = String> + '_ {
    let settings = &tenant.spec.settings;
    let dsn = settings.database.as_ref().map(|database| &database.dsn);
    let sealed = dsn.into_iter().chain(settings.smtp_password());
    let providers = settings.provider_secrets().map(|(_, secret)| secret);
    sealed.chain(providers).map(|sealed| sealed.key_id().to_owned())
}

/// The master keys of a client's secrets that are sealed. Most clients have none.
fn secret_keys(client: &Client) -> impl Iterator<Item = String> + '_ {
    client.secrets.iter().filter_map(|secret| Some(secret.sealed.as_ref()?.key_id().to_owned()))
}

fn receipt_key(answer: &Remembered) -> Option<String> {
    answer.receipt.as_ref().map(|receipt| receipt.key_id().to_owned())
}

/// Leaves no empty inner map behind, so that equal contents are equal states.
fn remove_below<O, K, V>(map: &mut OrdMap<O, OrdMap<K, V>>, owner: &O, key: &K)
where
    O: Ord + Clone,
    K: Ord + Clone,
    V: Clone,
{
    if let Some(inner) = map.get_mut(owner) {
        inner.remove(key);
        if inner.is_empty() {
            map.remove(owner);
        }
    }
}
