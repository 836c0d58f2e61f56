//! `/tenants`

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use controlplane_core::model::TenantSpec;
use controlplane_core::{Mutation, Role, State, Tenant};
use vocab::Slug;

use super::auth::Principal;
use super::json::{Document, Patch};
use super::page::{Page, after};
use super::patch::{self, Plan, patched};
use super::problem::Problem;
use super::query::{Create, Read, Search, Write};
use super::view::{TenantView, read_tenant, replace_tenant};
use super::{Api, answer};

type Path = web::Path<String>;

/// The tenant that a path names.
pub(super) fn find<'a>(state: &'a State, slug: &str) -> Result<&'a Arc<Tenant>, Problem> {
    let tenant = slug.parse::<Slug>().ok().and_then(|slug| state.tenant(&slug));
    tenant.ok_or_else(|| Problem::not_found("the tenant"))
}

pub(super) fn slug(text: &str) -> Result<Slug, Problem> {
    text.parse().map_err(|_| Problem::not_found("the tenant"))
}

fn view(api: &Api, slug: &str) -> Result<TenantView, Problem> {
    api.control.read(|state| find(state, slug).map(|tenant| TenantView::of(tenant)))
}

pub(super) async fn list(api: web::Data<Api>, who: Principal, search: Search) -> Result<HttpResponse, Problem> {
    let after: Option<Slug> = after(&search.list)?;
    let query = search.q.unwrap_or_default();
    let (revision, page) = api
        .read(&search.list.read, |state| {
            let visible = |tenant: &&Arc<Tenant>| match &who.role {
                Role::TenantAdmin(own) => tenant.slug == *own,
                Role::Owner | Role::Operator | Role::Auditor => true,
            };
            let matching = state.tenants_matching(&query, after.as_ref()).filter(visible);
            Page::of(matching, search.list.limit, |tenant| tenant.slug.to_string(), |tenant| TenantView::of(tenant))
        })
        .await?;
    Ok(answer::show(revision, None, &page))
}

pub(super) async fn get(api: web::Data<Api>, path: Path, read: Read) -> Result<HttpResponse, Problem> {
    let (revision, view) = api.read(&read, |state| find(state, &path).map(|tenant| TenantView::of(tenant))).await?;
    let view = view?;
    Ok(answer::show(revision, Some(view.revision), &view))
}

pub(super) async fn create(
    api: web::Data<Api>,
    who: Principal,
    write: Create,
    body: Document,
) -> Result<HttpResponse, Problem> {
    let (slug, spec) = read_tenant(&body.0, &api.keyring)?;
    let done = api.change(&who, &write.0, Mutation::TenantCreate { slug: slug.clone(), spec }, None).await?;
    let view = view(&api, slug.as_str())?;
    Ok(answer::created(&done, &format!("/api/v1/tenants/{slug}"), view.revision, &view))
}

pub(super) async fn put(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
    body: Document,
) -> Result<HttpResponse, Problem> {
    let judged = matches!(who.role, Role::TenantAdmin(_));
    let done = patch::apply(&api, &who, &write, |state| {
        let tenant = find(state, &path)?;
        let spec = replace_tenant(&body.0, tenant, &api.keyring)?;
        may_replace(&who, &tenant.spec, &spec)?;
        let mutation = Mutation::TenantUpdate { slug: tenant.slug.clone(), spec };
        // What a tenant's own administrator may change was judged by this revision; others may change anything.
        Ok(Plan { mutation, based_on: judged.then_some(tenant.revision), in_force: false })
    })
    .await?;
    let view = view(&api, &path)?;
    Ok(answer::patched(&api, done.as_ref(), view.revision, &view))
}

pub(super) async fn patch(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
    body: Patch,
) -> Result<HttpResponse, Problem> {
    let done = patch::apply(&api, &who, &write, |state| {
        let tenant = find(state, &path)?;
        let spec = replace_tenant(&patched(&TenantView::of(tenant), &body.0)?, tenant, &api.keyring)?;
        may_replace(&who, &tenant.spec, &spec)?;
        let in_force = spec == tenant.spec;
        let mutation = Mutation::TenantUpdate { slug: tenant.slug.clone(), spec };
        Ok(Plan { mutation, based_on: Some(tenant.revision), in_force })
    })
    .await?;
    let view = view(&api, &path)?;
    Ok(answer::patched(&api, done.as_ref(), view.revision, &view))
}

/// A tenant's own administrator neither lifts a suspension nor claims host names: both concern others, too.
fn may_replace(who: &Principal, old: &TenantSpec, new: &TenantSpec) -> Result<(), Problem> {
    let concerns_others = old.status != new.status || old.settings.hosts != new.settings.hosts;
    if concerns_others && matches!(who.role, Role::TenantAdmin(_)) {
        return Err(Problem::forbidden("status and hosts are changed by owners and operators only"));
    }
    Ok(())
}

pub(super) async fn delete(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
) -> Result<HttpResponse, Problem> {
    let done = api.change(&who, &write, Mutation::TenantDelete { slug: slug(&path)? }, None).await?;
    Ok(answer::deleted(&done))
}
