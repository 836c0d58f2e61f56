//! `/tenants/{slug}/registration-tokens`: initial access tokens (RFC 7591 §3), made here and shown once.

use actix_web::{HttpResponse, web};
use controlplane_core::model::RegistrationToken;
use controlplane_core::{Mutation, ResourceRef, State};
use serde::{Deserialize, Serialize};
use vocab::RegistrationTokenId;
use vocab::registration::InitialToken;

use super::auth::Principal;
use super::json::Document;
use super::page::{Page, after};
use super::problem::Problem;
use super::query::{Create, List, Read, Write};
use super::tenants;
use super::view::{RegistrationTokenView, read_registration_token};
use super::{Api, answer};
use crate::credential::random_secret;
use crate::id;

/// Slug, id of the token.
type Path = web::Path<(String, String)>;

fn address(id: &str) -> Result<RegistrationTokenId, Problem> {
    id.parse().map_err(|_| Problem::not_found("the registration token"))
}

fn find<'a>(state: &'a State, slug: &str, id: RegistrationTokenId) -> Result<&'a RegistrationToken, Problem> {
    let tokens = &tenants::find(state, slug)?.registration_tokens;
    tokens.iter().find(|token| token.id == id).ok_or_else(|| Problem::not_found("the registration token"))
}

/// What is shown once.
#[derive(Serialize, Deserialize)]
struct Receipt {
    token: String,
}

#[derive(Serialize)]
struct CreatedToken {
    #[serde(flatten)]
    view: RegistrationTokenView,
    #[serde(flatten)]
    receipt: Receipt,
}

pub(super) async fn list(api: web::Data<Api>, slug: web::Path<String>, list: List) -> Result<HttpResponse, Problem> {
    let after: Option<RegistrationTokenId> = after(&list)?;
    let (revision, page) = api
        .read(&list.read, |state| {
            // Their ids are in the order of their making, too.
            let tokens = tenants::find(state, &slug)?.registration_tokens.iter();
            let rest = tokens.filter(|token| after.is_none_or(|after| token.id > after));
            let key = |token: &&RegistrationToken| token.id.to_string();
            Ok::<_, Problem>(Page::of(rest, list.limit, key, |token| RegistrationTokenView::of(token)))
        })
        .await?;
    Ok(answer::show(revision, None, &page?))
}

pub(super) async fn get(api: web::Data<Api>, path: Path, read: Read) -> Result<HttpResponse, Problem> {
    let (slug, id) = path.into_inner();
    let id = address(&id)?;
    let (revision, view) = api.read(&read, |state| find(state, &slug, id).map(RegistrationTokenView::of)).await?;
    Ok(answer::show(revision, None, &view?))
}

pub(super) async fn create(
    api: web::Data<Api>,
    who: Principal,
    slug: web::Path<String>,
    write: Create,
    body: Document,
) -> Result<HttpResponse, Problem> {
    let tenant = tenants::slug(&slug)?;
    let spec = read_registration_token(&body.0)?;
    let token = InitialToken::new(RegistrationTokenId::from_uuid(id::fresh(&*api.clock)), random_secret());
    let fresh = Receipt { token: token.reveal().expose().clone() };
    let sealed = api.seal_receipt(&fresh)?;
    let mutation = Mutation::RegistrationTokenCreate { tenant, id: token.id, spec, digest: token.digest() };
    let done = api.change(&who, &write.0, mutation, Some(sealed)).await?;
    let receipt = if done.applied.replayed {
        api.open_receipt(done.applied.receipt.as_ref())?
            .ok_or_else(|| Problem::internal("a remembered registration_token.create has no receipt"))?
    } else {
        fresh
    };
    let ResourceRef::RegistrationToken { id, .. } = done.applied.resource else {
        return Err(Problem::internal("registration_token.create made something else"));
    };
    let view = api.control.read(|state| find(state, &slug, id).map(RegistrationTokenView::of))?;
    let location = format!("/api/v1/tenants/{slug}/registration-tokens/{id}");
    Ok(answer::created(&done, &location, done.applied.revision, &CreatedToken { view, receipt }))
}

pub(super) async fn revoke(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
) -> Result<HttpResponse, Problem> {
    let (slug, id) = path.into_inner();
    let mutation = Mutation::RegistrationTokenRevoke { tenant: tenants::slug(&slug)?, id: address(&id)? };
    Ok(answer::deleted(&api.change(&who, &write, mutation, None).await?))
}
