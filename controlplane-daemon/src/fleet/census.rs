//! What every node says of its pods, asked at once.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_core::State;
use controlplane_core::model::Presence;
use vocab::{NodeId, PodId, Revision};

use super::Pod;

/// One node's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePods {
    pub connected: Vec<Pod>,
    /// Those that were connected not long ago, as they were last.
    pub departed: Vec<Pod>,
    /// What the node has applied.
    pub applied: Revision,
}

/// All answers.
#[derive(Clone, Debug, Default)]
pub struct Census {
    pub nodes: Vec<NodePods>,
    /// Nodes that did not answer in time. One that is known to be down has no pods and is not among them.
    pub unreachable_nodes: Vec<NodeId>,
}

impl Census {
    /// Every connection; a pod that moved may be listed by the node that has not missed it yet, too.
    pub fn connections(&self) -> impl Iterator<Item = &Pod> + Clone {
        self.nodes.iter().flat_map(|node| &node.connected)
    }

    /// Each connected pod once, by its newest connection.
    pub fn connected(&self) -> BTreeMap<&PodId, &Pod> {
        newest(self.connections())
    }

    /// Each pod that left and is connected nowhere, as it was last.
    pub fn departed(&self) -> BTreeMap<&PodId, &Pod> {
        let connected = self.connected();
        let mut departed = newest(self.nodes.iter().flat_map(|node| &node.departed));
        departed.retain(|pod_id, _| !connected.contains_key(pod_id));
        departed
    }

    /// Pods that were connected a moment ago and are on no node's list: on their way to another one, as long as they are not
    /// written down as gone. The state is to be read after the census: then they were connected before, not after.
    pub fn missing(&self, state: &State) -> BTreeSet<PodId> {
        let (connected, departed) = (self.connected(), self.departed());
        let absent = state.pods().map(|record| &record.sighting).filter(|known| {
            known.presence == Presence::Connected
                && !connected.contains_key(&known.pod_id)
                && !departed.get(&known.pod_id).is_some_and(|last| last.draining)
                // That node itself is named as one whose pods are not known.
                && !self.unreachable_nodes.contains(&known.node_id)
        });
        absent.map(|known| known.pod_id.clone()).collect()
    }

    /// What every node that answered has applied.
    pub fn applied_everywhere(&self) -> Revision {
        self.nodes.iter().map(|node| node.applied).min().unwrap_or_default()
    }
}

fn newest<'a>(pods: impl Iterator<Item = &'a Pod>) -> BTreeMap<&'a PodId, &'a Pod> {
    let mut by_id: BTreeMap<&PodId, &Pod> = BTreeMap::new();
    for pod in pods {
        let known = by_id.entry(&pod.pod_id).or_insert(pod);
        if known.connected_at < pod.connected_at {
            *known = pod;
        }
    }
    by_id
}

#[cfg(test)]
mod tests {
    use controlplane_core::model::PodSighting;
    use controlplane_core::{Actor, Command, Entry, Mutation, Stamp};
    use vocab::Timestamp;

    use super::*;

    #[test]
    fn who_was_connected_and_has_not_said_goodbye_is_missing() {
        let sighting = |name: &str, node: u64, presence| PodSighting {
            pod_id: name.parse().unwrap(),
            node_id: NodeId(node),
            version: String::new(),
            address: String::new(),
            presence,
            acknowledged_revision: Revision::ZERO,
        };
        let sightings = vec![
            sighting("here", 1, Presence::Connected),
            sighting("moved", 3, Presence::Connected),
            sighting("lost", 1, Presence::Connected),
            sighting("lost-with-its-node", 4, Presence::Connected),
            sighting("stopping", 1, Presence::Connected),
            sighting("stopped", 1, Presence::Stopped),
            sighting("gone", 1, Presence::Gone),
            sighting("of-a-silent-node", 2, Presence::Connected),
        ];
        let mut state = State::default();
        let stamp = Stamp { at: Timestamp::from_secs(1), id: uuid::Uuid::nil(), key: None, more_keys: vec![] };
        let mutation = Mutation::FleetUpdate { sightings, forget: vec![] };
        let entry = Entry::new(Command::new(Actor::System, mutation), stamp);
        controlplane_core::apply(&mut state, Revision(1), entry).unwrap();
        let draining = |name| Pod { draining: true, ..Pod::sample(name) };
        let node = NodePods {
            connected: ["here", "moved"].map(Pod::sample).to_vec(),
            departed: vec![Pod::sample("lost"), draining("stopping"), draining("moved")],
            ..NodePods::default()
        };
        let census = Census { nodes: vec![node], unreachable_nodes: vec![NodeId(2)] };
        let missing: Vec<_> = census.missing(&state).iter().map(ToString::to_string).collect();
        assert_eq!(missing, ["lost", "lost-with-its-node"]);
    }
}
