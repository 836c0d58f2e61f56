//! The fleet as people see it: who is connected, and who is gone but not yet expired.

use std::time::Duration;

use controlplane_core::State;
use controlplane_core::model::{PodRecord, Presence};
use vocab::{Revision, Timestamp};

use super::{Census, Fleet, FleetPod, Pod, PodState};

impl Fleet {
    /// `lag_since` tells when the revision after the given one was made.
    pub(crate) fn of(
        census: &Census,
        state: &State,
        revision: Revision,
        now: Timestamp,
        lag_since: impl Fn(Revision) -> Option<Timestamp>,
    ) -> Self {
        let connected = census.connected();
        let kept = Duration::from_secs(state.settings().spec.gone_pods_kept_secs.into());
        let mut pods: Vec<FleetPod> = connected
            .values()
            .map(|pod| FleetPod {
                state: if pod.draining { PodState::Draining } else { PodState::Connected },
                since: pod.connected_at,
                recorded: state.pod(&pod.pod_id).is_some(),
                lag: if pod.acknowledged_revision >= revision {
                    Some(Duration::ZERO)
                } else {
                    lag_since(pod.acknowledged_revision).map(|at| now.since(at))
                },
                pod: Pod::clone(pod),
            })
            .collect();
        let absent = state.pods().filter(|record| {
            let pod = &record.sighting;
            !connected.contains_key(&pod.pod_id) && !census.unreachable_nodes.contains(&pod.node_id)
        });
        let departed = census.departed();
        pods.extend(absent.filter_map(|record| {
            let pod = absent_pod(record, departed.get(&record.sighting.pod_id).copied(), now);
            (now.since(pod.since) < kept).then_some(pod)
        }));
        pods.sort_by(|a, b| a.pod.pod_id.cmp(&b.pod.pod_id));
        Self { revision, pods, unreachable_nodes: census.unreachable_nodes.clone() }
    }
}

fn absent_pod(record: &PodRecord, last: Option<&Pod>, now: Timestamp) -> FleetPod {
    let sighting = &record.sighting;
    let (state, since) = match sighting.presence {
        Presence::Gone => (PodState::Gone, record.since),
        Presence::Stopped => (PodState::Stopped, record.since),
        // Not yet written down.
        Presence::Connected if last.is_some_and(|pod| pod.draining) => (PodState::Stopped, now),
        Presence::Connected => (PodState::Gone, now),
    };
    let pod = last.cloned().unwrap_or_else(|| Pod {
        pod_id: sighting.pod_id.clone(),
        node_id: sighting.node_id,
        version: sighting.version.clone(),
        address: sighting.address.clone(),
        acknowledged_revision: sighting.acknowledged_revision,
        connected_at: record.since,
        acknowledged_at: None,
        rejected: Vec::new(),
        rejected_count: 0,
        staleness: None,
        draining: false,
    });
    FleetPod { state, since, recorded: true, pod: Pod { staleness: None, ..pod }, lag: None }
}
