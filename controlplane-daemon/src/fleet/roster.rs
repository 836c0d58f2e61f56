//! Keeps the replicated roster of pods true: decides what the leader writes down after it has looked around.
//!
//! A pod gets on the roster when it is first seen, is marked when it is connected nowhere any more, and is struck off
//! when nobody needs it. Durations are measured here, by the leader's monotonic clock since it saw for itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use controlplane_core::model::{PodSighting, Presence};
use controlplane_core::{Mutation, State};
use vocab::{PodId, Revision};

use super::{Census, Pod};

/// A pod that only changes nodes is back by then.
const MISSED_AFTER: Duration = Duration::from_secs(3);

/// For how long pods that are no longer connected are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Those that stopped in good order.
    pub stopped: Duration,
    /// Those that vanished: as long as one of them may still serve what it has.
    pub gone: Duration,
}

/// What one leader remembers between two looks.
#[derive(Debug, Default)]
pub struct Roster {
    /// Since when a pod has been as it is now, as far as this leader has seen.
    unchanged: BTreeMap<PodId, (Seen, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Missing,
    Marked(Presence),
}

impl Roster {
    /// What to write, if anything.
    pub fn due(&mut self, state: &State, census: &Census, keep: Keep, now: Instant) -> Option<Mutation> {
        let connected = census.connected();
        let departed = census.departed();
        let mut sightings: Vec<PodSighting> = connected
            .values()
            .filter(|pod| is_news(state, pod))
            .map(|pod| sighting(pod, Presence::Connected))
            .collect();
        let mut forget = Vec::new();
        let mut unchanged = BTreeMap::new();
        for record in state.pods() {
            let known = &record.sighting;
            let pod_id = &known.pod_id;
            if connected.contains_key(pod_id) || census.unreachable_nodes.contains(&known.node_id) {
                continue;
            }
            let seen = match known.presence {
                Presence::Connected => Seen::Missing,
                presence => Seen::Marked(presence),
            };
            let since =
                self.unchanged.get(pod_id).filter(|(before, _)| *before == seen).map_or(now, |(_, since)| *since);
            unchanged.insert(pod_id.clone(), (seen, since));
            let elapsed = now.saturating_duration_since(since);
            match seen {
                Seen::Missing if elapsed >= MISSED_AFTER => {
                    sightings.push(missing(known, departed.get(pod_id).copied()));
                }
                // It was back for a moment that nobody wrote down, and then said goodbye.
                Seen::Marked(Presence::Gone)
                    if departed.get(pod_id).is_some_and(|pod| pod.draining && pod.connected_at > record.since) =>
                {
                    sightings.push(missing(known, departed.get(pod_id).copied()));
                }
                Seen::Marked(Presence::Stopped) if elapsed >= keep.stopped => forget.push(pod_id.clone()),
                Seen::Marked(Presence::Gone) if elapsed >= keep.gone => forget.push(pod_id.clone()),
                Seen::Missing | Seen::Marked(_) => {}
            }
        }
        self.unchanged = unchanged;
        (!sightings.is_empty() || !forget.is_empty()).then_some(Mutation::FleetUpdate { sightings, forget })
    }
}

fn is_news(state: &State, pod: &Pod) -> bool {
    state.pod(&pod.pod_id).is_none_or(|record| {
        let known = &record.sighting;
        known.presence != Presence::Connected
            || known.node_id != pod.node_id
            || known.version != pod.version
            || known.address != pod.address
    })
}

fn sighting(pod: &Pod, presence: Presence) -> PodSighting {
    PodSighting {
        pod_id: pod.pod_id.clone(),
        node_id: pod.node_id,
        version: pod.version.clone(),
        address: pod.address.clone(),
        presence,
        // A key that it has and cannot use it has not. Which one it was is forgotten with its last node.
        acknowledged_revision: if pod.rejects_keys() { Revision::ZERO } else { pod.acknowledged_revision },
    }
}

/// Of a pod that nobody saw leave (its node is down, too) it is only known that it is not there.
fn missing(known: &PodSighting, last: Option<&Pod>) -> PodSighting {
    match last {
        Some(pod) if pod.draining => sighting(pod, Presence::Stopped),
        Some(pod) => sighting(pod, Presence::Gone),
        None => PodSighting { presence: Presence::Gone, ..known.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::NodePods;
    use crate::fleet::RejectedResource;
    use controlplane_core::model::PodRecord;
    use controlplane_core::{Actor, Command, Entry, Stamp};
    use vocab::{NodeId, Timestamp};

    const KEEP: Keep = Keep { stopped: Duration::from_mins(1), gone: Duration::from_mins(10) };

    fn pod(name: &str) -> Pod {
        Pod { acknowledged_revision: Revision(7), ..Pod::sample(name) }
    }

    fn census(connected: &[Pod], departed: &[Pod]) -> Census {
        let node = NodePods { connected: connected.to_vec(), departed: departed.to_vec(), applied: Revision(7) };
        Census { nodes: vec![node], unreachable_nodes: vec![] }
    }

    fn apply(state: &mut State, mutation: Mutation) {
        let stamp = Stamp { at: Timestamp::from_secs(5), id: uuid::Uuid::nil(), key: None, more_keys: vec![] };
        let entry = Entry::new(Command::new(Actor::System, mutation), stamp);
        controlplane_core::apply(state, Revision(1), entry).unwrap();
    }

    fn presence(state: &State, name: &str) -> Option<Presence> {
        state.pod(&name.parse().unwrap()).map(|record: &std::sync::Arc<PodRecord>| record.sighting.presence)
    }

    #[test]
    fn a_pods_way_over_the_roster() {
        let (mut roster, mut state) = (Roster::default(), State::default());
        let begin = Instant::now();
        let at = |secs| begin + Duration::from_secs(secs);
        let (one, two) = (pod("one"), Pod { draining: true, ..pod("two") });
        let both = census(&[one.clone(), two.clone()], &[]);
        let due = roster.due(&state, &both, KEEP, at(0)).unwrap();
        apply(&mut state, due);
        assert_eq!(roster.due(&state, &both, KEEP, at(1)), None);
        // Both leave, one of them with a word. A short absence is none.
        let neither = census(&[], &[one.clone(), two]);
        assert_eq!(roster.due(&state, &neither, KEEP, at(2)), None);
        assert_eq!(roster.due(&state, &neither, KEEP, at(4)), None);
        let due = roster.due(&state, &neither, KEEP, at(5)).unwrap();
        apply(&mut state, due);
        assert_eq!(presence(&state, "one"), Some(Presence::Gone));
        assert_eq!(presence(&state, "two"), Some(Presence::Stopped));
        assert_eq!(roster.due(&state, &neither, KEEP, at(6)), None);
        let due = roster.due(&state, &neither, KEEP, at(66)).unwrap();
        apply(&mut state, due);
        assert_eq!(presence(&state, "two"), None);
        // A new leader has seen nothing yet, however long it has been.
        let mut successor = Roster::default();
        assert_eq!(successor.due(&state, &census(&[], &[]), KEEP, at(700)), None);
        assert_eq!(successor.due(&state, &census(&[], &[]), KEEP, at(1299)), None);
        // It comes back.
        let due = successor.due(&state, &census(&[one], &[]), KEEP, at(1300)).unwrap();
        apply(&mut state, due);
        assert_eq!(presence(&state, "one"), Some(Presence::Connected));
    }

    #[test]
    fn who_could_not_use_a_key_is_written_down_as_having_none() {
        let had = |resource: &str| {
            let rejected = vec![RejectedResource { resource: resource.to_owned(), reason: "sealed".to_owned() }];
            sighting(&Pod { rejected, ..pod("one") }, Presence::Gone).acknowledged_revision
        };
        assert_eq!(had("tenants/acme/keys/k1"), Revision::ZERO);
        assert_eq!(had("tenants/acme/clients/web"), Revision(7));
    }

    #[test]
    fn pods_of_a_node_that_does_not_answer_are_not_missed() {
        let (mut roster, mut state) = (Roster::default(), State::default());
        let begin = Instant::now();
        let due = roster.due(&state, &census(&[pod("one")], &[]), KEEP, begin).unwrap();
        apply(&mut state, due);
        let silent = Census { nodes: vec![], unreachable_nodes: vec![NodeId(1)] };
        for secs in [1, 100] {
            assert_eq!(roster.due(&state, &silent, KEEP, begin + Duration::from_secs(secs)), None);
        }
    }
}
