//! `/admins`: credentials of this API and their roles.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use controlplane_core::{Admin, Mutation, ResourceRef, State};
use serde::{Deserialize, Serialize};
use vocab::AdminId;

use super::auth::Principal;
use super::json::{Document, Patch};
use super::page::{Page, after};
use super::patch::{self, Plan, patched};
use super::problem::Problem;
use super::query::{Create, List, Read, Write};
use super::view::{AdminView, read_admin};
use super::{Api, answer};
use crate::credential::Credential;
use crate::id;

type Path = web::Path<String>;

fn address(id: &str) -> Result<AdminId, Problem> {
    id.parse().map_err(|_| Problem::not_found("the administrator"))
}

fn find(state: &State, id: AdminId) -> Result<&Arc<Admin>, Problem> {
    state.admin(id).ok_or_else(|| Problem::not_found("the administrator"))
}

fn view(api: &Api, id: AdminId) -> Result<AdminView, Problem> {
    api.control.read(|state| find(state, id).map(|admin| AdminView::of(admin)))
}

/// What is shown once.
#[derive(Serialize, Deserialize)]
struct Receipt {
    credential: String,
}

#[derive(Serialize)]
struct CreatedAdmin {
    #[serde(flatten)]
    admin: AdminView,
    #[serde(flatten)]
    receipt: Receipt,
}

pub(super) async fn list(api: web::Data<Api>, list: List) -> Result<HttpResponse, Problem> {
    let after: Option<AdminId> = after(&list)?;
    let (revision, page) = api
        .read(&list.read, |state| {
            let key = |admin: &&Arc<Admin>| admin.id.to_string();
            Page::of(state.admins_after(after), list.limit, key, |admin| AdminView::of(admin))
        })
        .await?;
    Ok(answer::show(revision, None, &page))
}

pub(super) async fn get(api: web::Data<Api>, path: Path, read: Read) -> Result<HttpResponse, Problem> {
    let id = address(&path)?;
    let (revision, view) = api.read(&read, |state| find(state, id).map(|admin| AdminView::of(admin))).await?;
    let view = view?;
    Ok(answer::show(revision, Some(view.revision), &view))
}

pub(super) async fn create(
    api: web::Data<Api>,
    who: Principal,
    write: Create,
    body: Document,
) -> Result<HttpResponse, Problem> {
    let spec = read_admin(&body.0, None)?;
    let credential = Credential::generate(AdminId::from_uuid(id::fresh(&*api.clock)));
    let fresh = Receipt { credential: credential.reveal().expose().clone() };
    let sealed = api.seal_receipt(&fresh)?;
    let mutation = Mutation::AdminCreate { id: credential.id, spec, digest: credential.digest() };
    let done = api.change(&who, &write.0, mutation, Some(sealed)).await?;
    let receipt = if done.applied.replayed {
        api.open_receipt(done.applied.receipt.as_ref())?
            .ok_or_else(|| Problem::internal("a remembered admin.create has no receipt"))?
    } else {
        fresh
    };
    let ResourceRef::Admin { id } = done.applied.resource else {
        return Err(Problem::internal("admin.create made something else"));
    };
    let admin = view(&api, id)?;
    let etag = admin.revision;
    Ok(answer::created(&done, &format!("/api/v1/admins/{id}"), etag, &CreatedAdmin { admin, receipt }))
}

pub(super) async fn put(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
    body: Document,
) -> Result<HttpResponse, Problem> {
    let id = address(&path)?;
    let current = api.control.read(|state| find(state, id).cloned())?;
    let spec = read_admin(&body.0, Some(&current))?;
    let done = api.change(&who, &write, Mutation::AdminUpdate { id, spec }, None).await?;
    let view = view(&api, id)?;
    Ok(answer::changed(&done, view.revision, &view))
}

pub(super) async fn patch(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
    body: Patch,
) -> Result<HttpResponse, Problem> {
    let id = address(&path)?;
    let done = patch::apply(&api, &who, &write, |state| {
        let current = find(state, id)?;
        let spec = read_admin(&patched(&AdminView::of(current), &body.0)?, Some(current))?;
        let in_force = spec == current.spec;
        Ok(Plan { mutation: Mutation::AdminUpdate { id, spec }, based_on: Some(current.revision), in_force })
    })
    .await?;
    let view = view(&api, id)?;
    Ok(answer::patched(&api, done.as_ref(), view.revision, &view))
}

pub(super) async fn delete(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
) -> Result<HttpResponse, Problem> {
    let done = api.change(&who, &write, Mutation::AdminDelete { id: address(&path)? }, None).await?;
    Ok(answer::deleted(&done))
}
