//! From what is wanted and what there is: what to do. Changes nothing, and fails with everything that is wrong.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_core::model::TenantSpec;
use controlplane_core::validate::STANDARD_SCOPES;
use controlplane_core::{Client, Mutation, ResourceRef, Scope, State, Tenant};
use serde_json::{Value, json};
use vocab::{ClientId, Clock, ErrorCode, Keyring, Revision, ScopeName, Sealed, SecretId, Slug};

use super::diff::{self, Difference, MASKED, MASKED_NEW, difference};
use super::outline::{Bounds, Change, Fault, Ownership, Plan, Prune, Request, Source};
use super::prune::{self, Pruned, Stated};
use super::secret::{self, Given};
use super::wanted::{self, Wanted};
use crate::admin::view::{
    ClientView, ScopeView, SettingsView, TenantView, read_client, read_scope, read_settings, read_tenant,
    replace_tenant,
};
use crate::id;

/// What planning looks at.
pub(super) struct Planner<'a> {
    pub(super) state: &'a State,
    pub(super) keyring: &'a Keyring,
    pub(super) clock: &'a dyn Clock,
    pub(super) request: &'a Request<'a>,
}

impl Planner<'_> {
    pub(super) fn plan(&self) -> Result<Plan, Vec<Fault>> {
        let mut faults = Vec::new();
        let all = wanted::all(self.request.documents, &mut faults);
        let mut stated = Stated::default();
        let (mut tenants, mut scopes, mut clients) = (Plan::default(), Plan::default(), Plan::default());
        for wanted in &all.tenants {
            self.tenant(wanted, &mut tenants, &mut stated, &mut faults);
        }
        for wanted in &all.scopes {
            self.scope(wanted, &mut scopes, &mut stated, &mut faults);
        }
        for wanted in &all.clients {
            self.client(wanted, &mut clients, &mut stated, &mut faults);
        }
        for wanted in &all.settings {
            self.settings(wanted, &mut tenants, &mut faults);
        }
        let pruned = match self.request.prune {
            Prune::Delete => prune::plan(self.state, self.request, &stated, &mut faults),
            Prune::Keep => Pruned::default(),
        };
        refuse_pruned_scopes(&all.clients, &pruned, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        // What goes makes room; a host name is let go before another tenant takes it; owners come before what they own.
        let mut plan = pruned.tenants;
        plan.items.extend(self.host_releases(&tenants));
        plan.append(tenants);
        plan.append(scopes);
        plan.append(pruned.clients);
        plan.append(clients);
        plan.append(pruned.scopes);
        Ok(plan)
    }

    fn tenant(&self, wanted: &Wanted, plan: &mut Plan, stated: &mut Stated, faults: &mut Vec<Fault>) {
        let source = &wanted.source;
        let slug: Option<Slug> = wanted.value.get("slug").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let current = slug.as_ref().and_then(|slug| self.state.tenant(slug));
        let read = match current {
            Some(current) => {
                replace_tenant(&wanted.value, current, self.keyring).map(|spec| (current.slug.clone(), spec))
            }
            None => read_tenant(&wanted.value, self.keyring),
        };
        let (slug, spec) = match read {
            Ok(read) => read,
            Err(problem) => return Fault::all_of(problem, source, faults),
        };
        let taken = match self.may_take(source, current.and_then(|it| it.managed_by.as_ref())) {
            Ok(taken) => taken,
            Err(fault) => return faults.push(fault),
        };
        if !self.within(source, &slug, current.map(|it| &it.spec), &spec, faults) {
            return;
        }
        stated.tenants.insert(slug.clone());
        let mut change = Change::default();
        let revision = current.map_or(Revision::ZERO, |it| it.revision);
        match current {
            None => {
                change.differences = diff::between(None::<&TenantView>, Some(&preview(&slug, &spec)));
                for pointer in sealed(&spec).keys() {
                    change.differences.push(difference(pointer, None, Some(json!(MASKED))));
                }
                change.mutations.push(Mutation::TenantCreate { slug: slug.clone(), spec });
            }
            Some(current) if current.spec != spec || taken.is_some() => {
                let after = Tenant { spec: spec.clone(), ..Tenant::clone(current) };
                change.differences = diff::between(Some(&TenantView::of(current)), Some(&TenantView::of(&after)));
                let (old, new) = (sealed(&current.spec), sealed(&spec));
                let places: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for place in places.into_iter().filter(|place| old.get(*place) != new.get(*place)) {
                    let (before, after) = (old.get(place).map(|_| MASKED), new.get(place).map(|_| MASKED_NEW));
                    change.differences.push(difference(place, before.map(Value::from), after.map(Value::from)));
                }
                change.mutations.push(Mutation::TenantUpdate { slug: slug.clone(), spec });
                change.differences.extend(taken);
            }
            Some(_) => {}
        }
        plan.add(source, ResourceRef::Tenant { slug }, revision, change);
    }

    fn scope(&self, wanted: &Wanted, plan: &mut Plan, stated: &mut Stated, faults: &mut Vec<Fault>) {
        let source = &wanted.source;
        let Some(tenant) = self.owner(wanted, faults) else { return };
        let name: Option<ScopeName> = wanted.value.get("name").and_then(Value::as_str).and_then(|n| n.parse().ok());
        let owner = self.state.tenant(&tenant);
        let current = owner.zip(name.as_ref()).and_then(|(owner, name)| self.state.scope(owner.id, name));
        let (name, spec) = match read_scope(&wanted.value, current.map(AsRef::as_ref)) {
            Ok(read) => read,
            Err(problem) => return Fault::all_of(problem, source, faults),
        };
        let taken = match self.may_take(source, current.and_then(|it| it.managed_by.as_ref())) {
            Ok(taken) => taken,
            Err(fault) => return faults.push(fault),
        };
        stated.scopes.insert((tenant.clone(), name.clone()));
        let resource = ResourceRef::Scope { tenant: tenant.clone(), name: name.clone() };
        let revision = current.map_or(Revision::ZERO, |it| it.revision);
        let mut change = Change::default();
        if current.is_none_or(|current| current.spec != spec || taken.is_some()) {
            let tenant_id = owner.map_or(vocab::TenantId::from_uuid(uuid::Uuid::nil()), |owner| owner.id);
            let after = Scope { tenant_id, name: name.clone(), spec: spec.clone(), revision, managed_by: None };
            let before = current.map(|current| ScopeView::of(current));
            change.differences = diff::between(before.as_ref(), Some(&ScopeView::of(&after)));
            change.differences.extend(taken);
            change.mutations.push(match current {
                Some(_) => Mutation::ScopeUpdate { tenant, name, spec },
                None => Mutation::ScopeCreate { tenant, name, spec },
            });
        }
        plan.add(source, resource, revision, change);
    }

    fn client(&self, wanted: &Wanted, plan: &mut Plan, stated: &mut Stated, faults: &mut Vec<Fault>) {
        let source = &wanted.source;
        let Some(tenant) = self.owner(wanted, faults) else { return };
        let mut value = wanted.value.clone();
        let given = value.as_object_mut().and_then(|members| members.remove("secret"));
        let given = match given.as_ref().map(Given::read).transpose() {
            Ok(given) => given,
            Err(why) => return faults.push(Fault::invalid(source.below("/secret"), why)),
        };
        let id: Option<ClientId> = value.get("client_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let current = self
            .state
            .tenant(&tenant)
            .zip(id.as_ref())
            .and_then(|(owner, id)| self.state.client(owner.id, id))
            .map(AsRef::as_ref);
        let (client_id, spec) = match read_client(&value, current) {
            Ok((Some(client_id), spec)) => (client_id, spec),
            Ok((None, _)) => return faults.push(Fault::invalid(source.below("/client_id"), "is needed")),
            Err(problem) => return Fault::all_of(problem, source, faults),
        };
        let without = !spec.token_endpoint_auth_method.uses_secret();
        if without && given.is_some() {
            return faults.push(Fault::invalid(
                source.below("/secret"),
                "a client of this token_endpoint_auth_method has no secret",
            ));
        }
        if !without && given.is_none() && current.is_none() {
            return faults
                .push(Fault::invalid(source.below("/secret"), "is needed to make a client that proves itself by it"));
        }
        if let Some(why) = given.as_ref().and_then(|given| given.problem(&spec)) {
            return faults.push(Fault::invalid(source.below("/secret"), why));
        }
        let taken = match self.may_take(source, current.and_then(|it| it.managed_by.as_ref())) {
            Ok(taken) => taken,
            Err(fault) => return faults.push(fault),
        };
        stated.clients.insert((tenant.clone(), client_id.clone()));
        let resource = ResourceRef::Client { tenant: tenant.clone(), client_id: client_id.clone() };
        let secret_id = SecretId::from_uuid(id::fresh(self.clock));
        let secret = given.map(|given| given.stored(secret_id, &spec, self.keyring));
        let mut change = Change::default();
        let revision = current.map_or(Revision::ZERO, |it| it.revision);
        if let Some(current) = current {
            if current.spec != spec || taken.is_some() {
                let after = Client { spec: spec.clone(), ..current.clone() };
                change.differences = diff::between(Some(&ClientView::of(current)), Some(&ClientView::of(&after)));
                change.differences.extend(taken);
                change.mutations.push(Mutation::ClientUpdate { tenant: tenant.clone(), client_id, spec });
            }
            if let Some(secret) = secret {
                let secrets = secret::changes(&tenant, current, secret, self.clock.now());
                if !secrets.is_empty() {
                    change.differences.push(difference("secret", Some(json!(MASKED)), Some(json!(MASKED_NEW))));
                }
                change.mutations.extend(secrets);
            }
        } else {
            let shown = serde_json::to_value(&spec).ok();
            change.differences = diff::between(None::<&Value>, shown.as_ref());
            if secret.is_some() {
                change.differences.push(difference("secret", None, Some(json!(MASKED))));
            }
            change.mutations.push(Mutation::ClientCreate { tenant, client_id: Some(client_id), spec, secret });
        }
        plan.add(source, resource, revision, change);
    }

    fn settings(&self, wanted: &Wanted, plan: &mut Plan, faults: &mut Vec<Fault>) {
        let source = &wanted.source;
        if self.request.bounds != Bounds::Everything {
            return faults.push(forbidden(source.clone(), "the settings are owners' and operators'"));
        }
        let current = self.state.settings();
        let spec = match read_settings(&wanted.value, &current) {
            Ok(spec) => spec,
            Err(problem) => return Fault::all_of(problem, source, faults),
        };
        let mut change = Change::default();
        if spec != current.spec {
            let mut after = controlplane_core::ClusterSettings::clone(&current);
            after.spec = spec.clone();
            change.differences = diff::between(Some(&SettingsView::of(&current)), Some(&SettingsView::of(&after)));
            change.mutations.push(Mutation::SettingsUpdate { spec });
        }
        plan.add(source, ResourceRef::Settings, current.revision, change);
    }

    /// The tenant of a client or scope. Whether it exists is found out by the rehearsal.
    fn owner(&self, wanted: &Wanted, faults: &mut Vec<Fault>) -> Option<Slug> {
        let tenant = wanted.tenant.clone()?;
        match &self.request.bounds {
            Bounds::Tenant(own) if *own != tenant => {
                faults.push(forbidden(wanted.source.clone(), "your role covers your own tenant only"));
                None
            }
            _ => Some(tenant),
        }
    }

    /// `Some`: it becomes this set's, which is a change by itself.
    fn may_take(&self, source: &Source, manager: Option<&String>) -> Result<Option<Difference>, Fault> {
        match manager {
            Some(name) if name == self.request.set => Ok(None),
            Some(other) if self.request.ownership == Ownership::Respect => {
                let detail = format!("is managed by the set {other:?}: apply it there, or take it over");
                Err(Fault { code: ErrorCode::Conflict, ..Fault::invalid(source.clone(), detail) })
            }
            manager => {
                let before = manager.map(|name| json!(name));
                Ok(Some(difference("managed_by", before, Some(json!(self.request.set)))))
            }
        }
    }

    /// What a tenant's own administrator may not: see `tenants::may_replace`.
    fn within(
        &self,
        source: &Source,
        slug: &Slug,
        old: Option<&TenantSpec>,
        new: &TenantSpec,
        faults: &mut Vec<Fault>,
    ) -> bool {
        let Bounds::Tenant(own) = &self.request.bounds else { return true };
        let problem = match old {
            _ if own != slug => Some("your role covers your own tenant only"),
            None => Some("tenants are made by owners and operators only"),
            Some(old) if old.status != new.status || old.settings.hosts != new.settings.hosts => {
                Some("status and hosts are changed by owners and operators only")
            }
            Some(_) => None,
        };
        faults.extend(problem.map(|detail| forbidden(source.clone(), detail)));
        problem.is_none()
    }

    /// Two tenants may swap host names, which no order of two updates allows: those that lose one to another document's
    /// tenant let go of it first.
    fn host_releases(&self, tenants: &Plan) -> Vec<(Mutation, Source)> {
        let claimed: BTreeSet<&String> = tenants.items.iter().flat_map(|(item, _)| hosts_of(item)).collect();
        let mut releases = Vec::new();
        for (item, source) in &tenants.items {
            let Mutation::TenantUpdate { slug, spec } = item else { continue };
            let Some(current) = self.state.tenant(slug) else { continue };
            let lost = |host: &String| !spec.settings.hosts.contains(host) && claimed.contains(host);
            if current.spec.settings.hosts.iter().any(lost) {
                let mut without = spec.clone();
                without.settings.hosts.retain(|host| current.spec.settings.hosts.contains(host));
                if without.settings.hosts.is_empty() {
                    without.settings.issuer_mode = controlplane_core::model::IssuerMode::Path;
                }
                releases.push((Mutation::TenantUpdate { slug: slug.clone(), spec: without }, source.clone()));
            }
        }
        releases
    }
}

fn hosts_of(item: &Mutation) -> &[String] {
    match item {
        Mutation::TenantCreate { spec, .. } | Mutation::TenantUpdate { spec, .. } => &spec.settings.hosts,
        _ => &[],
    }
}

fn forbidden(source: Source, detail: &str) -> Fault {
    Fault { code: ErrorCode::Forbidden, ..Fault::invalid(source, detail) }
}

/// Deleting a scope takes it out of every client: what a document states would not be so.
fn refuse_pruned_scopes(clients: &[Wanted], pruned: &Pruned, faults: &mut Vec<Fault>) {
    for wanted in clients {
        let (Some(tenant), Some(Value::Array(scopes))) = (&wanted.tenant, wanted.value.get("scopes")) else { continue };
        for (index, name) in scopes.iter().enumerate() {
            let Some(name) = name.as_str().filter(|name| !STANDARD_SCOPES.contains(name)) else { continue };
            let Ok(name) = name.parse::<ScopeName>() else { continue };
            if pruned.scope_names.contains(&(tenant.clone(), name)) {
                let source = wanted.source.below(&format!("/scopes/{index}"));
                faults.push(Fault::invalid(source, "names a scope that no document states and that would be pruned"));
            }
        }
    }
}

/// A tenant that does not exist yet, as it will be shown.
fn preview(slug: &Slug, spec: &TenantSpec) -> TenantView {
    let at = vocab::Timestamp::from_millis(0);
    TenantView::of(&Tenant {
        id: vocab::TenantId::from_uuid(uuid::Uuid::nil()),
        slug: slug.clone(),
        spec: spec.clone(),
        created_at: at,
        updated_at: at,
        revision: Revision::ZERO,
        longest: controlplane_core::model::Longest::default(),
        registration_tokens: Vec::new(),
        managed_by: None,
    })
}

/// The secrets of a tenant, by where they stand in its document.
fn sealed(spec: &TenantSpec) -> BTreeMap<String, &Sealed> {
    let settings = &spec.settings;
    let dsn = settings.database.as_ref().map(|database| ("settings/database/dsn".to_owned(), &database.dsn));
    let password = settings.smtp_password().map(|password| ("settings/smtp/password".to_owned(), password));
    let of_provider = |(id, secret)| (format!("settings/oauth/identity_providers/{id}/client_secret"), secret);
    dsn.into_iter().chain(password).chain(settings.provider_secrets().map(of_provider)).collect()
}
