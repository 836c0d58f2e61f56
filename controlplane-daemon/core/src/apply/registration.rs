//! Clients that register themselves (RFC 7591, 7592), and the tokens that let them.
//!
//! Who may, and what, is decided here and nowhere before: a pod that asks has no right of its own, and what a node
//! judged by an older state does not count.

use std::sync::Arc;

use vocab::registration::{RegistrationMode, RegistrationPolicy};
use vocab::{ClientId, RegistrationTokenId, Revision, SecretDigest, Slug, Timestamp, Violations};

use super::{Context, Decision, check, check_room, client, not_found};
use crate::limits;
use crate::model::{Client, ClientSecret, ClientSpec, Registration, RegistrationToken, RegistrationTokenSpec, Tenant};
use crate::mutation::{Change, InitialProof, NewSecret, RegistrationProofs, ResourceRef};
use crate::rejection::Rejection;
use crate::validate::registration::{beyond_policy, token_problems};

pub(super) fn register(
    cx: &Context<'_>,
    tenant: Slug,
    spec: ClientSpec,
    mut secret: Option<NewSecret>,
    proofs: &RegistrationProofs,
) -> Result<Decision, Rejection> {
    let owner = cx.tenant(&tenant)?;
    cx.check_precondition(Revision::ZERO)?;
    let policy = &owner.spec.settings.oauth.registration;
    let admitted = admit(cx, owner, proofs.initial.as_ref())?;
    check(judge(policy, &spec, proofs.statement_issuer.as_ref()))?;
    if let Some(secret) = &mut secret {
        secret.expires_at = end_of_secret(cx, policy);
    }
    let Decision { resource, mut changes } = client::create(cx, tenant, None, spec, secret)?;
    let registration = Registration {
        digest: proofs.management,
        previous_digest: None,
        token_id: proofs.initial.as_ref().filter(|_| admitted.is_some()).map(|proof| proof.id),
        statement_issuer: proofs.statement_issuer.clone(),
    };
    for change in &mut changes {
        if let Change::ClientPut(client) = change {
            Arc::make_mut(client).registration = Some(registration.clone());
        }
    }
    changes.extend(admitted.map(Change::from));
    Ok(Decision { resource, changes })
}

/// Whether somebody may register at all: the tenant with one more use of the token, if a token counts.
fn admit(cx: &Context<'_>, tenant: &Tenant, proof: Option<&InitialProof>) -> Result<Option<Tenant>, Rejection> {
    match (tenant.spec.settings.oauth.registration.mode, proof) {
        (RegistrationMode::Off, _) => Err(refused("this tenant lets no client register itself")),
        (RegistrationMode::Open, _) => Ok(None),
        (RegistrationMode::Token, None) => Err(refused("an initial access token is needed")),
        (RegistrationMode::Token, Some(proof)) => {
            let mut tenant = tenant.clone();
            let good = |token: &&mut RegistrationToken| token.id == proof.id && token.digest == proof.digest;
            let token = tenant.registration_tokens.iter_mut().find(good).filter(|token| token.is_good_at(cx.stamp.at));
            let token = token.ok_or_else(|| refused("the initial access token is unknown, expired or used up"))?;
            token.uses += 1;
            Ok(Some(tenant))
        }
    }
}

fn judge(policy: &RegistrationPolicy, spec: &ClientSpec, statement_issuer: Option<&String>) -> Violations {
    let mut violations = beyond_policy(policy, spec);
    let vouched = match statement_issuer {
        Some(issuer) => policy.statement_issuers.iter().any(|trusted| trusted.issuer == *issuer),
        None => !policy.require_statement,
    };
    violations
        .require(vouched, "/software_statement", || "one of an issuer that the tenant trusts is needed".to_owned());
    violations
}

/// What a client shows that is registered already.
pub(super) struct Shown {
    pub(super) proof: SecretDigest,
    pub(super) statement_issuer: Option<String>,
}

/// What a client is given that is registered already, as far as it needs it.
pub(super) struct Offered {
    pub(super) secret: Option<NewSecret>,
    pub(super) management: Option<SecretDigest>,
}

pub(super) fn reregister(
    cx: &Context<'_>,
    tenant: Slug,
    client_id: &ClientId,
    spec: ClientSpec,
    shown: Shown,
    offered: Offered,
) -> Result<Decision, Rejection> {
    let (client, registration) = prove(cx, &tenant, client_id, &shown.proof)?;
    if !client.spec.enabled {
        return Err(Rejection::Conflict { why: "the client is disabled".to_owned() });
    }
    // Whoever vouched once did not vouch for what is said now.
    let statement_issuer = shown.statement_issuer;
    let policy = &cx.tenant(&tenant)?.spec.settings.oauth.registration;
    check(judge(policy, &spec, statement_issuer.as_ref()))?;
    let mut registration = Registration { statement_issuer, ..registration.clone() };
    if let Some(successor) = offered.management.filter(|_| policy.rotate_access_token) {
        registration = registration.rotated(shown.proof, successor);
    }
    let secrets = match offered.secret.filter(|_| needs_secret(cx, policy, &spec, &client.secrets)) {
        Some(secret) => Some(with_secret(cx, policy, &spec, &client.secrets, secret)?),
        None => None,
    };
    let Decision { resource, mut changes } = client::update_with(cx, tenant, client_id, spec, secrets)?;
    for change in &mut changes {
        if let Change::ClientPut(client) = change {
            Arc::make_mut(client).registration = Some(registration.clone());
        }
    }
    Ok(Decision { resource, changes })
}

/// When a secret ends that a client is given now.
fn end_of_secret(cx: &Context<'_>, policy: &RegistrationPolicy) -> Option<Timestamp> {
    policy.client_secret_lifetime_secs.map(|secs| cx.stamp.at.plus_secs(secs.into()))
}

/// Whether none of the secrets is of use, or not for long any more: half of its life is left for the next one to arrive.
fn needs_secret(cx: &Context<'_>, policy: &RegistrationPolicy, spec: &ClientSpec, secrets: &[ClientSecret]) -> bool {
    let method = spec.token_endpoint_auth_method;
    let half = policy.client_secret_lifetime_secs.unwrap_or_default() / 2;
    let soon = cx.stamp.at.plus_secs(half.into());
    let lasts = |secret: &&ClientSecret| secret.expires_at.is_none_or(|end| end > soon);
    let fits = |secret: &ClientSecret| !method.needs_sealed_secret() || secret.sealed.is_some();
    method.uses_secret() && !secrets.iter().filter(lasts).any(fits)
}

/// The newest of those that still open something stay beside it.
fn with_secret(
    cx: &Context<'_>,
    policy: &RegistrationPolicy,
    spec: &ClientSpec,
    secrets: &[ClientSecret],
    secret: NewSecret,
) -> Result<Vec<ClientSecret>, Rejection> {
    let needs_sealed = spec.token_endpoint_auth_method.needs_sealed_secret();
    let opens = |secret: &&ClientSecret| {
        secret.expires_at.is_none_or(|end| end > cx.stamp.at) && (!needs_sealed || secret.sealed.is_some())
    };
    let mut kept: Vec<_> = secrets.iter().filter(opens).cloned().collect();
    let superfluous = (kept.len() + 1).saturating_sub(limits::SECRETS_PER_CLIENT);
    kept.drain(..superfluous);
    let secret = NewSecret { expires_at: end_of_secret(cx, policy), ..secret };
    kept.push(client::kept(cx, spec, secret)?);
    Ok(kept)
}

pub(super) fn unregister(
    cx: &Context<'_>,
    tenant: Slug,
    client_id: ClientId,
    proof: &SecretDigest,
) -> Result<Decision, Rejection> {
    prove(cx, &tenant, &client_id, proof)?;
    client::delete(cx, tenant, client_id)
}

/// The client whose registration access token was shown. Whether it is unknown or the token is wrong is not told apart
/// (RFC 7592 §2.1).
fn prove<'a>(
    cx: &Context<'a>,
    tenant: &Slug,
    client_id: &ClientId,
    proof: &SecretDigest,
) -> Result<(&'a Arc<Client>, &'a Registration), Rejection> {
    let client = cx.state.tenant(tenant).and_then(|tenant| cx.state.client(tenant.id, client_id));
    client
        .and_then(|client| Some((client, client.registration.as_ref()?)))
        .filter(|(_, registration)| registration.is_proven_by(proof))
        .ok_or_else(|| refused("the registration access token is not this client's"))
}

fn refused(why: &str) -> Rejection {
    Rejection::Unauthenticated { why: why.to_owned() }
}

pub(super) fn create_token(
    cx: &Context<'_>,
    tenant: Slug,
    id: RegistrationTokenId,
    spec: RegistrationTokenSpec,
    digest: SecretDigest,
) -> Result<Decision, Rejection> {
    let old = cx.tenant(&tenant)?;
    cx.check_precondition(Revision::ZERO)?;
    if old.registration_tokens.iter().any(|token| token.id == id) {
        return Err(Rejection::AlreadyExists { what: format!("registration token {id}") });
    }
    let mut violations = token_problems(&spec);
    violations.require(spec.expires_at.is_none_or(|end| end > cx.stamp.at), "/expires_at", || {
        "must lie in the future".to_owned()
    });
    check(violations)?;
    let mut changed = Tenant::clone(old);
    if changed.registration_tokens.len() >= limits::REGISTRATION_TOKENS {
        changed.registration_tokens.retain(|token| token.is_good_at(cx.stamp.at));
    }
    check_room("registration tokens of a tenant", changed.registration_tokens.len(), limits::REGISTRATION_TOKENS)?;
    changed.registration_tokens.push(RegistrationToken { id, spec, digest, created_at: cx.stamp.at, uses: 0 });
    Ok(put(tenant, id, changed))
}

pub(super) fn revoke_token(cx: &Context<'_>, tenant: Slug, id: RegistrationTokenId) -> Result<Decision, Rejection> {
    // A token has no revision that could be asked for.
    cx.check_precondition(Revision::ZERO)?;
    let mut changed = Tenant::clone(cx.tenant(&tenant)?);
    let before = changed.registration_tokens.len();
    changed.registration_tokens.retain(|token| token.id != id);
    if changed.registration_tokens.len() == before {
        return Err(not_found(format!("registration token {id} of tenant {tenant}")));
    }
    Ok(put(tenant, id, changed))
}

fn put(tenant: Slug, id: RegistrationTokenId, changed: Tenant) -> Decision {
    Decision { resource: ResourceRef::RegistrationToken { tenant, id }, changes: vec![changed.into()] }
}
