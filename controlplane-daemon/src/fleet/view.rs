//! The fleet as people see it: who is connected, and who is gone but not yet expired.

use std::time::Duration;

use controlplane_core::State;
use controlplane_core::model::{PodRecord, Presence};
use vocab::{Revision, Timestamp};

use super::{Census, Fleet, FleetPod, Pod, PodState};

impl Fleet {
    /// `lag_since` tells when the revision after the given one was made. Who is gone and lacks `awaited` is shown for as
    /// long as the roster has it: something waits for it.
    pub(crate) fn of(
        census: &Census,
        state: &State,
        revision: Revision,
        awaited: Revision,
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
            let is_recent = now.since(pod.since) < kept;
            (is_recent || (pod.state == PodState::Gone && may_lack(&pod.pod, awaited))).then_some(pod)
        }));
        pods.sort_by(|a, b| a.pod.pod_id.cmp(&b.pod.pod_id));
        Self { revision, pods, unreachable_nodes: census.unreachable_nodes.clone() }
    }
}

fn may_lack(pod: &Pod, awaited: Revision) -> bool {
    pod.acknowledged_revision < awaited || (awaited > Revision::ZERO && pod.rejects_keys())
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

#[cfg(test)]
mod tests {
    use controlplane_core::model::PodSighting;
    use controlplane_core::{Actor, Command, Entry, Mutation, Stamp};
    use vocab::NodeId;

    use super::*;
    use crate::fleet::{NodePods, RejectedResource};

    #[test]
    fn who_is_gone_is_shown_for_a_while_or_as_long_as_somebody_waits_for_it() {
        let mut state = State::default();
        let sighting = |name: &str, presence| PodSighting {
            pod_id: name.parse().unwrap(),
            node_id: NodeId(1),
            version: String::new(),
            address: String::new(),
            presence,
            acknowledged_revision: Revision(7),
        };
        let sightings = vec![sighting("gone", Presence::Gone), sighting("stopped", Presence::Stopped)];
        let left_at = Timestamp::from_secs(5);
        let stamp = Stamp { at: left_at, id: uuid::Uuid::nil(), key: None, more_keys: vec![] };
        let mutation = Mutation::FleetUpdate { sightings, forget: vec![] };
        let entry = Entry::new(Command::new(Actor::System, mutation), stamp);
        controlplane_core::apply(&mut state, Revision(1), entry).unwrap();
        let shown = |awaited: u64, after_secs: i64| {
            let now = left_at.plus_secs(after_secs);
            let fleet = Fleet::of(&Census::default(), &state, Revision(9), Revision(awaited), now, |_| None);
            fleet.pods.iter().map(|it| it.pod.pod_id.to_string()).collect::<Vec<_>>()
        };
        // Ten minutes are the default.
        assert_eq!(shown(0, 599), ["gone", "stopped"]);
        assert_eq!(shown(0, 600), Vec::<String>::new());
        assert_eq!(shown(7, 80_000), Vec::<String>::new());
        assert_eq!(shown(8, 80_000), ["gone"]);

        // One that rejected a key has all, and may lack the one that is waited for.
        let rejected = vec![RejectedResource { resource: "tenants/acme/keys/k1".to_owned(), reason: String::new() }];
        let last = absent_pod(state.pods().next().unwrap(), None, left_at).pod;
        let departed = vec![Pod { acknowledged_revision: Revision(8), rejected, rejected_count: 1, ..last }];
        let census = Census { nodes: vec![NodePods { departed, ..NodePods::default() }], ..Census::default() };
        let is_shown = |awaited: u64| {
            let now = left_at.plus_secs(80_000);
            !Fleet::of(&census, &state, Revision(9), Revision(awaited), now, |_| None).pods.is_empty()
        };
        assert!(is_shown(8) && !is_shown(0));
    }
}
