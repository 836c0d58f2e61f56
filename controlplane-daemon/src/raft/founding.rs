//! The first start of a cluster: one node makes it, once a majority of those who are to be in it say that they are free.
//!
//! Asking first does no harm, since without a majority nothing could be committed anyway. It finds the node whose disk was
//! replaced: the others are in a cluster, so it makes no second one and waits for theirs. And it finds the node that
//! somebody else's cluster has: then nothing is made, and both sides say why. Two that found the same cluster at the same
//! moment may still miss each other; one of them gives its own up then (`retreat`).

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use openraft::BasicNode;
use shared_proto::peer;
use shared_proto::status::error_code;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use vocab::{ClusterId, ErrorCode, NodeId};

use super::cluster::Cluster;
use super::peers::Purpose;

/// A question that needs no disk, with the time to connect.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The first members of a cluster, with their addresses.
pub type Founders = BTreeMap<u64, BasicNode>;

/// Why there is no cluster yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFounded {
    #[error("{free} of the {founders} nodes that are to make the cluster are free for it, {needed} are needed")]
    TooFew { free: usize, founders: usize, needed: usize },
    #[error("node {0} founds the cluster")]
    SomebodyElse(NodeId),
    /// It may be reading the log of a cluster that this node was in.
    #[error("node {0} takes connections and has not said yet whether it is in a cluster")]
    Busy(NodeId),
    /// This node is a member of it without its data.
    #[error("node {node} is in cluster {cluster} already, which has to take this node in")]
    MemberOf { node: NodeId, cluster: String },
    #[error("no cluster is made with node {node}: {why}")]
    Refused { node: NodeId, why: String },
    #[error("this node belongs to cluster {0}, which has to take it in")]
    Bound(ClusterId),
    /// Raft begins no cluster at a node that has voted: it might have elected a leader.
    #[error("this node has voted for one that makes a cluster, and waits to be taken in")]
    HasVoted,
    #[error("{0}")]
    Raft(String),
}

/// What a node that is to be in the cluster says.
enum Word {
    Free,
    Silent,
    Not(NotFounded),
}

/// Tries until this node is in a cluster, its own or another's.
pub async fn run(cluster: Cluster, founders: Founders, stopping: CancellationToken) {
    let (mut pause, mut said) = (FIRST_PAUSE, None);
    while let Err(why) = found(&cluster, &founders).await {
        match why {
            NotFounded::TooFew { .. }
            | NotFounded::SomebodyElse(_)
            | NotFounded::Busy(_)
            | NotFounded::Bound(_)
            | NotFounded::HasVoted => tracing::debug!(%why, "no cluster yet"),
            // Each reason once: it may stay for long.
            _ if said.as_ref() != Some(&why) => tracing::error!(%why, "this node makes no cluster"),
            _ => {}
        }
        cluster.unfounded.send_replace(Some(why.to_string()));
        said = Some(why);
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = stopping.cancelled() => return,
        }
    }
    cluster.unfounded.send_replace(None);
}

/// Makes the cluster, unless there is nothing to make.
pub async fn found(cluster: &Cluster, founders: &Founders) -> Result<(), NotFounded> {
    if founders.is_empty() || !cluster.is_blank() {
        return Ok(());
    }
    if is_initialized(cluster).await? {
        return Err(NotFounded::HasVoted);
    }
    let founds = cluster.binding.chosen().await.map_err(NotFounded::Bound)?;
    let this = cluster.node_id();
    let others = founders.iter().filter(|(id, _)| **id != this.0);
    let words = join_all(others.map(|(id, node)| ask(cluster, NodeId(*id), &node.addr, founds))).await;
    let mut free = 1;
    for word in words {
        match word {
            Word::Free => free += 1,
            Word::Silent => {}
            Word::Not(why) => return Err(why),
        }
    }
    let needed = founders.len() / 2 + 1;
    if free < needed {
        return Err(NotFounded::TooFew { free, founders: founders.len(), needed });
    }
    // On the disk before the log is: from here on every call carries it.
    let made = cluster.binding.found().await.map_err(NotFounded::Bound)?;
    tracing::info!(members = founders.len(), cluster = %made, "initialising a cluster");
    match cluster.raft.initialize(founders.clone()).await {
        Ok(()) => Ok(()),
        // A leader that came first has done it: then there is nothing to do.
        Err(_) if is_initialized(cluster).await? => Ok(()),
        Err(why) => Err(NotFounded::Raft(why.to_string())),
    }
}

async fn is_initialized(cluster: &Cluster) -> Result<bool, NotFounded> {
    cluster.raft.is_initialized().await.map_err(|why| NotFounded::Raft(why.to_string()))
}

async fn ask(cluster: &Cluster, node: NodeId, addr: &str, founds: ClusterId) -> Word {
    let Ok(mut client) = cluster.peers.client(node, addr, Purpose::Requests) else { return Word::Silent };
    let question = peer::DescribeRequest { founds_cluster_id: founds.to_string() };
    let Ok(answer) = tokio::time::timeout(QUESTION_TIMEOUT, client.describe(question)).await else {
        return if takes_connections(addr).await { Word::Not(NotFounded::Busy(node)) } else { Word::Silent };
    };
    let answer = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) if error_code(&status) == Some(ErrorCode::Unauthenticated) => {
            return Word::Not(NotFounded::Refused { node, why: status.message().to_owned() });
        }
        Err(_) => return Word::Silent,
    };
    if answer.is_free && answer.would_found && node < cluster.node_id() {
        // Several that were told to found the same cluster: the lowest that answers does.
        return Word::Not(NotFounded::SomebodyElse(node));
    }
    match answer.cluster_id {
        _ if answer.is_free => Word::Free,
        none if none.is_empty() => Word::Silent,
        cluster => Word::Not(NotFounded::MemberOf { node, cluster }),
    }
}

/// A node listens before it has read its log, and answers after.
async fn takes_connections(addr: &str) -> bool {
    matches!(tokio::time::timeout(QUESTION_TIMEOUT, TcpStream::connect(addr)).await, Ok(Ok(_)))
}
