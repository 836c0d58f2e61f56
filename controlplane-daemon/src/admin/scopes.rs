//! `/tenants/{slug}/scopes`

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use controlplane_core::{Mutation, Scope, State};
use vocab::{ScopeName, Slug};

use super::auth::Principal;
use super::json::Document;
use super::page::{Page, after};
use super::problem::Problem;
use super::query::{Create, List, Read, Write};
use super::tenants;
use super::view::{ScopeView, read_scope};
use super::{Api, answer};

/// Slug, name.
type Path = web::Path<(String, String)>;

fn find<'a>(state: &'a State, (slug, name): &(String, String)) -> Result<&'a Arc<Scope>, Problem> {
    let tenant = tenants::find(state, slug)?;
    let scope = name.parse().ok().and_then(|name: ScopeName| state.scope(tenant.id, &name));
    scope.ok_or_else(|| Problem::not_found("the scope"))
}

fn address((slug, name): &(String, String)) -> Result<(Slug, ScopeName), Problem> {
    Ok((tenants::slug(slug)?, name.parse().map_err(|_| Problem::not_found("the scope"))?))
}

fn view(api: &Api, path: &(String, String)) -> Result<ScopeView, Problem> {
    api.control.read(|state| find(state, path).map(|scope| ScopeView::of(scope)))
}

pub(super) async fn list(api: web::Data<Api>, slug: web::Path<String>, list: List) -> Result<HttpResponse, Problem> {
    let after: Option<ScopeName> = after(&list)?;
    let (revision, page) = api
        .read(&list.read, |state| {
            let scopes = state.scopes_of(tenants::find(state, &slug)?.id, after.as_ref());
            let key = |scope: &&Arc<Scope>| scope.name.to_string();
            Ok::<_, Problem>(Page::of(scopes, list.limit, key, |scope| ScopeView::of(scope)))
        })
        .await?;
    Ok(answer::show(revision, None, &page?))
}

pub(super) async fn get(api: web::Data<Api>, path: Path, read: Read) -> Result<HttpResponse, Problem> {
    let (revision, view) = api.read(&read, |state| find(state, &path).map(|scope| ScopeView::of(scope))).await?;
    let view = view?;
    Ok(answer::show(revision, Some(view.revision), &view))
}

pub(super) async fn create(
    api: web::Data<Api>,
    who: Principal,
    slug: web::Path<String>,
    write: Create,
    body: Document,
) -> Result<HttpResponse, Problem> {
    let tenant = tenants::slug(&slug)?;
    let (name, spec) = read_scope(&body.0, None)?;
    let location = format!("/api/v1/tenants/{tenant}/scopes/{}", answer::segment(name.as_str()));
    let path = (slug.into_inner(), name.to_string());
    let done = api.change(&who, &write.0, Mutation::ScopeCreate { tenant, name, spec }, None).await?;
    let view = view(&api, &path)?;
    Ok(answer::created(&done, &location, view.revision, &view))
}

pub(super) async fn put(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
    body: Document,
) -> Result<HttpResponse, Problem> {
    let (tenant, name) = address(&path)?;
    let current = api.control.read(|state| find(state, &path).cloned())?;
    let (_, spec) = read_scope(&body.0, Some(&current))?;
    let done = api.change(&who, &write, Mutation::ScopeUpdate { tenant, name, spec }, None).await?;
    let view = view(&api, &path)?;
    Ok(answer::changed(&done, view.revision, &view))
}

pub(super) async fn delete(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
) -> Result<HttpResponse, Problem> {
    let (tenant, name) = address(&path)?;
    let done = api.change(&who, &write, Mutation::ScopeDelete { tenant, name }, None).await?;
    Ok(answer::deleted(&done))
}
