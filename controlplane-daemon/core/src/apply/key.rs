//! The life of signing keys: `next → active → retiring → revoked`, exactly one active per owner.

use vocab::{KeyId, Revision, Slug};

use super::{Context, Decision, check_room, conflict, not_found};
use crate::limits;
use crate::model::{KeyOwner, KeyStatus, SigningAlgorithm, SigningKey};
use crate::mutation::{Change, ResourceRef, RotateStep};
use crate::rejection::Rejection;

/// `If-Match` is compared with the active key.
pub(super) fn rotate(cx: &Context<'_>, tenant: Option<Slug>, step: RotateStep) -> Result<Decision, Rejection> {
    let owner = owner_of(cx, tenant.as_ref())?;
    let active = cx.state.active_key(owner);
    cx.check_precondition(active.map_or(Revision::ZERO, |key| key.revision))?;
    let next = cx.state.next_key(owner);
    let new = match step {
        RotateStep::Now => fresh(cx, owner, KeyStatus::Active, algorithm(cx, tenant.as_ref())?)?,
        RotateStep::Publish if next.is_some() => return Err(conflict("there is a next key already: activate it")),
        RotateStep::Publish if active.is_none() => return Err(conflict("there is no active key yet: rotate now")),
        RotateStep::Publish => fresh(cx, owner, KeyStatus::Next, algorithm(cx, tenant.as_ref())?)?,
        RotateStep::Activate => {
            let next = next.ok_or_else(|| conflict("there is no next key: publish one first"))?;
            moved(cx, next, KeyStatus::Active)
        }
    };
    let mut changes = Vec::new();
    if let Some(active) = active
        && new.status == KeyStatus::Active
    {
        check_room("retiring keys (revoke one)", count(cx, owner, KeyStatus::Retiring), limits::RETIRING_KEYS)?;
        changes.push(Change::KeyPut(moved(cx, active, KeyStatus::Retiring)));
    }
    let resource = ResourceRef::Key { tenant, kid: new.kid.clone() };
    changes.push(Change::KeyPut(new));
    Ok(Decision { resource, changes })
}

/// `If-Match` is compared with the next key.
pub(super) fn activate(cx: &Context<'_>, tenant: Option<Slug>, kid: &KeyId) -> Result<Decision, Rejection> {
    let owner = owner_of(cx, tenant.as_ref())?;
    let next = cx.state.next_key(owner);
    cx.check_precondition(next.map_or(Revision::ZERO, |key| key.revision))?;
    if next.is_none_or(|key| key.kid != *kid) {
        return Err(conflict(format!("key {kid} is not the next one")));
    }
    let unconditional = Context { expected: None, ..*cx };
    rotate(&unconditional, tenant, RotateStep::Activate)
}

pub(super) fn revoke(cx: &Context<'_>, tenant: Option<Slug>, kid: KeyId) -> Result<Decision, Rejection> {
    let owner = owner_of(cx, tenant.as_ref())?;
    let key = cx.state.key(owner, &kid).ok_or_else(|| not_found(format!("key {kid}")))?;
    cx.check_precondition(key.revision)?;
    match key.status {
        KeyStatus::Active => return Err(conflict("the active key cannot be revoked: rotate first")),
        KeyStatus::Revoked => return Err(conflict(format!("key {kid} is revoked already"))),
        KeyStatus::Next | KeyStatus::Retiring => {}
    }
    let mut changes = vec![Change::KeyPut(moved(cx, key, KeyStatus::Revoked))];
    if count(cx, owner, KeyStatus::Revoked) >= limits::REVOKED_KEYS {
        // By revision, not by time: clocks step back.
        let revoked = cx.state.keys_of(owner).filter(|key| key.status == KeyStatus::Revoked);
        let oldest = revoked.min_by(|a, b| a.revision.cmp(&b.revision).then_with(|| a.kid.cmp(&b.kid)));
        changes.extend(oldest.map(|key| Change::KeyDeleted { owner, kid: key.kid.clone() }));
    }
    Ok(Decision { resource: ResourceRef::Key { tenant, kid }, changes })
}

/// The key that the leader stamped. `algorithm` is the one the owner asks for, if it asks: it may have changed since
/// the leader looked.
pub(super) fn fresh(
    cx: &Context<'_>,
    owner: KeyOwner,
    status: KeyStatus,
    algorithm: Option<SigningAlgorithm>,
) -> Result<SigningKey, Rejection> {
    let fresh = cx.stamp.key.cloned().ok_or_else(|| conflict("the entry carries no fresh key"))?;
    if algorithm.is_some_and(|wanted| wanted != fresh.algorithm) {
        return Err(conflict("the signing algorithm was changed at the same time: try again"));
    }
    if fresh.public_jwk.len() > limits::JWK_BYTES || fresh.private_key.to_string().len() > limits::SEALED_BYTES {
        return Err(conflict("the fresh key is too long"));
    }
    if cx.state.key(owner, &fresh.kid).is_some() {
        return Err(Rejection::AlreadyExists { what: format!("key {}", fresh.kid) });
    }
    Ok(SigningKey {
        owner,
        kid: fresh.kid,
        algorithm: fresh.algorithm,
        status,
        public_jwk: fresh.public_jwk,
        private_key: fresh.private_key,
        created_at: cx.stamp.at,
        status_since: cx.stamp.at,
        revision: cx.revision,
    })
}

fn moved(cx: &Context<'_>, key: &SigningKey, status: KeyStatus) -> SigningKey {
    SigningKey { status, status_since: cx.stamp.at, revision: cx.revision, ..key.clone() }
}

fn owner_of(cx: &Context<'_>, tenant: Option<&Slug>) -> Result<KeyOwner, Rejection> {
    tenant.map_or(Ok(KeyOwner::Global), |slug| Ok(KeyOwner::Tenant(cx.tenant(slug)?.id)))
}

fn algorithm(cx: &Context<'_>, tenant: Option<&Slug>) -> Result<Option<SigningAlgorithm>, Rejection> {
    tenant.map(|slug| Ok(cx.tenant(slug)?.spec.settings.signing_algorithm)).transpose()
}

fn count(cx: &Context<'_>, owner: KeyOwner, status: KeyStatus) -> usize {
    cx.state.keys_of(owner).filter(|key| key.status == status).count()
}
