//! Scopes that tenants define.

use std::sync::Arc;

use vocab::{Revision, ScopeName, Slug};

use super::{Context, Decision, check, check_room, not_found};
use crate::limits;
use crate::model::{Client, Scope, ScopeSpec};
use crate::mutation::{Change, ResourceRef};
use crate::rejection::Rejection;
use crate::validate::scope_name_problems;

pub(super) fn create(cx: &Context<'_>, tenant: Slug, name: ScopeName, spec: ScopeSpec) -> Result<Decision, Rejection> {
    let tenant_id = cx.tenant(&tenant)?.id;
    if cx.state.scope(tenant_id, &name).is_some() {
        return Err(Rejection::AlreadyExists { what: format!("scope {name} of tenant {tenant}") });
    }
    cx.check_precondition(Revision::ZERO)?;
    let mut violations = spec.validate();
    violations.nest("/name", scope_name_problems(&name));
    check(violations)?;
    check_room("scopes of a tenant", cx.state.scope_count(tenant_id), limits::SCOPES_PER_TENANT)?;
    Ok(put(tenant, Scope { tenant_id, name, spec, revision: cx.revision, managed_by: cx.manager(None) }))
}

pub(super) fn update(cx: &Context<'_>, tenant: Slug, name: ScopeName, spec: ScopeSpec) -> Result<Decision, Rejection> {
    let old = find(cx, &tenant, &name)?;
    check(spec.validate())?;
    let managed_by = cx.manager(old.managed_by.as_ref());
    Ok(put(tenant, Scope { tenant_id: old.tenant_id, name, spec, revision: cx.revision, managed_by }))
}

/// Clients that might ask for it no longer may; each of them is a change of its own.
pub(super) fn delete(cx: &Context<'_>, tenant: Slug, name: ScopeName) -> Result<Decision, Rejection> {
    let tenant_id = find(cx, &tenant, &name)?.tenant_id;
    let users = cx.state.clients_of(tenant_id, None).filter(|client| client.spec.scopes.contains(&name));
    let changes: Vec<_> = users
        .map(|client| {
            let mut client = Client { updated_at: cx.stamp.at, revision: cx.revision, ..Client::clone(client) };
            client.spec.scopes.retain(|scope| *scope != name);
            Change::from(client)
        })
        .chain(std::iter::once(Change::ScopeDeleted { tenant_id, name: name.clone() }))
        .collect();
    Ok(Decision { resource: ResourceRef::Scope { tenant, name }, changes })
}

/// Finds the scope and checks the precondition on it.
fn find<'a>(cx: &Context<'a>, tenant: &Slug, name: &ScopeName) -> Result<&'a Arc<Scope>, Rejection> {
    let scope = cx
        .state
        .scope(cx.tenant(tenant)?.id, name)
        .ok_or_else(|| not_found(format!("scope {name} of tenant {tenant}")))?;
    cx.check_precondition(scope.revision)?;
    Ok(scope)
}

fn put(tenant: Slug, scope: Scope) -> Decision {
    let resource = ResourceRef::Scope { tenant, name: scope.name.clone() };
    Decision { resource, changes: vec![scope.into()] }
}
