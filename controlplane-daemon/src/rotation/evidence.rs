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

    /// A pod names a tenant by its slug, or by its id when it could not use the tenant itself.
    fn include(&self, owner: KeyOwner, tenant: &Slug, key: &SigningKey) -> bool {
        if self.resources.is_empty() {
            return self.any_key;
        }
        let kid = &key.kid;
        let by_id = match owner {
            KeyOwner::Tenant(id) => self.resources.contains(&format!("tenants/{id}/keys/{kid}")),
            KeyOwner::Global => false,
        };
        self.any_key || by_id || self.resources.contains(&format!("tenants/{tenant}/keys/{kid}"))
    }
}

impl Evidence {
    pub fn of(census: &Census, state: &State) -> Self {
        let connected = census.connected();
        let absent = state.pods().filter(|record| {
            record.sighting.presence != Presence::Stopped && !connected.contains_key(&record.sighting.pod_id)
        });
        let departed = census.departed();
        let had = absent.filter_map(|record| {
            let sighting = &record.sighting;
            match departed.get(&sighting.pod_id) {
                Some(pod) if pod.draining => None,
                Some(pod) => Some(pod.acknowledged_revision.max(sighting.acknowledged_revision)),
                // What a pod on the roster had when it was first seen is not what it has now, but certainly that much.
                None => Some(sighting.acknowledged_revision),
            }
        });
        Self {
            acknowledged: census.connections().map(|pod| pod.acknowledged_revision).min(),
            rejected: Rejected::by(census.connections()),
            cut_off: had.min(),
            applied: census.applied_everywhere(),
            blind: !census.unreachable_nodes.is_empty(),
        }
    }

    /// Whether a connected pod lacks `needed` or cannot use one of `keys`.
    pub(super) fn holds_up_connected(
        &self,
        needed: Revision,
        owner: KeyOwner,
        tenant: &Slug,
        keys: &[&SigningKey],
    ) -> bool {
        self.acknowledged.is_some_and(|acknowledged| acknowledged < needed)
            || keys.iter().any(|key| self.rejected.include(owner, tenant, key))
    }

    /// Whether a pod that is cut off may lack `needed`.
    pub(super) fn holds_up_cut_off(&self, needed: Revision) -> bool {
        self.blind || self.cut_off.is_some_and(|had| had < needed)
    }

    /// Whether a node lacks `needed`.
    pub(super) fn holds_up_nodes(&self, needed: Revision) -> bool {
        self.blind || self.applied < needed
    }
}
