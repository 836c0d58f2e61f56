//! What is true of every state, whatever was applied.
//!
//! Rules of single documents are not checked here: they may become stricter, and a snapshot made before must stay
//! readable. Here stands only what the rest of the code relies on.

use imbl::OrdMap;
use vocab::TenantId;

use crate::model::{Admin, KeyOwner, Role};
use crate::state::State;
use crate::validate::STANDARD_SCOPES;

impl State {
    /// Says the first thing that is wrong. Looks at everything: for tests, and for a snapshot before it is used.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.check_tenants()?;
        self.check_children()?;
        self.check_keys()?;
        self.check_admins()?;
        self.check_requests()?;
        self.check_seals()
    }

    fn check_seals(&self) -> Result<(), String> {
        let mut counted: OrdMap<String, usize> = OrdMap::new();
        for (_, sealed) in self.seals() {
            *counted.entry(sealed.key_id().to_owned()).or_default() += 1;
        }
        ensure(counted == self.sealed_with, || "the count of envelopes is wrong".to_owned())
    }

    fn check_tenants(&self) -> Result<(), String> {
        let mut hosts = 0;
        for (id, tenant) in &self.tenants {
            let slug = &tenant.slug;
            ensure(*id == tenant.id, || format!("tenant {slug} is stored under another id"))?;
            ensure(self.slugs.get(slug) == Some(id), || format!("two tenants have the slug {slug}"))?;
            for host in &tenant.spec.settings.hosts {
                hosts += 1;
                ensure(self.hosts.get(host) == Some(id), || format!("two tenants have the host {host}"))?;
            }
        }
        ensure(self.slugs.len() == self.tenants.len(), || "the index of slugs is wrong".to_owned())?;
        ensure(self.hosts.len() == hosts, || "the index of hosts is wrong".to_owned())
    }

    fn check_children(&self) -> Result<(), String> {
        for (tenant, scopes) in &self.scopes {
            self.check_owner("scopes", *tenant, scopes.is_empty())?;
        }
        for (tenant, clients) in &self.clients {
            self.check_owner("clients", *tenant, clients.is_empty())?;
            for (id, client) in clients {
                let unknown = client
                    .spec
                    .scopes
                    .iter()
                    .find(|name| !STANDARD_SCOPES.contains(&name.as_str()) && self.scope(*tenant, name).is_none());
                ensure(unknown.is_none(), || format!("client {id} names a scope that does not exist"))?;
            }
        }
        Ok(())
    }

    fn check_owner(&self, what: &str, tenant: TenantId, empty: bool) -> Result<(), String> {
        ensure(self.tenants.contains_key(&tenant), || format!("{what} of the tenant {tenant}, which does not exist"))?;
        ensure(!empty, || format!("an empty map of {what}"))
    }

    fn check_keys(&self) -> Result<(), String> {
        for (owner, keys) in &self.keys {
            if let KeyOwner::Tenant(tenant) = owner {
                self.check_owner("keys", *tenant, keys.is_empty())?;
            }
            ensure(self.are_keys_consistent(*owner), || {
                format!("{owner:?} has no active key, or two active or next keys of one family")
            })?;
        }
        let keyless = self.tenants.iter().find(|(id, _)| !self.has_keys(KeyOwner::Tenant(**id)));
        ensure(keyless.is_none(), || "a tenant has no key".to_owned())
    }

    fn check_admins(&self) -> Result<(), String> {
        for (_, admin) in &self.admins {
            if let Role::TenantAdmin(slug) = &admin.spec.role {
                ensure(self.slugs.contains_key(slug), || {
                    format!("administrator {} is of the tenant {slug}, which does not exist", admin.id)
                })?;
            }
        }
        let owned = self.admins.is_empty() || self.admins.iter().any(|(_, admin)| admin.is_lasting_owner());
        ensure(owned, || "no administrator is an owner for good".to_owned())
    }

    fn check_requests(&self) -> Result<(), String> {
        ensure(self.request_order.len() == self.requests.len(), || "the order of requests is wrong".to_owned())?;
        let lost =
            self.request_order.iter().find(|(at, key)| self.requests.get(*key).is_none_or(|r| r.revision != **at));
        ensure(lost.is_none(), || "the order of requests names an unknown one".to_owned())
    }
}

impl Admin {
    /// An owner whose credential never expires. One must remain, else nobody could appoint anybody any more.
    pub fn is_lasting_owner(&self) -> bool {
        self.spec.role == Role::Owner && self.spec.expires_at.is_none()
    }
}

fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}
