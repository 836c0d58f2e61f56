//! `/tenants/{slug}/clients`, and their secrets: made here, shown once, stored as digests.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use controlplane_core::mutation::NewSecret;
use controlplane_core::{Client, Mutation, ResourceRef, State};
use serde::{Deserialize, Serialize};
use vocab::client::AuthMethod;
use vocab::{ClientId, Sealed, Secret, SecretDigest, SecretId, Slug};

use super::auth::Principal;
use super::fields::{Fields, Problems};
use super::json::{Document, OptionalDocument, Patch};
use super::page::{Page, after};
use super::patch::{self, Plan, patched};
use super::problem::Problem;
use super::query::{Create, List, Read, Write};
use super::tenants;
use super::view::{ClientView, read_client};
use super::{Api, Done, answer};
use crate::credential::{random_hmac_secret, random_secret};
use crate::id;

/// Slug, client id.
type Path = web::Path<(String, String)>;

fn find<'a>(state: &'a State, (slug, client_id): &(String, String)) -> Result<&'a Arc<Client>, Problem> {
    let tenant = tenants::find(state, slug)?;
    let client = client_id.parse().ok().and_then(|client_id: ClientId| state.client(tenant.id, &client_id));
    client.ok_or_else(|| Problem::not_found("the client"))
}

fn address((slug, client_id): &(String, String)) -> Result<(Slug, ClientId), Problem> {
    let client_id = client_id.parse().map_err(|_| Problem::not_found("the client"))?;
    Ok((tenants::slug(slug)?, client_id))
}

fn view(api: &Api, path: &(String, String)) -> Result<ClientView, Problem> {
    api.control.read(|state| find(state, path).map(|client| ClientView::of(client)))
}

fn location(slug: &Slug, client_id: &ClientId) -> String {
    format!("/api/v1/tenants/{slug}/clients/{client_id}")
}

/// What is shown once.
#[derive(Serialize, Deserialize)]
struct Receipt {
    secret_id: SecretId,
    client_secret: String,
}

/// A fresh secret: its digest for the log, its text for the answer. Sealed for the log as well, if the client's way to
/// authenticate needs it.
struct Fresh {
    id: SecretId,
    text: Secret<String>,
    sealed: Option<Sealed>,
}

impl Fresh {
    fn make(api: &Api, method: AuthMethod) -> Self {
        let id = SecretId::from_uuid(id::fresh(&*api.clock));
        if !method.needs_sealed_secret() {
            return Self { id, text: random_secret(), sealed: None };
        }
        let text = random_hmac_secret();
        let sealed = api.keyring.seal(text.expose().as_bytes(), rand::random());
        Self { id, text, sealed: Some(sealed) }
    }

    fn stored(&self) -> NewSecret {
        let digest = SecretDigest::of(self.text.expose().as_bytes());
        NewSecret { id: self.id, digest, expires_at: None, sealed: self.sealed.clone() }
    }

    fn receipt(&self) -> Receipt {
        Receipt { secret_id: self.id, client_secret: self.text.expose().clone() }
    }
}

/// Of this request, or of the first one when this is a replay.
fn receipt(api: &Api, done: &Done, fresh: Option<&Fresh>) -> Result<Option<Receipt>, Problem> {
    if done.applied.replayed {
        return api.open_receipt(done.applied.receipt.as_ref());
    }
    Ok(fresh.map(Fresh::receipt))
}

#[derive(Serialize)]
struct CreatedClient {
    #[serde(flatten)]
    client: ClientView,
    #[serde(flatten)]
    receipt: Option<Receipt>,
}

pub(super) async fn list(api: web::Data<Api>, slug: web::Path<String>, list: List) -> Result<HttpResponse, Problem> {
    let after: Option<ClientId> = after(&list)?;
    let (revision, page) = api
        .read(&list.read, |state| {
            let clients = state.clients_of(tenants::find(state, &slug)?.id, after.as_ref());
            let key = |client: &&Arc<Client>| client.client_id.to_string();
            Ok::<_, Problem>(Page::of(clients, list.limit, key, |client| ClientView::of(client)))
        })
        .await?;
    Ok(answer::show(revision, None, &page?))
}

pub(super) async fn get(api: web::Data<Api>, path: Path, read: Read) -> Result<HttpResponse, Problem> {
    let (revision, view) = api.read(&read, |state| find(state, &path).map(|client| ClientView::of(client))).await?;
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
    let (client_id, spec) = read_client(&body.0, None)?;
    let method = spec.token_endpoint_auth_method;
    let fresh = method.uses_secret().then(|| Fresh::make(&api, method));
    let sealed = fresh.as_ref().map(|fresh| api.seal_receipt(&fresh.receipt())).transpose()?;
    let secret = fresh.as_ref().map(Fresh::stored);
    let mutation = Mutation::ClientCreate { tenant: tenant.clone(), client_id, spec, secret };
    let done = api.change(&who, &write.0, mutation, sealed).await?;
    let ResourceRef::Client { client_id, .. } = &done.applied.resource else {
        return Err(Problem::internal("client.create made something else"));
    };
    let client = view(&api, &(slug.into_inner(), client_id.to_string()))?;
    let (etag, location) = (client.revision, location(&tenant, client_id));
    let receipt = receipt(&api, &done, fresh.as_ref())?;
    Ok(answer::created(&done, &location, etag, &CreatedClient { client, receipt }))
}

pub(super) async fn put(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
    body: Document,
) -> Result<HttpResponse, Problem> {
    let (tenant, client_id) = address(&path)?;
    let current = api.control.read(|state| find(state, &path).cloned())?;
    let (_, spec) = read_client(&body.0, Some(&current))?;
    let done = api.change(&who, &write, Mutation::ClientUpdate { tenant, client_id, spec }, None).await?;
    let view = view(&api, &path)?;
    Ok(answer::changed(&done, view.revision, &view))
}

pub(super) async fn patch(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
    body: Patch,
) -> Result<HttpResponse, Problem> {
    let (tenant, client_id) = address(&path)?;
    let done = patch::apply(&api, &who, &write, |state| {
        let current = find(state, &path)?;
        let (_, spec) = read_client(&patched(&ClientView::of(current), &body.0)?, Some(current))?;
        let in_force = spec == current.spec;
        let mutation = Mutation::ClientUpdate { tenant: tenant.clone(), client_id: client_id.clone(), spec };
        Ok(Plan { mutation, based_on: Some(current.revision), in_force })
    })
    .await?;
    let view = view(&api, &path)?;
    Ok(answer::patched(&api, done.as_ref(), view.revision, &view))
}

pub(super) async fn delete(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
) -> Result<HttpResponse, Problem> {
    let (tenant, client_id) = address(&path)?;
    let done = api.change(&who, &write, Mutation::ClientDelete { tenant, client_id }, None).await?;
    Ok(answer::deleted(&done))
}

#[derive(Serialize)]
struct AddedSecret {
    id: SecretId,
    client_secret: String,
}

pub(super) async fn add_secret(
    api: web::Data<Api>,
    who: Principal,
    path: Path,
    write: Write,
    body: OptionalDocument,
) -> Result<HttpResponse, Problem> {
    let (tenant, client_id) = address(&path)?;
    let problems = Problems::default();
    let read = Fields::of(&body.0, "", &problems).map(|fields| {
        let end = fields.time("previous_expires_at");
        fields.finish();
        end
    });
    let previous_expires_at = problems.settle(read)?;
    let method = api.control.read(|state| find(state, &path).map(|client| client.spec.token_endpoint_auth_method))?;
    let fresh = Fresh::make(&api, method);
    let sealed = api.seal_receipt(&fresh.receipt())?;
    let location = location(&tenant, &client_id);
    let mutation = Mutation::ClientSecretAdd { tenant, client_id, secret: fresh.stored(), previous_expires_at };
    let done = api.change(&who, &write, mutation, Some(sealed)).await?;
    let receipt = receipt(&api, &done, Some(&fresh))?
        .ok_or_else(|| Problem::internal("a remembered client.secret.add has no receipt"))?;
    let location = format!("{location}/secrets/{}", receipt.secret_id);
    let added = AddedSecret { id: receipt.secret_id, client_secret: receipt.client_secret };
    Ok(answer::created(&done, &location, done.applied.revision, &added))
}

pub(super) async fn remove_secret(
    api: web::Data<Api>,
    who: Principal,
    path: web::Path<(String, String, String)>,
    write: Write,
) -> Result<HttpResponse, Problem> {
    let (slug, client_id, secret_id) = path.into_inner();
    let (tenant, client_id) = address(&(slug, client_id))?;
    let secret_id = secret_id.parse().map_err(|_| Problem::not_found("the secret"))?;
    let done = api.change(&who, &write, Mutation::ClientSecretRemove { tenant, client_id, secret_id }, None).await?;
    Ok(answer::deleted(&done))
}
