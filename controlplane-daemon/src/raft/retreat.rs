//! Giving up a cluster that came to nothing, so that another may have this node.
//!
//! Two nodes that are told to found the same cluster and do not hear each other may both do so. One of the two clusters
//! gets the others; what is left of the other could never write anything, and nobody would take its nodes in:
//!
//! ```text
//!   nothing applied here ─▶ ask every member which cluster it is in ─▶ this one can have no majority any more
//!     ─▶ Raft stops ─▶ the log, which nobody was ever promised, goes, then cluster.json ─▶ the node starts as a new one
//! ```
//!
//! Why nothing is lost: a change is committed once a majority of the members holds a copy, and a node is bound on its disk
//! before it holds one. So when so many members are bound elsewhere that the rest is no majority, nothing of this cluster
//! was committed nor will be. That holds for a founder that was elected, too: what it has in its log and nobody took, it
//! has acknowledged to nobody. The votes of a founder went to itself, in a cluster that is gone; other nodes keep theirs.
//!
//! A log that says which cluster it is of had a majority once: a leader writes that only after its first entry is
//! committed. It is never given up here: its nodes may hold what others lost, and that is for an operator to decide.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver as _;
use shared_proto::peer;
use tokio_util::sync::CancellationToken;
use vocab::{ClusterId, NodeId};

use super::cluster::{Cluster, QUESTION_TIMEOUT};
use super::log_storage::{StoredVote, json};
use super::record;
use crate::signature::Signatures;
use crate::storage::StorageError;
use crate::storage::binding::{self, Binder};
use crate::storage::log_store::{Fact, LogStore};

const ROUND: Duration = Duration::from_secs(1);
/// A node that holds nothing does not wait longer than so many times its patience for a leader to come back.
const WAITS: u32 = 5;
/// The cluster's name is among the first entries.
const BEGIN_BYTES: usize = 1 << 20;

/// What another member says of itself.
struct Word {
    node: NodeId,
    cluster: Option<ClusterId>,
    would_found: bool,
}

/// Looks until something is applied here: then this node belongs where it is for good. Asks the process to start anew
/// when there is nothing to wait for.
pub async fn watch(cluster: Cluster, store: LogStore, signatures: Signatures, stopping: CancellationToken) {
    let signatures = signatures.of_no_cluster();
    let mut heard = Instant::now();
    while !holds_something(&cluster) {
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = stopping.cancelled() => return,
        }
        // A leader that nobody follows has not heard of itself: see `Contact`.
        let (None, Some(here)) = (cluster.leader(), cluster.binding.cluster_id()) else {
            heard = Instant::now();
            continue;
        };
        if let Some(why) = reason(&cluster, &signatures, here, heard).await
            && !had_a_majority(&store).unwrap_or(true)
        {
            tracing::error!(cluster = %here, why, "this node gives a cluster up that came to nothing, and starts anew");
            cluster.retreat.cancel();
            return;
        }
    }
}

fn holds_something(cluster: &Cluster) -> bool {
    cluster.raft.metrics().borrow_watched().last_applied.is_some()
}

/// Whether there may be something in the log that somebody was promised.
fn had_a_majority(store: &LogStore) -> Result<bool, StorageError> {
    if store.fact(Fact::Committed)?.is_some() || store.fact(Fact::Purged)?.is_some() {
        return Ok(true);
    }
    let begin = store.read(0..u64::MAX, BEGIN_BYTES)?;
    Ok(begin.iter().any(|(_, record)| record::names_cluster(record)))
}

/// Why there is nothing to wait for, if there is not. Nobody leads this node, nor does it lead anybody.
async fn reason(cluster: &Cluster, signatures: &Signatures, here: ClusterId, heard: Instant) -> Option<&'static str> {
    if cluster.is_blank() {
        let waited = heard.elapsed() > cluster.contact.patience() * WAITS;
        return waited.then_some("who took this node in is silent, and has sent it nothing to keep");
    }
    let standing = Standing::of(cluster, here);
    let others = standing.members.iter().filter(|id| **id != standing.node);
    let words = join_all(others.map(|id| ask(cluster, signatures, *id))).await;
    standing.came_to_nothing(&words.into_iter().flatten().collect::<Vec<_>>())
}

/// What this node has of a cluster in which nothing is known to be committed.
#[derive(Debug)]
struct Standing {
    node: NodeId,
    here: ClusterId,
    /// The voters, this node among them.
    members: Vec<NodeId>,
    /// Its log has the list of members and no more: nobody was elected by it.
    founded_only: bool,
}

impl Standing {
    fn of(cluster: &Cluster, here: ClusterId) -> Self {
        let metrics = cluster.raft.metrics();
        let now = metrics.borrow_watched();
        Self {
            node: cluster.node_id(),
            here,
            members: now.membership_config.voter_ids().map(NodeId).collect(),
            founded_only: now.last_log_index == Some(0) && now.state != ServerState::Leader,
        }
    }

    /// `words`: of those who answered. Silence is no word.
    fn came_to_nothing(&self, words: &[Word]) -> Option<&'static str> {
        let elsewhere = || words.iter().filter(|word| word.cluster.is_some_and(|theirs| theirs != self.here));
        let majority = self.members.len() / 2 + 1;
        if self.members.len() - elsewhere().count() < majority {
            return Some("too many of its members are in another cluster");
        }
        // Nobody but this node knows of a cluster that has no more than its list of members.
        let senior = elsewhere().any(|word| word.would_found && word.node < self.node);
        (self.founded_only && senior).then_some("a node with a lower id has made a cluster of these members, too")
    }
}

async fn ask(cluster: &Cluster, signatures: &Signatures, node: NodeId) -> Option<Word> {
    let addr = {
        let metrics = cluster.raft.metrics();
        let now = metrics.borrow_watched();
        now.membership_config.membership().get_node(&node.0)?.addr.clone()
    };
    for mut client in cluster.peers.clients_of_any(node, &addr, signatures) {
        let asked = tokio::time::timeout(QUESTION_TIMEOUT, client.describe(peer::DescribeRequest::default())).await;
        // Somebody else may be at that address by now.
        if let Ok(Ok(answer)) = asked
            && let answer = answer.into_inner()
            && answer.node_id == node.0
        {
            let cluster = answer.cluster_id.parse().ok();
            return Some(Word { node, cluster, would_found: answer.would_found });
        }
    }
    None
}

/// Makes the node a new one, once Raft has stopped. What was applied meanwhile counts: then it stays what it is.
pub async fn carry_out(cluster: &Cluster, store: &LogStore, data_dir: &Path) -> Result<(), StorageError> {
    if holds_something(cluster) || had_a_majority(store)? {
        return Ok(());
    }
    let by = cluster.binding.bound_by().await;
    store.truncate(0).await;
    if by == Some(Binder::Founder) {
        store.save_vote(json(&StoredVote { term: 0, node_id: 0, committed: false })).await;
    }
    // Last: a log without it would be taken for one of a cluster whose id is not known yet.
    binding::remove(data_dir)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::types::{Entry, EntryPayload, LeaderId, LogId, Membership, Payload};
    use super::*;

    fn stored(index: u64, payload: EntryPayload) -> (u64, bytes::Bytes) {
        let log_id = LogId { leader_id: LeaderId { term: 1, node_id: 1 }, index };
        (index, record::encode_stored(&Entry { log_id, payload }))
    }

    fn cluster(id: u128) -> ClusterId {
        ClusterId::from_uuid(Uuid::from_u128(id))
    }

    /// Node 2 of so many, in cluster 2. `words`: node, its cluster (0: none), and all nodes before 3 found.
    fn came_to_nothing(members: u64, founded_only: bool, words: &[(u64, u128)]) -> bool {
        let members = (1..=members).map(NodeId).collect();
        let words = words.iter().map(|(node, theirs)| Word {
            node: NodeId(*node),
            cluster: (*theirs > 0).then(|| cluster(*theirs)),
            would_found: *node < 3,
        });
        let standing = Standing { node: NodeId(2), here: cluster(2), members, founded_only };
        standing.came_to_nothing(&words.collect::<Vec<_>>()).is_some()
    }

    #[test]
    fn a_cluster_comes_to_nothing_when_so_many_are_elsewhere_that_nothing_can_be_committed() {
        // Elected or not, followed or not: with two of three elsewhere nobody was promised anything.
        for founded_only in [true, false] {
            assert!(came_to_nothing(3, founded_only, &[(1, 1), (3, 1)]));
            assert!(came_to_nothing(5, founded_only, &[(3, 1), (4, 1), (5, 3)]));
            assert!(!came_to_nothing(3, founded_only, &[(1, 2), (3, 2)]), "they are with this node");
            assert!(!came_to_nothing(3, founded_only, &[(3, 1)]), "node 1 may hold a copy");
            assert!(!came_to_nothing(3, founded_only, &[(1, 0), (3, 1)]), "who is free may yet come");
            assert!(!came_to_nothing(5, founded_only, &[(3, 1), (4, 1)]));
            assert!(!came_to_nothing(4, founded_only, &[(3, 1)]));
            assert!(!came_to_nothing(3, founded_only, &[]), "nobody says anything");
        }
    }

    #[test]
    fn of_two_who_only_founded_the_lower_id_stays() {
        assert!(came_to_nothing(3, true, &[(1, 1)]));
        assert!(!came_to_nothing(3, false, &[(1, 1)]), "somebody was elected, and may have been followed");
        assert!(!came_to_nothing(3, true, &[(1, 0)]), "it has founded nothing yet");
        assert!(!came_to_nothing(3, true, &[(1, 2)]));
    }

    #[tokio::test]
    async fn a_log_that_names_its_cluster_is_never_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(&dir.path().join("log.redb"), |_, _| Ok(())).unwrap();
        assert!(!had_a_majority(&store).unwrap());
        let members = stored(0, EntryPayload::Membership(Membership::default()));
        store.append(vec![members, stored(1, EntryPayload::Blank)], Box::new(|| ())).await;
        assert!(!had_a_majority(&store).unwrap(), "only the leader that was never heard has it");
        let name = Payload::cluster_id(ClusterId::from_uuid(Uuid::from_u128(1)));
        store.append(vec![stored(2, EntryPayload::Normal(name))], Box::new(|| ())).await;
        assert!(had_a_majority(&store).unwrap());
        store.purge(2, b"2".to_vec()).await;
        assert!(had_a_majority(&store).unwrap(), "a snapshot has it");
    }
}
