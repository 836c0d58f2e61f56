//! What the leader sees to by itself: changes that its predecessor left halfway, records of members that have none,
//! learners that are to vote, and who was heard when.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use controlplane_core::model::{NodeRecord, NodeSource, NodeSpec};
use controlplane_core::{Actor, Command, Mutation, Origin};
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vocab::{Clock, NodeId, Timestamp};

use super::cluster::Cluster;
use super::membership::{Leavers, View};
use crate::membership::{Caution, MemberChange, MemberRequest};

const ROUND: Duration = Duration::from_millis(500);
/// What a successor gets to take over.
const HAND_OVER: Duration = Duration::from_secs(3);
/// How coarse `last_seen` is: one entry for all nodes in this time.
const SEEN_EVERY_SECS: i64 = 600;

/// Runs on every node and does something on the one that leads.
pub async fn tend(
    cluster: Cluster,
    clock: Arc<dyn Clock>,
    mut leading: watch::Receiver<bool>,
    stopping: CancellationToken,
) {
    loop {
        let wait = async {
            if *leading.borrow_and_update() {
                tokio::time::sleep(ROUND).await;
            } else if leading.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = wait => {}
            () = stopping.cancelled() => return,
        }
        if *leading.borrow()
            && let Some(view) = cluster.view()
        {
            tokio::select! {
                () = round(&cluster, &view, clock.now()) => {}
                () = stopping.cancelled() => return,
            }
        }
    }
}

async fn round(cluster: &Cluster, view: &View, now: Timestamp) {
    if view.is_changing {
        // Its predecessor did not come to the second half. Adding nobody is how openraft is told to finish.
        if let Ok(_turn) = cluster.changing.try_lock() {
            let finished = cluster.commit(ChangeMembers::AddVoterIds(BTreeSet::new()), Leavers::Stay).await;
            tracing::info!(?finished, "a change of membership was left halfway");
        }
        return;
    }
    // What it has finished for its predecessor may have taken its own vote. Whoever leads is neither replaced nor removed.
    if !view.voters.contains(&view.me) {
        cluster.hand_over(HAND_OVER).await;
        return;
    }
    let records: Vec<Arc<NodeRecord>> = cluster.replica.read(|state| state.nodes().cloned().collect());
    for id in view.nodes.iter().filter(|id| !records.iter().any(|record| record.id.0 == **id)) {
        put_unknown(cluster, NodeId(*id)).await;
    }
    let present = || records.iter().filter(|record| view.nodes.contains(&record.id.0));
    // Who votes already has what a leader before has left of it.
    let is_ready = |id: NodeId| view.voters.contains(&id.0) || view.has_caught_up(id.0);
    for record in present().filter(|record| is_ready(record.id)) {
        let Some(promotion) = &record.spec.promotion else { continue };
        if promotion.replaces == Some(NodeId(view.me)) {
            // Elected since that was asked for. Its successor carries it out.
            cluster.hand_over(HAND_OVER).await;
            return;
        }
        let change = MemberChange::Promote { id: record.id };
        // Why not, if not, is in the log; the next round tries again.
        let _ = cluster.carry_out(&by_itself(change)).await;
    }
    // Marked first, and then there was no majority, or the leader died.
    for record in present().filter(|record| record.removed_at.is_some() && record.id.0 != view.me) {
        let change = MemberChange::Remove { id: record.id, caution: Caution::Forced };
        let _ = cluster.carry_out(&by_itself(change)).await;
    }
    strike_strangers(cluster).await;
    let is_due = |record: &Arc<NodeRecord>| now.since(record.last_seen).as_secs().cast_signed() >= SEEN_EVERY_SECS;
    if present().any(|record| is_due(record) && view.answers(record.id.0)) {
        let ids = present().map(|record| record.id).filter(|id| view.answers(id.0)).collect();
        propose(cluster, Mutation::NodeSeen { ids }).await;
    }
}

/// Nodes that are in the table and no members: a leader before came only halfway with adding or removing them.
async fn strike_strangers(cluster: &Cluster) {
    // Nobody is halfway now.
    let Ok(_turn) = cluster.changing.try_lock() else { return };
    let Some(view) = cluster.view() else { return };
    let strangers: Vec<NodeId> = cluster.replica.read(|state| {
        let present = state.nodes().filter(|node| node.removed_at.is_none());
        present.map(|node| node.id).filter(|id| !view.nodes.contains(&id.0)).collect()
    });
    for id in strangers {
        tracing::info!(node = %id, "a node that is no member leaves the table");
        propose(cluster, Mutation::NodeRemove { id }).await;
    }
}

/// A member since before there was a table, or of the first members: it says more of itself when it starts.
async fn put_unknown(cluster: &Cluster, id: NodeId) {
    let membership = cluster.raft.metrics().borrow_watched().membership_config.clone();
    let Some(node) = membership.get_node(&id.0) else { return };
    let spec = NodeSpec {
        peer_addr: cluster.peers.address(id, &node.addr),
        admin_url: None,
        source: NodeSource::Static,
        version: None,
        feature_level: 0,
        promotion: None,
    };
    propose(cluster, Mutation::NodePut { id, spec }).await;
}

async fn propose(cluster: &Cluster, mutation: Mutation) {
    if let Err(why) = cluster.propose(Command::new(Actor::System, mutation)).await {
        tracing::debug!(?why, "the table of nodes has to wait");
    }
}

fn by_itself(change: MemberChange) -> MemberRequest {
    MemberRequest { change, actor: Actor::System, origin: Origin::default() }
}
