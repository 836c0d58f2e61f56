//! Tenants. Deleting one takes along everything that belongs to it.

use vocab::{Revision, Slug, TenantId};

use super::{Context, Decision, check, check_room, conflict, key};
use crate::limits;
use crate::model::{KeyOwner, Longest, Role, Tenant, TenantSpec};
use crate::mutation::{Change, ResourceRef, families_of_tenant};
use crate::rejection::Rejection;
use crate::validate::slug_problems;

pub(super) fn create(cx: &Context<'_>, slug: Slug, spec: TenantSpec) -> Result<Decision, Rejection> {
    if cx.state.tenant(&slug).is_some() {
        return Err(Rejection::AlreadyExists { what: format!("tenant {slug}") });
    }
    cx.check_precondition(Revision::ZERO)?;
    let mut violations = spec.validate();
    violations.nest("/slug", slug_problems(&slug));
    check(violations)?;
    check_room("tenants", cx.state.tenant_count(), limits::TENANTS)?;
    let id = TenantId::from_uuid(cx.stamp.id);
    if cx.state.tenant_by_id(id).is_some() {
        return Err(conflict("the stamped id is taken"));
    }
    check_hosts(cx, id, &spec)?;
    let keys = key::first_of(cx, KeyOwner::Tenant(id), families_of_tenant(&spec))?;
    let at = cx.stamp.at;
    let tenant = Tenant {
        id,
        slug: slug.clone(),
        spec,
        created_at: at,
        updated_at: at,
        revision: cx.revision,
        longest: Longest::default(),
        managed_by: cx.manager(None),
        registration_tokens: Vec::new(),
    };
    let changes = std::iter::once(tenant.into()).chain(keys).collect();
    Ok(Decision { resource: ResourceRef::Tenant { slug }, changes })
}

pub(super) fn update(cx: &Context<'_>, slug: &Slug, spec: TenantSpec) -> Result<Decision, Rejection> {
    let old = cx.tenant(slug)?;
    cx.check_precondition(old.revision)?;
    check(spec.validate())?;
    check_hosts(cx, old.id, &spec)?;
    let keys = key::first_of(cx, KeyOwner::Tenant(old.id), families_of_tenant(&spec))?;
    let longest = remember(old);
    let managed_by = cx.manager(old.managed_by.as_ref());
    let tenant =
        Tenant { spec, updated_at: cx.stamp.at, revision: cx.revision, longest, managed_by, ..Tenant::clone(old) };
    let changes = keys.into_iter().chain([tenant.into()]).collect();
    Ok(Decision { resource: ResourceRef::Tenant { slug: slug.clone() }, changes })
}

/// The longest so far, with what ends now.
fn remember(old: &Tenant) -> Longest {
    let (longest, settings) = (old.longest, &old.spec.settings);
    Longest {
        jwks_cache_secs: longest.jwks_cache_secs.max(settings.lifetimes.jwks_cache_secs),
        token_secs: longest.token_secs.max(settings.lifetimes.longest_token_secs()),
        stale_secs: longest.stale_secs.max(settings.staleness.map_or(0, |staleness| staleness.refuse_after_secs)),
        inherited_staleness: longest.inherited_staleness || settings.staleness.is_none(),
    }
}

/// The tenant comes last, so that no change speaks of what is gone already.
pub(super) fn delete(cx: &Context<'_>, slug: Slug) -> Result<Decision, Rejection> {
    let tenant = cx.tenant(&slug)?;
    cx.check_precondition(tenant.revision)?;
    let (id, owner) = (tenant.id, KeyOwner::Tenant(tenant.id));
    let credentials = cx.state.admins_after(None).filter(|admin| admin.spec.role == Role::TenantAdmin(slug.clone()));
    let changes = cx
        .state
        .clients_of(id, None)
        .map(|client| Change::ClientDeleted { tenant_id: id, client_id: client.client_id.clone() })
        .chain(cx.state.scopes_of(id, None).map(|s| Change::ScopeDeleted { tenant_id: id, name: s.name.clone() }))
        .chain(cx.state.keys_of(owner).map(|key| Change::KeyDeleted { owner, kid: key.kid.clone() }))
        .chain(credentials.map(|admin| Change::AdminDeleted { id: admin.id }))
        .chain(std::iter::once(Change::TenantDeleted { id, slug: slug.clone() }))
        .collect();
    Ok(Decision { resource: ResourceRef::Tenant { slug }, changes })
}

/// A host name leads to one tenant. Whose it is otherwise is not told: a tenant's administrator may be asking.
fn check_hosts(cx: &Context<'_>, id: TenantId, spec: &TenantSpec) -> Result<(), Rejection> {
    let taken = |host: &&String| cx.state.tenant_of_host(host).is_some_and(|tenant| tenant.id != id);
    match spec.settings.hosts.iter().find(taken) {
        Some(host) => Err(conflict(format!("the host {host} belongs to another tenant"))),
        None => Ok(()),
    }
}
