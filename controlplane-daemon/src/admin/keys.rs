//! `/tenants/{slug}/keys` and `/keys`, the global set: the same but for whose they are.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use controlplane_core::model::KeyOwner;
use controlplane_core::{Mutation, ResourceRef, SigningKey, State};
use vocab::{KeyId, Slug};

use super::auth::Principal;
use super::fields::{Fields, Problems};
use super::json::OptionalDocument;
use super::page::{Page, after};
use super::problem::Problem;
use super::query::{Create, List, Read, Write};
use super::tenants;
use super::view::{KEY_ALGORITHMS, KeyView};
use super::{Api, answer};

/// The tenant of the path; `None`: the global set.
fn tenant(request: &HttpRequest) -> Result<Option<Slug>, Problem> {
    request.match_info().get("slug").map(tenants::slug).transpose()
}

fn owner(state: &State, tenant: Option<&Slug>) -> Result<KeyOwner, Problem> {
    match tenant {
        None => Ok(KeyOwner::Global),
        Some(slug) => tenants::find(state, slug.as_str()).map(|tenant| KeyOwner::Tenant(tenant.id)),
    }
}

fn kid(request: &HttpRequest) -> Result<KeyId, Problem> {
    let kid = request.match_info().get("kid").and_then(|kid| kid.parse().ok());
    kid.ok_or_else(|| Problem::not_found("the key"))
}

fn find<'a>(state: &'a State, tenant: Option<&Slug>, kid: &KeyId) -> Result<&'a Arc<SigningKey>, Problem> {
    state.key(owner(state, tenant)?, kid).ok_or_else(|| Problem::not_found("the key"))
}

pub(super) async fn list(api: web::Data<Api>, request: HttpRequest, list: List) -> Result<HttpResponse, Problem> {
    let tenant = tenant(&request)?;
    let after: Option<KeyId> = after(&list)?;
    let (revision, page) = api
        .read(&list.read, |state| {
            let rest = |key: &&Arc<SigningKey>| after.as_ref().is_none_or(|after| key.kid > *after);
            let keys = state.keys_of(owner(state, tenant.as_ref())?).filter(rest);
            Ok::<_, Problem>(Page::of(keys, list.limit, |key| key.kid.to_string(), |key| KeyView::of(key)))
        })
        .await?;
    Ok(answer::show(revision, None, &page?))
}

pub(super) async fn get(api: web::Data<Api>, request: HttpRequest, read: Read) -> Result<HttpResponse, Problem> {
    let (tenant, kid) = (tenant(&request)?, kid(&request)?);
    let (revision, view) =
        api.read(&read, |state| find(state, tenant.as_ref(), &kid).map(|key| KeyView::of(key))).await?;
    let view = view?;
    Ok(answer::show(revision, Some(view.revision), &view))
}

pub(super) async fn rotate(
    api: web::Data<Api>,
    who: Principal,
    request: HttpRequest,
    write: Create,
    body: OptionalDocument,
) -> Result<HttpResponse, Problem> {
    let tenant = tenant(&request)?;
    let problems = Problems::default();
    let read = Fields::of(&body.0, "", &problems).map(|fields| {
        let step = fields.word("step", "now, publish or activate").unwrap_or_default();
        let family = fields.word("algorithm", KEY_ALGORITHMS);
        fields.finish();
        (step, family)
    });
    let (step, family) = problems.settle(read)?;
    let mutation = Mutation::KeyRotate { tenant, step, family };
    change(&api, &who, &write.0, mutation).await
}

pub(super) async fn revoke(
    api: web::Data<Api>,
    who: Principal,
    request: HttpRequest,
    write: Write,
    body: OptionalDocument,
) -> Result<HttpResponse, Problem> {
    let (tenant, kid) = (tenant(&request)?, kid(&request)?);
    let problems = Problems::default();
    let read = Fields::of(&body.0, "", &problems).map(Fields::finish);
    problems.settle(read)?;
    change(&api, &who, &write, Mutation::KeyRevoke { tenant, kid }).await
}

/// Answers with the key that it was about.
async fn change(api: &Api, who: &Principal, write: &Write, mutation: Mutation) -> Result<HttpResponse, Problem> {
    let done = api.change(who, write, mutation, None).await?;
    let ResourceRef::Key { tenant, kid } = &done.applied.resource else {
        return Err(Problem::internal("a change of keys was about something else"));
    };
    let view = api.control.read(|state| find(state, tenant.as_ref(), kid).map(|key| KeyView::of(key)))?;
    Ok(answer::changed(&done, view.revision, &view))
}
