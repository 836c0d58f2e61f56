//! What a look around says of whether everybody has a key. Made once for all keys: each question costs next to nothing.

use std::collections::BTreeSet;

use controlplane_core::State;
use controlplane_core::model::{KeyOwner, Presence, SigningKey};
use vocab::{Revision, Slug};

use crate::fleet::{Census, Pod};

#[derive(Clone, Debug)]
pub struct Evidence {
    /// What every connected pod has acknowledged; `None` when none is connected.
    acknowledged: Option<Revision>,
    /// What some connected pod cannot use.
    rejected: Rejected,
    /// What every pod that is somewhere, but not connected, had when it was last seen.
    cut_off: Option<Revision>,
    /// What some of these could not use then.
    cut_off_rejected: Rejected,
    /// What every node that answered has applied.
    applied: Revision,
    /// Some node did not answer: nobody knows what its pods have.
    blind: bool,
}

/// What some pods cannot use.
#[derive(Clone, Debug)]
struct Rejected {
    resources: BTreeSet<String>,
    /// One of them has more keys to reject than it names.
    any_key: bool,
}

impl Rejected {
    fn by<'a>(pods: impl Iterator<Item = &'a Pod> + Clone) -> Self {
        Self {
            any_key: pods.clone().any(Pod::rejects_unlisted_keys),
            resources: pods.flat_map(|pod| &pod.rejected).map(|it| it.resource.clone()).collect(),
        }
    }

    fn include_one_of(&self, tenant: &Slug, keys: &[&SigningKey]) -> bool {
        self.any_key || (!self.resources.is_empty() && keys.iter().any(|key| self.name(tenant, key)))
    }

    /// A pod names a tenant by its slug, or by its id when it could not use the tenant itself.
    fn name(&self, tenant: &Slug, key: &SigningKey) -> bool {
        let kid = &key.kid;
        let by_id = match key.owner {
            KeyOwner::Tenant(id) => self.resources.contains(&format!("tenants/{id}/keys/{kid}")),
            KeyOwner::Global => false,
        };
        by_id || self.resources.contains(&format!("tenants/{tenant}/keys/{kid}"))
    }
}

impl Evidence {
    pub fn of(census: &Census, state: &State) -> Self {
        let connected = census.connected();
        let departed = census.departed();
        let absent = state
            .pods()
            .map(|record| &record.sighting)
            .filter(|sighting| sighting.presence != Presence::Stopped && !connected.contains_key(&sighting.pod_id));
        let absent = absent.map(|sighting| (sighting, departed.get(&sighting.pod_id).copied()));
        let cut_off: Vec<_> = absent.filter(|(_, last)| !last.is_some_and(|pod| pod.draining)).collect();
        let had = cut_off.iter().map(|(sighting, last)| {
            // What a pod on the roster had when it was first seen is not what it has now, but certainly that much.
            last.map_or(Revision::ZERO, |pod| pod.acknowledged_revision).max(sighting.acknowledged_revision)
        });
        Self {
            acknowledged: census.connections().map(|pod| pod.acknowledged_revision).min(),
            rejected: Rejected::by(census.connections()),
            cut_off: had.min(),
            cut_off_rejected: Rejected::by(cut_off.iter().filter_map(|(_, last)| *last)),
            applied: census.applied_everywhere(),
            blind: !census.unreachable_nodes.is_empty(),
        }
    }

    /// Whether a connected pod lacks `needed`.
    pub(super) fn is_lacked_by_connected(&self, needed: Revision) -> bool {
        self.acknowledged.is_some_and(|acknowledged| acknowledged < needed)
    }

    /// Whether a connected pod cannot use one of `keys`.
    pub(super) fn is_rejected_by_connected(&self, tenant: &Slug, keys: &[&SigningKey]) -> bool {
        self.rejected.include_one_of(tenant, keys)
    }

    /// Whether a pod that is cut off may lack `needed`, or could not use one of `keys`.
    pub(super) fn holds_up_cut_off(&self, needed: Revision, tenant: &Slug, keys: &[&SigningKey]) -> bool {
        self.blind || self.cut_off.is_some_and(|had| had < needed) || self.cut_off_rejected.include_one_of(tenant, keys)
    }

    /// Whether a node lacks `needed`.
    pub(super) fn holds_up_nodes(&self, needed: Revision) -> bool {
        self.blind || self.applied < needed
    }
}
