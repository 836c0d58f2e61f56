//! A node that is filled from the beginning, by a leader that falls silent.

use std::collections::BTreeSet;

use openraft::raft::AppendEntriesRequest;

use vocab::ClusterId;

use super::*;
use crate::membership::Bootstrap;
use crate::raft::types::{Entry, EntryPayload, LeaderId, LogId, Membership, Types, Vote};
use crate::signature::layer::Caller;

fn leader() -> Caller {
    Caller { node: NodeId(2), cluster: Some(ClusterId::from_uuid(Uuid::from_u128(1))), address: None }
}

/// Node 1 made the cluster, alone; node 2 leads it in term 7 and sends the beginning of the log, of a hundred entries.
fn sent(first: u64, entries: Vec<EntryPayload>, committed: u64) -> AppendEntriesRequest<Types> {
    let at = |term, node_id, index| LogId { leader_id: LeaderId { term, node_id }, index };
    let id = |index| if index == 0 { at(0, 0, 0) } else { at(1, 1, index) };
    AppendEntriesRequest {
        vote: Vote::new_committed(7, 2),
        prev_log_id: first.checked_sub(1).map(id),
        entries: (first..).zip(entries).map(|(index, payload)| Entry { log_id: id(index), payload }).collect(),
        leader_commit: Some(at(7, 2, committed)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_elects_itself_once_it_has_what_it_heard_to_be_committed_and_no_earlier() {
    const COMMITTED: u64 = 100;
    let mut nodes = Nodes::new(1);
    let alone = Membership::new_with_defaults(vec![BTreeSet::from([1])], []);
    let mut entries = vec![EntryPayload::Membership(alone)];
    entries.resize(usize::try_from(COMMITTED).unwrap() + 1, EntryPayload::Blank);
    let rest = entries.split_off(2);

    let node = start_as_follower(&mut nodes).await;
    assert!(node.inner.node.append(leader(), sent(0, entries, COMMITTED)).await);
    does_not_lead(&node).await;
    node.shutdown().await;
    drop(node);
    let node = start_as_follower(&mut nodes).await;
    does_not_lead(&node).await;
    assert!(node.inner.node.append(leader(), sent(2, rest, COMMITTED)).await, "it still follows");
    leader_of(std::slice::from_ref(&node)).await;
    node.shutdown().await;
}

async fn start_as_follower(nodes: &mut Nodes) -> ControlPlane {
    let config = NodeConfig { bootstrap: Bootstrap::Others, ..nodes.config(1) };
    start(config, keyring(1), Arc::new(SystemClock)).await.unwrap()
}

/// For longer than anybody waits for an election.
async fn does_not_lead(node: &ControlPlane) {
    let mut leadership = node.leadership();
    let leads = tokio::time::timeout(Duration::from_secs(3), leadership.wait_for(|leads| *leads)).await;
    assert!(leads.is_err(), "it leads, and lacks what was committed");
}
