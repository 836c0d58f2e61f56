//! Many mutations as one: all of them or none, at one revision.
//!
//! The items are carried out in order on a clone of the state, so that each sees what the earlier ones did; the changes
//! of all of them are the batch's. Every item that is refused is reported, not only the first.

use uuid::Uuid;
use vocab::{Revision, Violations};

use super::{Context, Decision, Stamped, check, check_room, conflict, decide as decide_item};
use crate::entry::{FreshKey, Stamp};
use crate::limits;
use crate::model::KeyOwner;
use crate::mutation::{Change, Mutation, Precondition, ResourceRef};
use crate::rejection::{ItemRejection, Rejection};
use crate::state::State;
use crate::validate::manifest_set_problems;

pub(super) struct Batch {
    pub(super) items: Vec<Mutation>,
    pub(super) planned_on: Vec<Precondition>,
    pub(super) managed_by: Option<String>,
    /// `If-Match`: held against the resource of the first item.
    pub(super) expected: Option<Revision>,
}

pub(super) fn decide(state: &State, revision: Revision, stamp: &Stamp, batch: Batch) -> Result<Decision, Rejection> {
    let Batch { items, planned_on, managed_by, expected } = batch;
    if items.is_empty() {
        return Err(conflict("an empty batch"));
    }
    // There would have to be room for the last one.
    check_room("mutations of a batch", items.len() - 1, limits::BATCH_ITEMS)?;
    if let Some(name) = &managed_by {
        let mut violations = Violations::new();
        violations.nest("/managed_by", manifest_set_problems(name));
        check(violations)?;
    }
    check_plan(state, planned_on)?;

    let mut keys: Vec<_> = stamp.keys().collect();
    let mut state = state.clone();
    let (mut changes, mut refused) = (Vec::new(), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        if item.is_of_the_audit() {
            // They make records of their own kind, which a batch, being one action, has no room for.
            let rejection = conflict(format!("{} goes into no batch", item.name()));
            refused.push(ItemRejection { index, rejection });
            continue;
        }
        let stamped = Stamped { at: stamp.at, id: id_of(stamp.id, index), keys: &keys };
        let expected = expected.filter(|_| index == 0);
        let context = Context { state: &state, revision, stamp: stamped, expected, managed_by: managed_by.as_ref() };
        match decide_item(&context, item) {
            Ok(decision) => {
                keys.retain(|key| !decision.changes.iter().any(|change| is_of(change, key)));
                for change in decision.changes {
                    state.absorb(change.clone());
                    changes.push(change);
                }
            }
            Err(rejection) => refused.push(ItemRejection { index, rejection }),
        }
    }
    if refused.is_empty() {
        Ok(Decision { resource: ResourceRef::Configuration, changes })
    } else {
        Err(Rejection::Items { items: refused })
    }
}

/// Whether a key was taken.
fn is_of(change: &Change, key: &FreshKey) -> bool {
    matches!(change, Change::KeyPut(put) if put.kid == key.kid)
}

/// The stamped id, counted on: it stays a UUIDv7 of the same millisecond (RFC 9562 §5.7), and the first item has the
/// id that it would have alone.
pub(super) fn id_of(stamped: Uuid, index: usize) -> Uuid {
    /// Below the variant.
    const RANDOM: u64 = (1 << 62) - 1;
    let (high, low) = stamped.as_u64_pair();
    let counted = low.wrapping_add(index as u64) & RANDOM;
    Uuid::from_u64_pair(high, (low & !RANDOM) | counted)
}

fn check_plan(state: &State, planned_on: Vec<Precondition>) -> Result<(), Rejection> {
    let overtaken: Vec<_> = planned_on
        .into_iter()
        .filter(|planned| {
            let contents = || contents_of(state, &planned.resource);
            revision_of(state, &planned.resource) != planned.revision
                || planned.contents.is_some_and(|revision| contents() != revision)
        })
        .map(|planned| planned.resource)
        .collect();
    if overtaken.is_empty() { Ok(()) } else { Err(Rejection::Overtaken { resources: overtaken }) }
}

fn contents_of(state: &State, resource: &ResourceRef) -> Revision {
    let ResourceRef::Tenant { slug } = resource else { return Revision::ZERO };
    state.tenant(slug).map_or(Revision::ZERO, |tenant| state.contents_revision(tenant.id))
}

/// Zero: it does not exist.
fn revision_of(state: &State, resource: &ResourceRef) -> Revision {
    let tenant = |slug| state.tenant(slug);
    let found = match resource {
        ResourceRef::Tenant { slug } => tenant(slug).map(|it| it.revision),
        ResourceRef::Client { tenant: slug, client_id } => {
            tenant(slug).and_then(|it| state.client(it.id, client_id)).map(|it| it.revision)
        }
        ResourceRef::Scope { tenant: slug, name } => {
            tenant(slug).and_then(|it| state.scope(it.id, name)).map(|it| it.revision)
        }
        ResourceRef::Key { tenant: None, kid } => state.key(KeyOwner::Global, kid).map(|it| it.revision),
        ResourceRef::Key { tenant: Some(slug), kid } => {
            tenant(slug).and_then(|it| state.key(KeyOwner::Tenant(it.id), kid)).map(|it| it.revision)
        }
        ResourceRef::Admin { id } => state.admin(*id).map(|it| it.revision),
        ResourceRef::Settings => Some(state.settings().revision),
        ResourceRef::Node { id } => state.node(*id).map(|it| it.revision),
        ResourceRef::RegistrationToken { .. }
        | ResourceRef::Configuration
        | ResourceRef::Audit
        | ResourceRef::Fleet
        | ResourceRef::Nodes => None,
    };
    found.unwrap_or(Revision::ZERO)
}
