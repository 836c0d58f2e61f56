//! Administrators' credentials. One owner without an end always remains.

use std::sync::Arc;

use vocab::{AdminId, Revision, SecretDigest, Violations};

use super::{Context, Decision, check, check_room, conflict, not_found};
use crate::limits;
use crate::model::{Admin, AdminSpec, Role};
use crate::mutation::{AdminUse, Change, ResourceRef};
use crate::rejection::Rejection;

pub(super) fn create(
    cx: &Context<'_>,
    id: AdminId,
    spec: AdminSpec,
    digest: SecretDigest,
) -> Result<Decision, Rejection> {
    if cx.state.admin(id).is_some() {
        return Err(Rejection::AlreadyExists { what: format!("administrator {id}") });
    }
    cx.check_precondition(Revision::ZERO)?;
    check(problems(cx, &spec))?;
    check_room("administrators", cx.state.admin_count(), limits::ADMINS)?;
    let admin = Admin { id, spec, digest, created_at: cx.stamp.at, last_used_at: None, revision: cx.revision };
    check_owner_remains(cx, id, Some(&admin))?;
    Ok(put(admin))
}

pub(super) fn update(cx: &Context<'_>, id: AdminId, spec: AdminSpec) -> Result<Decision, Rejection> {
    let old = find(cx, id)?;
    check(problems(cx, &spec))?;
    let admin = Admin { spec, revision: cx.revision, ..Admin::clone(old) };
    check_owner_remains(cx, id, Some(&admin))?;
    Ok(put(admin))
}

pub(super) fn delete(cx: &Context<'_>, id: AdminId) -> Result<Decision, Rejection> {
    find(cx, id)?;
    check_owner_remains(cx, id, None)?;
    Ok(Decision { resource: ResourceRef::Admin { id }, changes: vec![Change::AdminDeleted { id }] })
}

/// Several nodes report, in any order: the latest counts. Who is gone by now is passed over.
pub(super) fn used(cx: &Context<'_>, uses: &[AdminUse]) -> Result<Decision, Rejection> {
    cx.check_precondition(Revision::ZERO)?;
    check_room("credentials of one report", uses.len(), limits::ADMINS + 1)?;
    let later = uses.iter().filter_map(|used| {
        let admin = cx.state.admin(used.id).filter(|admin| admin.last_used_at < Some(used.at))?;
        Some(Change::from(Admin { last_used_at: Some(used.at), ..Admin::clone(admin) }))
    });
    Ok(Decision { resource: ResourceRef::Configuration, changes: later.collect() })
}

/// Finds the credential and checks the precondition on it.
fn find<'a>(cx: &Context<'a>, id: AdminId) -> Result<&'a Arc<Admin>, Rejection> {
    let admin = cx.state.admin(id).ok_or_else(|| not_found(format!("administrator {id}")))?;
    cx.check_precondition(admin.revision)?;
    Ok(admin)
}

fn problems(cx: &Context<'_>, spec: &AdminSpec) -> Violations {
    let mut violations = spec.validate();
    violations.require(spec.expires_at.is_none_or(|end| end > cx.stamp.at), "/expires_at", || {
        "must lie in the future".to_owned()
    });
    if let Role::TenantAdmin(slug) = &spec.role {
        violations
            .require(cx.state.tenant(slug).is_some(), "/role/tenant-admin", || format!("tenant {slug} does not exist"));
    }
    violations
}

fn check_owner_remains(cx: &Context<'_>, id: AdminId, becomes: Option<&Admin>) -> Result<(), Rejection> {
    let others = cx.state.admins_after(None).filter(|admin| admin.id != id);
    if becomes.is_some_and(Admin::is_lasting_owner) || others.into_iter().any(|admin| admin.is_lasting_owner()) {
        return Ok(());
    }
    Err(conflict("one owner without an expiry must remain"))
}

fn put(admin: Admin) -> Decision {
    Decision { resource: ResourceRef::Admin { id: admin.id }, changes: vec![admin.into()] }
}
