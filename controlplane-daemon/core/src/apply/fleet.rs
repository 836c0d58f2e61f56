//! The roster of pods.

use std::collections::BTreeSet;

use vocab::{PodId, Revision};

use super::{Context, Decision, check_room, conflict, not_found};
use crate::limits;
use crate::model::{PodRecord, PodSighting};
use crate::mutation::{Change, ResourceRef};
use crate::rejection::Rejection;

pub(super) fn update(cx: &Context<'_>, sightings: Vec<PodSighting>, forget: Vec<PodId>) -> Result<Decision, Rejection> {
    // The roster as a whole has no revision.
    cx.check_precondition(Revision::ZERO)?;
    let mut named = BTreeSet::new();
    if !sightings.iter().map(|sighting| &sighting.pod_id).chain(&forget).all(|pod_id| named.insert(pod_id)) {
        return Err(conflict("a pod is named twice"));
    }
    let new = sightings.iter().filter(|sighting| cx.state.pod(&sighting.pod_id).is_none()).count();
    if new > 0 {
        check_room("pods", cx.state.pod_count() + new - 1, limits::PODS)?;
    }
    let mut changes = Vec::with_capacity(sightings.len() + forget.len());
    for pod_id in forget {
        if cx.state.pod(&pod_id).is_none() {
            return Err(not_found(format!("pod {pod_id}")));
        }
        changes.push(Change::PodDeleted { pod_id });
    }
    for sighting in sightings {
        changes.push(record(cx, sighting)?.into());
    }
    Ok(Decision { resource: ResourceRef::Fleet, changes })
}

fn record(cx: &Context<'_>, sighting: PodSighting) -> Result<PodRecord, Rejection> {
    let too_long = |text: &str| text.chars().count() > limits::POD_TEXT_CHARS;
    if too_long(&sighting.version) || too_long(&sighting.address) {
        return Err(conflict("a pod says too much of itself"));
    }
    let known = cx.state.pod(&sighting.pod_id).filter(|known| known.sighting.presence == sighting.presence);
    let since = known.map_or(cx.stamp.at, |known| known.since);
    Ok(PodRecord { sighting, since, revision: cx.revision })
}
