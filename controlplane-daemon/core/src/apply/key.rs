//! The life of keys: `next → active → retiring → revoked`, one active per owner and family.

use vocab::{KeyId, Revision, Slug};

use super::{Context, Decision, check_room, conflict, not_found};
use crate::limits;
use crate::model::{KeyFamily, KeyOwner, KeyStatus, SigningAlgorithm, SigningKey};
use crate::mutation::{Change, ResourceRef, RotateStep, families_of, families_of_tenant};
use crate::rejection::Rejection;

/// `If-Match` is compared with the active key.
pub(super) fn rotate(
    cx: &Context<'_>,
    tenant: Option<Slug>,
    step: RotateStep,
    family: Option<KeyFamily>,
) -> Result<Decision, Rejection> {
    let owner = owner_of(cx, tenant.as_ref())?;
    let family = match (family, &tenant) {
        (Some(_), None) => return Err(conflict("the global keys have no algorithms to choose from")),
        (Some(family), Some(_)) => family,
        (None, None) => SigningAlgorithm::default().family(),
        (None, Some(slug)) => cx.tenant(slug)?.spec.settings.signing_algorithm.family(),
    };
    let active = cx.state.active_key(owner, family);
    cx.check_precondition(active.map_or(Revision::ZERO, |key| key.revision))?;
    let next = cx.state.next_key(owner, family);
    let new = match step {
        RotateStep::Now => fresh(cx, owner, KeyStatus::Active, family)?,
        RotateStep::Publish if next.is_some() => return Err(conflict("there is a next key already: activate it")),
        RotateStep::Publish if active.is_none() => return Err(conflict("there is no active key yet: rotate now")),
        RotateStep::Publish => fresh(cx, owner, KeyStatus::Next, family)?,
        RotateStep::Activate => {
            let next = next.ok_or_else(|| conflict("there is no next key: publish one first"))?;
            moved(cx, next, KeyStatus::Active)
        }
    };
    replace(cx, tenant, new)
}

/// Puts a key; one that signs takes the place of the one before.
fn replace(cx: &Context<'_>, tenant: Option<Slug>, new: SigningKey) -> Result<Decision, Rejection> {
    let (owner, family) = (new.owner, new.family);
    let mut changes = Vec::new();
    if let Some(active) = cx.state.active_key(owner, family)
        && new.status == KeyStatus::Active
    {
        check_room("retiring keys (revoke one)", count(cx, owner, KeyStatus::Retiring), limits::RETIRING_KEYS)?;
        changes.push(moved(cx, active, KeyStatus::Retiring).into());
    }
    let resource = ResourceRef::Key { tenant, kid: new.kid.clone() };
    changes.push(new.into());
    Ok(Decision { resource, changes })
}

/// The first keys of families that a tenant is going to sign with and has none of.
pub(super) fn first_of(
    cx: &Context<'_>,
    owner: KeyOwner,
    families: impl Iterator<Item = KeyFamily>,
) -> Result<Vec<Change>, Rejection> {
    let mut made: Vec<SigningKey> = Vec::new();
    for family in families {
        let has = cx.state.active_key(owner, family).is_some() || made.iter().any(|key| key.family == family);
        if !has {
            made.push(fresh(cx, owner, KeyStatus::Active, family)?);
        }
    }
    Ok(made.into_iter().map(Change::from).collect())
}

/// `If-Match` is compared with the next key, if it is this one.
pub(super) fn activate(cx: &Context<'_>, tenant: Option<Slug>, kid: &KeyId) -> Result<Decision, Rejection> {
    let owner = owner_of(cx, tenant.as_ref())?;
    let next = cx.state.key(owner, kid).filter(|key| key.status == KeyStatus::Next);
    cx.check_precondition(next.map_or(Revision::ZERO, |key| key.revision))?;
    let next = next.ok_or_else(|| conflict(format!("key {kid} is not the next one")))?;
    replace(cx, tenant, moved(cx, next, KeyStatus::Active))
}

pub(super) fn revoke(cx: &Context<'_>, tenant: Option<Slug>, kid: KeyId) -> Result<Decision, Rejection> {
    let owner = owner_of(cx, tenant.as_ref())?;
    let key = cx.state.key(owner, &kid).ok_or_else(|| not_found(format!("key {kid}")))?;
    cx.check_precondition(key.revision)?;
    match key.status {
        KeyStatus::Active if is_asked_for(cx, tenant.as_ref(), key.family)? => {
            return Err(conflict("the active key cannot be revoked: rotate first"));
        }
        KeyStatus::Active if cx.state.next_key(owner, key.family).is_some() => {
            return Err(conflict("another key is to follow it: revoke that one first"));
        }
        KeyStatus::Revoked => return Err(conflict(format!("key {kid} is revoked already"))),
        KeyStatus::Next | KeyStatus::Active | KeyStatus::Retiring => {}
    }
    let mut changes = vec![Change::from(moved(cx, key, KeyStatus::Revoked))];
    if count(cx, owner, KeyStatus::Revoked) >= limits::REVOKED_KEYS {
        // By revision, not by time: clocks step back.
        let revoked = cx.state.keys_of(owner).filter(|key| key.status == KeyStatus::Revoked);
        let oldest = revoked.min_by(|a, b| a.revision.cmp(&b.revision).then_with(|| a.kid.cmp(&b.kid)));
        changes.extend(oldest.map(|key| Change::KeyDeleted { owner, kid: key.kid.clone() }));
    }
    Ok(Decision { resource: ResourceRef::Key { tenant, kid }, changes })
}

/// The key of this family that the leader stamped.
pub(super) fn fresh(
    cx: &Context<'_>,
    owner: KeyOwner,
    status: KeyStatus,
    family: KeyFamily,
) -> Result<SigningKey, Rejection> {
    let of_family = cx.stamp.keys.iter().find(|key| key.family == family);
    // What the leader looked at was changed before the entry had its turn.
    let fresh = of_family.ok_or_else(|| conflict("the signing algorithm was changed at the same time: try again"))?;
    let fresh = (*fresh).clone();
    if fresh.public_jwk.len() > limits::JWK_BYTES || fresh.private_key.to_string().len() > limits::SEALED_BYTES {
        return Err(conflict("the fresh key is too long"));
    }
    if cx.state.key(owner, &fresh.kid).is_some() {
        return Err(Rejection::AlreadyExists { what: format!("key {}", fresh.kid) });
    }
    Ok(SigningKey {
        owner,
        kid: fresh.kid,
        family,
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

/// Whether the owner's settings or a client of it ask for keys of this family.
fn is_asked_for(cx: &Context<'_>, tenant: Option<&Slug>, family: KeyFamily) -> Result<bool, Rejection> {
    let Some(slug) = tenant else { return Ok(true) };
    let tenant = cx.tenant(slug)?;
    let by_client =
        || cx.state.clients_of(tenant.id, None).any(|client| families_of(&client.spec).any(|it| it == family));
    Ok(families_of_tenant(&tenant.spec).any(|it| it == family) || by_client())
}

fn count(cx: &Context<'_>, owner: KeyOwner, status: KeyStatus) -> usize {
    cx.state.keys_of(owner).filter(|key| key.status == status).count()
}
