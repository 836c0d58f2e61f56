//! Whole resources put back as they were: ids, key ids, digests and sealed keys verbatim, the revision anew.
//!
//! Each is held against the configuration as the ones before it leave it, so an owner stands before what it owns. The
//! keys of one owner come together: they are its whole set, and what it had beside them goes. So a chunk that was put
//! before can be put again, and comes to the same.

use std::collections::BTreeSet;

use vocab::Sealed;
use vocab::{Revision, Slug, Violations};

use super::{Context, Decision, check, check_room, conflict, not_found};
use crate::limits;
use crate::model::{Admin, AuthMethod, Client, ClusterSettings, KeyOwner, KeyStatus, Role, Scope, SigningKey, Tenant};
use crate::mutation::{Change, ResourceRef, Restored};
use crate::rejection::Rejection;
use crate::state::State;
use crate::validate::{self, scope_name_problems, slug_problems};

pub(super) fn restore(cx: &Context<'_>, resources: Vec<Restored>) -> Result<Decision, Rejection> {
    // It addresses no single resource whose revision could be asked for.
    cx.check_precondition(Revision::ZERO)?;
    check_room("resources of one restore", resources.len(), limits::RESTORED_TOGETHER + 1)?;
    let mut after = After { cx, state: cx.state.clone(), key_owners: BTreeSet::new(), violations: Violations::new() };
    let mut changes = Vec::with_capacity(resources.len());
    for (index, resource) in resources.into_iter().enumerate() {
        let mut found = Violations::new();
        let change = after.put(resource, &mut found)?;
        after.violations.nest(&format!("/resources/{index}"), found);
        after.state.absorb(change.clone());
        changes.push(change);
    }
    after.drop_other_keys(&mut changes);
    after.finish()?;
    Ok(Decision { resource: ResourceRef::Configuration, changes })
}

/// The configuration as it will be.
struct After<'a> {
    cx: &'a Context<'a>,
    state: State,
    /// Whose keys, or whose owner, were put.
    key_owners: BTreeSet<KeyOwner>,
    violations: Violations,
}

impl After<'_> {
    fn put(&mut self, resource: Restored, found: &mut Violations) -> Result<Change, Rejection> {
        let revision = self.cx.revision;
        match resource {
            Restored::Tenant(tenant) => self.tenant(Tenant { revision, ..tenant }, found),
            Restored::Scope(scope) => self.scope(Scope { revision, ..scope }, found),
            Restored::Key(key) => self.key(SigningKey { revision, ..key }),
            Restored::Client(client) => self.client(Client { revision, ..client }, found),
            Restored::Admin(admin) => self.admin(Admin { revision, ..admin }, found),
            Restored::Settings(settings) => {
                found.nest("/spec", settings.spec.validate());
                Ok(ClusterSettings { revision, ..settings }.into())
            }
        }
    }

    fn tenant(&mut self, tenant: Tenant, found: &mut Violations) -> Result<Change, Rejection> {
        let (id, slug) = (tenant.id, &tenant.slug);
        let tokens = tenant.registration_tokens.len();
        check_room("registration tokens of a tenant", tokens, limits::REGISTRATION_TOKENS + 1)?;
        found.nest("/slug", slug_problems(slug));
        found.nest("/spec", tenant.spec.validate());
        match (self.state.tenant_by_id(id), self.state.tenant(slug)) {
            (Some(there), _) if there.slug != *slug => {
                return Err(conflict(format!("the id of tenant {slug} is that of tenant {}", there.slug)));
            }
            (None, Some(_)) => return Err(conflict(format!("there is another tenant {slug}, with another id"))),
            (None, None) => check_room("tenants", self.state.tenant_count(), limits::TENANTS)?,
            (Some(_), _) => {}
        }
        let taken = |host: &&String| self.state.tenant_of_host(host).is_some_and(|other| other.id != id);
        if let Some(host) = tenant.spec.settings.hosts.iter().find(taken) {
            return Err(conflict(format!("the host {host} of tenant {slug} belongs to another tenant")));
        }
        self.key_owners.insert(KeyOwner::Tenant(id));
        Ok(tenant.into())
    }

    fn scope(&self, scope: Scope, found: &mut Violations) -> Result<Change, Rejection> {
        self.owner(KeyOwner::Tenant(scope.tenant_id), || format!("scope {}", scope.name))?;
        found.nest("/name", scope_name_problems(&scope.name));
        found.nest("/spec", scope.spec.validate());
        if self.state.scope(scope.tenant_id, &scope.name).is_none() {
            check_room("scopes of a tenant", self.state.scope_count(scope.tenant_id), limits::SCOPES_PER_TENANT)?;
        }
        Ok(scope.into())
    }

    fn key(&mut self, key: SigningKey) -> Result<Change, Rejection> {
        self.owner(key.owner, || format!("key {}", key.kid))?;
        if key.public_jwk.len() > limits::JWK_BYTES || key.private_key.to_string().len() > limits::SEALED_BYTES {
            return Err(conflict(format!("key {} is too long", key.kid)));
        }
        self.key_owners.insert(key.owner);
        Ok(key.into())
    }

    fn client(&self, client: Client, found: &mut Violations) -> Result<Change, Rejection> {
        let (tenant, id) = (client.tenant_id, &client.client_id);
        self.owner(KeyOwner::Tenant(tenant), || format!("client {id}"))?;
        found.nest("/spec", validate::client::check(&client.spec, |name| self.state.scope(tenant, name).is_some()));
        let method = client.spec.token_endpoint_auth_method;
        // One that proves itself otherwise may have kept those from before.
        let fits = if client.secrets.is_empty() { !method.uses_secret() } else { method != AuthMethod::None };
        found.require(fits, "/secrets", || {
            "a client that proves itself by a secret has one or two, a public client none".to_owned()
        });
        let usable = !method.needs_sealed_secret() || client.secrets.iter().any(|secret| secret.sealed.is_some());
        found.require(usable, "/secrets", || format!("one is needed that is sealed, for {}", method.as_str()));
        let long = |sealed: &Sealed| sealed.to_string().len() > limits::SEALED_BYTES;
        let fits = !client.secrets.iter().filter_map(|secret| secret.sealed.as_ref()).any(long);
        found.require(fits, "/secrets", || "a sealed secret is too long".to_owned());
        let several = client.secrets.len() <= limits::SECRETS_PER_CLIENT;
        found.require(several, "/secrets", || format!("at most {}", limits::SECRETS_PER_CLIENT));
        if self.state.client(tenant, id).is_none() {
            check_room("clients of a tenant", self.state.client_count(tenant), limits::CLIENTS_PER_TENANT)?;
        }
        Ok(client.into())
    }

    /// One that has expired is put back, too: it is as it was.
    fn admin(&self, admin: Admin, found: &mut Violations) -> Result<Change, Rejection> {
        found.nest("/spec", admin.spec.validate());
        if let Role::TenantAdmin(slug) = &admin.spec.role {
            self.tenant_named(slug, found);
        }
        if self.state.admin(admin.id).is_none() {
            check_room("administrators", self.state.admin_count(), limits::ADMINS)?;
        }
        Ok(admin.into())
    }

    fn tenant_named(&self, slug: &Slug, found: &mut Violations) {
        let there = self.state.tenant(slug).is_some();
        found.require(there, "/spec/role/tenant-admin", || format!("tenant {slug} does not exist"));
    }

    fn owner(&self, owner: KeyOwner, what: impl FnOnce() -> String) -> Result<(), Rejection> {
        match owner {
            KeyOwner::Tenant(id) if self.state.tenant_by_id(id).is_none() => {
                Err(not_found(format!("the tenant {id} of {}", what())))
            }
            _ => Ok(()),
        }
    }

    /// Of owners whose keys were put; a tenant that came without keys keeps those it has.
    fn drop_other_keys(&mut self, changes: &mut Vec<Change>) {
        let mut dropped = Vec::new();
        for owner in &self.key_owners {
            let is_new = |key: &SigningKey| key.revision == self.cx.revision;
            if self.state.keys_of(*owner).any(|key| is_new(key)) {
                let others = self.state.keys_of(*owner).filter(|key| !is_new(key));
                dropped.extend(others.map(|key| Change::KeyDeleted { owner: *owner, kid: key.kid.clone() }));
            }
        }
        for change in dropped {
            self.state.absorb(change.clone());
            changes.push(change);
        }
    }

    /// What must hold of the whole, of all that can have become otherwise.
    fn finish(self) -> Result<(), Rejection> {
        check(self.violations)?;
        for owner in self.key_owners {
            let count = |status| self.state.keys_of(owner).filter(|key| key.status == status).count();
            if !self.state.are_keys_consistent(owner) {
                let whose = match owner {
                    KeyOwner::Global => "the global key set".to_owned(),
                    KeyOwner::Tenant(id) => {
                        let slug = self.state.tenant_by_id(id).map(|tenant| tenant.slug.to_string());
                        format!("the key set of tenant {}", slug.unwrap_or_else(|| id.to_string()))
                    }
                };
                return Err(conflict(format!(
                    "{whose} must have an active key, and of each family at most one active and one next"
                )));
            }
            let kept = count(KeyStatus::Retiring) + count(KeyStatus::Revoked);
            check_room("keys that sign no more", kept, limits::RETIRING_KEYS + limits::REVOKED_KEYS + 1)?;
        }
        let mut admins = self.state.admins_after(None);
        if self.state.admin_count() > 0 && !admins.any(|admin| admin.is_lasting_owner()) {
            return Err(conflict("one owner without an expiry must remain"));
        }
        Ok(())
    }
}
