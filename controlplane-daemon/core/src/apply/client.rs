//! Clients and their secrets.

use std::sync::Arc;

use vocab::{ClientId, Revision, SecretId, Slug, TenantId, Timestamp, Violations};

use super::{Context, Decision, check, check_room, conflict, key, not_found};
use crate::limits;
use crate::model::{AuthMethod, Client, ClientSecret, ClientSpec, KeyOwner};
use crate::mutation::{Change, NewSecret, ResourceRef, families_of};
use crate::rejection::Rejection;
use crate::validate;

pub(super) fn create(
    cx: &Context<'_>,
    tenant: Slug,
    client_id: Option<ClientId>,
    spec: ClientSpec,
    secret: Option<NewSecret>,
) -> Result<Decision, Rejection> {
    let tenant_id = cx.tenant(&tenant)?.id;
    let client_id = client_id
        .unwrap_or_else(|| cx.stamp.id.to_string().try_into().expect("a UUID's text is a client_id by its grammar"));
    if cx.state.client(tenant_id, &client_id).is_some() {
        return Err(Rejection::AlreadyExists { what: format!("client {client_id} of tenant {tenant}") });
    }
    cx.check_precondition(Revision::ZERO)?;
    check(problems(cx, tenant_id, &spec))?;
    if spec.token_endpoint_auth_method.uses_secret() != secret.is_some() {
        return Err(conflict("a client is made with a secret if it proves itself by one, otherwise without"));
    }
    check_room("clients of a tenant", cx.state.client_count(tenant_id), limits::CLIENTS_PER_TENANT)?;
    let at = cx.stamp.at;
    let secrets = secret.map(|secret| kept(cx, &spec, secret)).transpose()?.into_iter().collect();
    let (revision, managed_by) = (cx.revision, cx.manager(None));
    let client = Client {
        tenant_id,
        client_id,
        spec,
        secrets,
        created_at: at,
        updated_at: at,
        revision,
        managed_by,
        registration: None,
    };
    put_with_keys(cx, tenant, client)
}

pub(super) fn update(
    cx: &Context<'_>,
    tenant: Slug,
    client_id: &ClientId,
    spec: ClientSpec,
) -> Result<Decision, Rejection> {
    update_with(cx, tenant, client_id, spec, None)
}

/// `secrets`: in place of those that there are.
pub(super) fn update_with(
    cx: &Context<'_>,
    tenant: Slug,
    client_id: &ClientId,
    spec: ClientSpec,
    secrets: Option<Vec<ClientSecret>>,
) -> Result<Decision, Rejection> {
    let old = find(cx, &tenant, client_id)?;
    let mut secrets = secrets.unwrap_or_else(|| old.secrets.clone());
    let mut violations = problems(cx, old.tenant_id, &spec);
    let public = |spec: &ClientSpec| spec.token_endpoint_auth_method == AuthMethod::None;
    // One way the secrets would vanish, the other way there is none, and what is public already cannot be made secret.
    violations.require(public(&spec) == public(&old.spec), "/token_endpoint_auth_method", || {
        "a public client cannot become confidential, nor the reverse: make another client".to_owned()
    });
    let lacks_secret = spec.token_endpoint_auth_method.uses_secret() && secrets.is_empty();
    violations.require(!lacks_secret, "/token_endpoint_auth_method", || {
        "the client has no secret yet: add one first".to_owned()
    });
    let needs_sealed = spec.token_endpoint_auth_method.needs_sealed_secret();
    let usable = lacks_secret || !needs_sealed || secrets.iter().any(|secret| secret.sealed.is_some());
    violations.require(usable, "/token_endpoint_auth_method", || {
        "the client's secrets are kept as digests, which are no keys of an HMAC: make another client".to_owned()
    });
    check(violations)?;
    for secret in secrets.iter_mut().filter(|_| !needs_sealed) {
        secret.sealed = None;
    }
    let change = |client: &mut Client| {
        client.spec = spec;
        client.secrets = secrets;
    };
    put_with_keys(cx, tenant, changed(cx, old, change))
}

pub(super) fn delete(cx: &Context<'_>, tenant: Slug, client_id: ClientId) -> Result<Decision, Rejection> {
    let tenant_id = find(cx, &tenant, &client_id)?.tenant_id;
    let change = Change::ClientDeleted { tenant_id, client_id: client_id.clone() };
    Ok(Decision { resource: ResourceRef::Client { tenant, client_id }, changes: vec![change] })
}

/// Secrets that have expired make room; they would be refused anyhow.
pub(super) fn add_secret(
    cx: &Context<'_>,
    tenant: Slug,
    client_id: &ClientId,
    secret: NewSecret,
    previous_expires_at: Option<Timestamp>,
) -> Result<Decision, Rejection> {
    let old = find(cx, &tenant, client_id)?;
    if old.spec.token_endpoint_auth_method == AuthMethod::None {
        return Err(conflict(format!("client {client_id} is public: it has no secrets")));
    }
    if old.secrets.iter().any(|there| there.id == secret.id) {
        return Err(Rejection::AlreadyExists { what: format!("secret {}", secret.id) });
    }
    let mut secrets = old.secrets.clone();
    secrets.retain(|there| there.expires_at.is_none_or(|end| end > cx.stamp.at));
    check_room("secrets of a client", secrets.len(), limits::SECRETS_PER_CLIENT)?;
    if let Some(end) = previous_expires_at {
        // Never longer than it was to live already.
        for there in &mut secrets {
            there.expires_at = Some(there.expires_at.map_or(end, |was| was.min(end)));
        }
    }
    secrets.push(kept(cx, &old.spec, secret)?);
    Ok(put(tenant, changed(cx, old, |client| client.secrets = secrets)))
}

pub(super) fn remove_secret(
    cx: &Context<'_>,
    tenant: Slug,
    client_id: &ClientId,
    secret_id: SecretId,
) -> Result<Decision, Rejection> {
    let old = find(cx, &tenant, client_id)?;
    let mut secrets = old.secrets.clone();
    secrets.retain(|there| there.id != secret_id);
    if secrets.len() == old.secrets.len() {
        return Err(not_found(format!("secret {secret_id} of client {client_id}")));
    }
    if secrets.is_empty() {
        return Err(conflict("the last secret cannot be removed: add another one first, or delete the client"));
    }
    Ok(put(tenant, changed(cx, old, |client| client.secrets = secrets)))
}

/// Finds the client and checks the precondition on it.
fn find<'a>(cx: &Context<'a>, tenant: &Slug, client_id: &ClientId) -> Result<&'a Arc<Client>, Rejection> {
    let client = cx
        .state
        .client(cx.tenant(tenant)?.id, client_id)
        .ok_or_else(|| not_found(format!("client {client_id} of tenant {tenant}")))?;
    cx.check_precondition(client.revision)?;
    Ok(client)
}

fn problems(cx: &Context<'_>, tenant: TenantId, spec: &ClientSpec) -> Violations {
    let mut violations = validate::client::check(spec, |name| cx.state.scope(tenant, name).is_some());
    if let Some(tenant) = cx.state.tenant_by_id(tenant) {
        validate::client::check_fapi(&mut violations, spec, &tenant.spec.settings);
    }
    violations
}

/// What is stored of a secret: the secret itself only if the client cannot be proven without it.
pub(super) fn kept(cx: &Context<'_>, spec: &ClientSpec, secret: NewSecret) -> Result<ClientSecret, Rejection> {
    if secret.expires_at.is_some_and(|end| end <= cx.stamp.at) {
        return Err(Rejection::Invalid { violations: Violations::one("/expires_at", "must lie in the future") });
    }
    let NewSecret { id, digest, expires_at, sealed } = secret;
    if sealed.as_ref().is_some_and(|sealed| sealed.to_string().len() > limits::SEALED_BYTES) {
        return Err(conflict("the sealed secret is too long"));
    }
    let sealed = sealed.filter(|_| spec.token_endpoint_auth_method.needs_sealed_secret());
    if spec.token_endpoint_auth_method.needs_sealed_secret() && sealed.is_none() {
        // The node that made it looked at the client when it was another.
        return Err(conflict("the client's authentication was changed at the same time: try again"));
    }
    Ok(ClientSecret { id, digest, created_at: cx.stamp.at, expires_at, sealed })
}

fn changed(cx: &Context<'_>, old: &Client, change: impl FnOnce(&mut Client)) -> Client {
    let managed_by = cx.manager(old.managed_by.as_ref());
    let mut client = Client { updated_at: cx.stamp.at, revision: cx.revision, managed_by, ..old.clone() };
    change(&mut client);
    client
}

/// With the tenant's first keys of the algorithms that the client asks for.
fn put_with_keys(cx: &Context<'_>, tenant: Slug, client: Client) -> Result<Decision, Rejection> {
    let mut changes = key::first_of(cx, KeyOwner::Tenant(client.tenant_id), families_of(&client.spec))?;
    let Decision { resource, changes: puts } = put(tenant, client);
    changes.extend(puts);
    Ok(Decision { resource, changes })
}

fn put(tenant: Slug, client: Client) -> Decision {
    let resource = ResourceRef::Client { tenant, client_id: client.client_id.clone() };
    Decision { resource, changes: vec![client.into()] }
}
