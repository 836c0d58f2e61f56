//! The whole cluster as one node sees it: proposals and reads that find the leader, and questions to every peer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use controlplane_core::{Applied, Command, Rejection};
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver as _;
use shared_proto::peer;
use shared_proto::status::error_code;
use telemetry::held::Held;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument as _;
use vocab::{ErrorCode, NodeId, Revision};

use super::binding::Binding;
use super::contact::Contact;
use super::peers::{Client, Peers, Purpose, never_arrived, refused_connection};
use super::proposals::{Done, MAX_ENTRY_BYTES, NotHere, Proposals};
use super::replica::Replica;
use super::types::Raft;
use crate::audit::Notes;
use crate::cluster_status::{ClusterStatus, Member, NodeRole};
use crate::fleet::{NodePods, Pod};
use crate::membership::Admission;

/// How long a proposal waits for somebody to lead. A failover takes about one second.
const LEADER_WAIT: Duration = Duration::from_secs(3);
/// A little more than the leader's own limit, so that its answer comes before ours.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(11);
/// What a leader that another one has replaced still gets to answer.
const DEPOSED_GRACE: Duration = Duration::from_millis(500);
/// A question that needs no disk.
pub(super) const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// What one voter gets to take over leadership; it needs one round of votes.
const HAND_OVER_TRY: Duration = Duration::from_secs(1);
/// A pause before asking again when nothing tells us that something changed.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Why a command came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    Rejected(Rejection),
    NoLeader,
    Unknown,
    KeyGeneration,
    TooNew,
    TooLarge,
    Stopping,
}

impl Failure {
    /// The label of `hj_cp_proposal_failures_total`; a change that was refused was carried out as it should be.
    const fn label(&self) -> Option<&'static str> {
        match self {
            Self::Rejected(_) => None,
            Self::NoLeader => Some("no_leader"),
            Self::Unknown => Some("unknown"),
            Self::KeyGeneration => Some("key_generation"),
            Self::TooNew => Some("too_new"),
            Self::TooLarge => Some("too_large"),
            Self::Stopping => Some("stopping"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Cluster {
    pub raft: Raft,
    pub replica: Arc<Replica>,
    pub proposals: Proposals,
    pub peers: Peers,
    pub notes: Notes,
    /// What a node that asks to be taken in may become.
    pub admission: Admission,
    pub contact: Contact,
    /// Which cluster this is.
    pub binding: Binding,
    /// Held by who changes the membership.
    pub changing: Arc<tokio::sync::Mutex<()>>,
    /// In whose words, when the cluster has said that this node is not in it any more.
    pub dismissal: watch::Sender<Option<String>>,
    /// Why this node, which is to make a cluster, has not done so.
    pub unfounded: watch::Sender<Option<String>>,
    /// Cancelled when this node's cluster came to nothing: then it is to start as a new one.
    pub retreat: CancellationToken,
}

/// What a node says of its pods.
#[derive(Debug)]
pub enum PodsAnswer {
    Pods(NodePods),
    /// Nobody listens there: a node that is down has no pods.
    Down,
    Unreachable,
}

enum Attempt {
    Done(Done),
    /// Nothing was proposed: try again as long as there is time.
    Again,
    Failed(Failure),
}

impl Cluster {
    pub fn node_id(&self) -> NodeId {
        NodeId(*self.raft.node_id())
    }

    /// The leader, as long as this node is in touch with it.
    pub fn leader(&self) -> Option<NodeId> {
        self.contact.leader(&self.raft.metrics().borrow_watched())
    }

    /// How long ago this node last heard a leader or, leading, a majority; `None`: not since its start.
    pub fn silence(&self) -> Option<Duration> {
        self.contact.silence(&self.raft.metrics().borrow_watched())
    }

    /// Whether `sender` has nothing to say in Raft: it is no member, as far as this node knows, and this node is in touch
    /// with a leader that is somebody else. A node that was removed and does not know it would otherwise depose that
    /// leader with a higher term.
    ///
    /// Without a leader everybody is heard: a node that was away may not know the members that came meanwhile, nor one
    /// that comes new anybody at all.
    pub fn turns_away(&self, sender: NodeId) -> bool {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let is_member = now.membership_config.membership().get_node(&sender.0).is_some();
        !is_member && self.contact.leader(&now).is_some_and(|leader| leader != sender)
    }

    /// Whether `sender` may hear what this node knows: members only, leader or none. One that this node does not know yet
    /// can ask again; what was told is not taken back. A node without a log knows no members, and has nothing to tell.
    pub fn confides_in(&self, sender: NodeId) -> bool {
        self.is_blank() || self.is_member(sender)
    }

    pub fn is_member(&self, node: NodeId) -> bool {
        self.raft.metrics().borrow_watched().membership_config.membership().get_node(&node.0).is_some()
    }

    /// The newest revision that is known here to be on a majority of disks.
    pub fn committed(&self) -> Revision {
        let committed = self.raft.metrics().borrow_watched().cluster_committed.map_or(0, |id| id.index);
        Revision(committed).max(self.replica.applied())
    }

    pub fn is_stopping(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.running_state.is_err() || metrics.state == ServerState::Shutdown
    }

    /// Answers once the entry is applied here.
    pub async fn propose(&self, command: Command) -> Result<Applied, Failure> {
        let span = tracing::trace_span!(target: telemetry::TRACE, "propose", mutation = command.mutation.name());
        let _held = Held::of(&metrics::gauge!("hj_cp_proposals_in_flight"));
        let done = self.until_applied(command).instrument(span).await;
        if let Some(why) = done.as_ref().err().and_then(Failure::label) {
            metrics::counter!("hj_cp_proposal_failures_total", "why" => why).increment(1);
        }
        done
    }

    async fn until_applied(&self, mut command: Command) -> Result<Applied, Failure> {
        // Whoever carries it out goes on with this span, not with its caller's.
        command.origin.traceparent = telemetry::context::current();
        let deadline = Instant::now() + LEADER_WAIT;
        // What there is to say when time runs out: once an attempt may have been committed, no longer that nothing was.
        let mut otherwise = Failure::NoLeader;
        loop {
            match self.attempt(&command).await {
                Attempt::Done(done) => {
                    // A refusal, too, is about a state that the caller must be able to see.
                    let reached = self.replica.reach(Revision(done.log_index));
                    return match tokio::time::timeout(FORWARD_TIMEOUT, reached).await {
                        Ok(()) => done.outcome.map_err(Failure::Rejected),
                        Err(_) => Err(Failure::Unknown),
                    };
                }
                // A request that carries an id is applied once however often it is sent.
                Attempt::Failed(Failure::Unknown) if command.request_id.is_some() => otherwise = Failure::Unknown,
                Attempt::Failed(failure) => return Err(failure),
                Attempt::Again => {}
            }
            if self.is_stopping() && otherwise == Failure::NoLeader {
                otherwise = Failure::Stopping;
            }
            if otherwise == Failure::Stopping || Instant::now() >= deadline {
                return Err(otherwise);
            }
            self.something_changed(deadline).await;
        }
    }

    async fn attempt(&self, command: &Command) -> Attempt {
        match self.leader() {
            Some(leader) if leader == self.node_id() => match self.proposals.propose(command).await {
                Ok(done) => Attempt::Done(done),
                Err(NotHere::NotLeader) => Attempt::Again,
                Err(NotHere::Unknown) => Attempt::Failed(Failure::Unknown),
                Err(NotHere::KeyGeneration) => Attempt::Failed(Failure::KeyGeneration),
                Err(NotHere::TooNew) => Attempt::Failed(Failure::TooNew),
                Err(NotHere::TooLarge) => Attempt::Failed(Failure::TooLarge),
            },
            Some(leader) => self.forward(leader, command).await,
            None => Attempt::Again,
        }
    }

    async fn forward(&self, leader: NodeId, command: &Command) -> Attempt {
        let Some(mut client) = self.client(leader) else { return Attempt::Again };
        let json = serde_json::to_vec(command).expect("a command has string keys and serializes");
        // The leader would refuse it, too, if it could be sent so far: the entry is longer than the command.
        if json.len() > MAX_ENTRY_BYTES {
            return Attempt::Failed(Failure::TooLarge);
        }
        let request = peer::ForwardRequest { command: json.into() };
        let reply = tokio::select! {
            reply = tokio::time::timeout(FORWARD_TIMEOUT, client.forward(request)) => match reply {
                Ok(Ok(reply)) => reply.into_inner(),
                Ok(Err(status)) => return refused(&status),
                Err(_) => return Attempt::Failed(Failure::Unknown),
            },
            // It hangs or is cut off: with a request id its successor tells what became of the command.
            () = self.deposed(leader) => return Attempt::Failed(Failure::Unknown),
        };
        match serde_json::from_slice(&reply.outcome) {
            Ok(outcome) => Attempt::Done(Done { outcome, log_index: reply.log_index }),
            Err(_) => Attempt::Failed(Failure::Unknown),
        }
    }

    /// Returns a moment after somebody else has taken `leader`'s place: one that handed over in order answers meanwhile.
    async fn deposed(&self, leader: NodeId) {
        let mut servers = self.raft.server_metrics();
        while servers.borrow_watched().current_leader.is_none_or(|now| now == leader.0) {
            if servers.changed().await.is_err() {
                // Raft has ended; the caller's own limit holds.
                std::future::pending::<()>().await;
            }
        }
        tokio::time::sleep(DEPOSED_GRACE).await;
    }

    /// The position that a linearizable read must have applied; `None` when no leader answers before `deadline`.
    pub async fn read_index(&self, deadline: Instant) -> Option<u64> {
        loop {
            let index = match self.leader() {
                Some(leader) if leader == self.node_id() => {
                    timeout_at(deadline, self.proposals.read_index()).await.ok().flatten()
                }
                Some(leader) => match self.client(leader) {
                    Some(mut client) => {
                        let asked = timeout_at(deadline, client.read_index(peer::ReadIndexRequest {})).await;
                        asked.ok().and_then(Result::ok).map(|reply| reply.into_inner().log_index)
                    }
                    None => None,
                },
                None => None,
            };
            if index.is_some() || Instant::now() >= deadline || self.is_stopping() {
                return index;
            }
            self.something_changed(deadline).await;
        }
    }

    /// Gives leadership to another voter, if this node leads and there is one that answers. Writes that come meanwhile
    /// wait and go to the successor.
    pub async fn hand_over(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut tried = BTreeSet::new();
        while let Some(successor) = self.successor(&tried) {
            tried.insert(successor);
            let asked = Instant::now();
            if self.raft.trigger().transfer_leader(successor.0).await.is_err() {
                return;
            }
            let until = deadline.min(asked + HAND_OVER_TRY);
            let mut servers = self.raft.server_metrics();
            loop {
                if self.leader().is_some_and(|leader| leader != self.node_id()) {
                    tracing::info!(successor = ?self.leader(), took = ?asked.elapsed(), "leadership was handed over");
                    return;
                }
                if timeout_at(until, servers.changed()).await.is_err() {
                    break;
                }
            }
            if Instant::now() >= deadline {
                tracing::warn!("nobody took over leadership in time");
                return;
            }
        }
    }

    /// The voter with the most of the log, among equals the one heard last. None when this node does not lead.
    pub(super) fn successor(&self, but: &BTreeSet<NodeId>) -> Option<NodeId> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let (matched, heard) = (now.replication.as_ref()?, now.heartbeat.as_ref());
        let voters = now.membership_config.voter_ids().filter(|id| *id != now.id && !but.contains(&NodeId(*id)));
        voters
            .max_by_key(|id| {
                let heard = heard.and_then(|heard| heard.get(id).copied().flatten());
                (matched.get(id).copied().flatten().map(|log| log.index), heard.map(|at| *at))
            })
            .map(NodeId)
    }

    /// The leader's admin URL, as the leader tells it.
    pub async fn admin_url_of(&self, node: NodeId) -> Option<String> {
        let mut client = self.client(node)?;
        let asked = tokio::time::timeout(QUESTION_TIMEOUT, client.describe(peer::DescribeRequest::default())).await;
        asked.ok()?.ok()?.into_inner().admin_url
    }

    /// Asks Raft for a snapshot that includes `wanted`, and for cutting the log behind it; the position it is at. `None`
    /// when time runs out.
    pub async fn snapshot_now(&self, wanted: Revision, within: Duration) -> Option<Revision> {
        let mut metrics = self.raft.metrics();
        let done = async {
            loop {
                let newest = metrics.borrow_watched().snapshot;
                if let Some(at) = newest.filter(|at| at.index >= wanted.0) {
                    return Some(Revision(at.index));
                }
                self.raft.trigger().snapshot().await.ok()?;
                // Raft does not hear while it writes one: when that turns out to be too old, it is asked again.
                while metrics.borrow_watched().snapshot == newest {
                    metrics.changed().await.ok()?;
                }
            }
        };
        tokio::time::timeout(within, done).await.ok().flatten()
    }

    /// The ids of the master keys that a node holds, the one it seals with first; `None` when it does not answer.
    pub async fn master_keys_of(&self, node: NodeId) -> Option<Vec<String>> {
        let mut client = self.client(node)?;
        let asked = tokio::time::timeout(QUESTION_TIMEOUT, client.describe(peer::DescribeRequest::default())).await;
        Some(asked.ok()?.ok()?.into_inner().master_key_ids)
    }

    /// Every member but this node.
    pub fn others(&self) -> Vec<NodeId> {
        let membership = self.raft.metrics().borrow_watched().membership_config.clone();
        membership.nodes().map(|(id, _)| NodeId(*id)).filter(|id| *id != self.node_id()).collect()
    }

    pub fn status(&self) -> ClusterStatus {
        let view = self.view();
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let position = |id: Option<super::types::LogId>| Revision(id.map_or(0, |id| id.index));
        let voters: BTreeSet<u64> = now.membership_config.voter_ids().collect();
        ClusterStatus {
            node_id: self.node_id(),
            cluster_id: self.replica.cluster_id(),
            role: match now.state {
                ServerState::Leader if self.contact.leads(&now) => NodeRole::Leader,
                ServerState::Candidate => NodeRole::Candidate,
                ServerState::Learner => NodeRole::Learner,
                // A leader that no majority answers any more is none.
                ServerState::Leader | ServerState::Follower | ServerState::Shutdown => NodeRole::Follower,
            },
            leader: self.contact.leader(&now),
            term: now.current_term,
            commit: position(now.cluster_committed).max(self.replica.applied()),
            applied: self.replica.applied(),
            last_log: Revision(now.last_log_index.unwrap_or(0)),
            snapshot: position(now.snapshot),
            feature_level: self.replica.read(|state| state.agreed_level(voters.iter().copied().map(NodeId))),
            members: now
                .membership_config
                .nodes()
                .map(|(id, node)| Member {
                    id: NodeId(*id),
                    addr: self.peers.address(NodeId(*id), &node.addr),
                    voter: voters.contains(id),
                    answers: view.as_ref().map(|view| view.answers(*id)),
                    lag: view.as_ref().map(|view| view.lag(*id)),
                })
                .collect(),
        }
    }

    /// Asks `node` for its pods, which answers once they have acknowledged `revision` or `wait` is over.
    pub async fn pods_of(&self, node: NodeId, revision: Revision, wait: Duration) -> PodsAnswer {
        let Some(mut client) = self.client(node) else { return PodsAnswer::Unreachable };
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let request = peer::ListPodsRequest { acknowledged_revision: revision.0, wait_ms };
        match tokio::time::timeout(wait + QUESTION_TIMEOUT, client.list_pods(request)).await {
            Ok(Ok(reply)) => {
                let peer::ListPodsReply { pods, departed, applied_revision } = reply.into_inner();
                let read =
                    |pods: Vec<peer::Pod>| pods.into_iter().filter_map(|pod| Pod::from_wire(node, pod)).collect();
                let (connected, departed) = (read(pods), read(departed));
                PodsAnswer::Pods(NodePods { connected, departed, applied: Revision(applied_revision) })
            }
            Ok(Err(status)) if refused_connection(&status) => PodsAnswer::Down,
            Ok(Err(_)) | Err(_) => PodsAnswer::Unreachable,
        }
    }

    /// Returns once the log does not begin at the beginning any more.
    #[cfg(test)]
    pub async fn purged(&self) {
        let mut metrics = self.raft.metrics();
        while metrics.borrow_watched().purged.is_none() {
            metrics.changed().await.expect("Raft runs");
        }
    }

    pub(super) fn client(&self, node: NodeId) -> Option<Client> {
        let membership = self.raft.metrics().borrow_watched().membership_config.clone();
        let addr = membership.get_node(&node.0).map(|node| node.addr.clone()).unwrap_or_default();
        self.peers.client(node, &addr, Purpose::Requests).ok()
    }

    /// Returns when Raft's view of the servers changes, or after a short pause.
    pub async fn something_changed(&self, deadline: Instant) {
        let mut servers = self.raft.server_metrics();
        let until = deadline.min(Instant::now() + RETRY_PAUSE);
        // A fresh handle takes what is there for a change.
        let before = servers.borrow_watched().clone();
        let changed = async { while servers.changed().await.is_ok() && *servers.borrow_watched() == before {} };
        let _ = timeout_at(until, changed).await;
    }
}

fn refused(status: &Status) -> Attempt {
    match error_code(status) {
        Some(ErrorCode::NoLeader | ErrorCode::Unauthenticated) => Attempt::Again,
        Some(ErrorCode::Internal) => Attempt::Failed(Failure::KeyGeneration),
        Some(ErrorCode::UpgradeIncomplete) => Attempt::Failed(Failure::TooNew),
        Some(ErrorCode::PayloadTooLarge) => Attempt::Failed(Failure::TooLarge),
        None if never_arrived(status) => Attempt::Again,
        _ => Attempt::Failed(Failure::Unknown),
    }
}
