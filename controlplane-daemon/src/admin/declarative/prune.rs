//! What a set of manifests made and no longer states.

use std::collections::BTreeSet;

use controlplane_core::mutation::Precondition;
use controlplane_core::{Mutation, ResourceRef, State, Tenant};
use vocab::{ClientId, ErrorCode, ScopeName, Slug};

use super::outline::{Action, Bounds, Fault, Plan, Request, Source, Step};

/// The names that documents state.
#[derive(Default)]
pub(super) struct Stated {
    pub(super) tenants: BTreeSet<Slug>,
    pub(super) clients: BTreeSet<(Slug, ClientId)>,
    pub(super) scopes: BTreeSet<(Slug, ScopeName)>,
}

/// What is to be deleted, by when in the batch.
#[derive(Default)]
pub(super) struct Pruned {
    pub(super) tenants: Plan,
    pub(super) clients: Plan,
    pub(super) scopes: Plan,
    pub(super) scope_names: BTreeSet<(Slug, ScopeName)>,
}

pub(super) fn plan(state: &State, request: &Request<'_>, stated: &Stated, faults: &mut Vec<Fault>) -> Pruned {
    let mut pruned = Pruned::default();
    let mine = |manager: Option<&String>| manager.is_some_and(|name| name == request.set);
    let within = |slug: &Slug| match &request.bounds {
        Bounds::Everything => true,
        Bounds::Tenant(own) => own == slug,
    };
    for tenant in state.tenants_after(None).filter(|tenant| within(&tenant.slug)) {
        let slug = &tenant.slug;
        let whole = mine(tenant.managed_by.as_ref()) && !stated.tenants.contains(slug);
        if whole && request.bounds == Bounds::Everything {
            if let Some(other) = others_in(state, tenant, request.set) {
                let detail = format!("tenant {slug} would be pruned, but {other} in it is not managed by this set");
                faults.push(Fault { code: ErrorCode::Conflict, ..Fault::invalid(Source::nowhere(), detail) });
            } else {
                let resource = ResourceRef::Tenant { slug: slug.clone() };
                let seen = Precondition {
                    contents: Some(state.contents_revision(tenant.id)),
                    ..Precondition::new(resource, tenant.revision)
                };
                delete(&mut pruned.tenants, seen, Mutation::TenantDelete { slug: slug.clone() });
            }
            continue;
        }
        for client in state.clients_of(tenant.id, None).filter(|client| mine(client.managed_by.as_ref())) {
            let key = (slug.clone(), client.client_id.clone());
            if !stated.clients.contains(&key) {
                let (tenant, client_id) = key;
                let resource = ResourceRef::Client { tenant: tenant.clone(), client_id: client_id.clone() };
                let mutation = Mutation::ClientDelete { tenant, client_id };
                delete(&mut pruned.clients, Precondition::new(resource, client.revision), mutation);
            }
        }
        for scope in state.scopes_of(tenant.id, None).filter(|scope| mine(scope.managed_by.as_ref())) {
            let key = (slug.clone(), scope.name.clone());
            if !stated.scopes.contains(&key) {
                pruned.scope_names.insert(key.clone());
                let (tenant, name) = key;
                let resource = ResourceRef::Scope { tenant: tenant.clone(), name: name.clone() };
                let seen = Precondition::new(resource, scope.revision);
                delete(&mut pruned.scopes, seen, Mutation::ScopeDelete { tenant, name });
            }
        }
    }
    pruned
}

fn delete(plan: &mut Plan, seen: Precondition, mutation: Mutation) {
    let resource = seen.resource.clone();
    plan.planned_on.push(seen);
    plan.items.push((mutation, Source::nowhere()));
    plan.steps.push(Step { action: Action::Delete, resource, source: None, differences: Vec::new() });
}

/// Something of the tenant that somebody else made: it would go along.
fn others_in(state: &State, tenant: &Tenant, set: &str) -> Option<String> {
    let other = |manager: Option<&String>| manager.is_none_or(|name| name != set);
    let client = state.clients_of(tenant.id, None).find(|client| other(client.managed_by.as_ref()));
    let scope = state.scopes_of(tenant.id, None).find(|scope| other(scope.managed_by.as_ref()));
    client
        .map(|client| format!("client {}", client.client_id))
        .or_else(|| scope.map(|scope| format!("scope {}", scope.name)))
}
