//! Membership changes, at the leader: looked at first, then committed by Raft, then written into the table of nodes.

mod asking;
mod promotion;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use controlplane_core::model::{NodeSource, NodeSpec, Promotion};
use controlplane_core::{Command, Mutation, Note};
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{BasicNode, ChangeMembers};
use shared_proto::peer;
use tokio::time::Instant;
use vocab::NodeId;

use self::promotion::check_promotion;
pub(super) use self::view::View;
use super::cluster::{Cluster, Failure, QUESTION_TIMEOUT};
use super::types::LogId;
use crate::membership::{Admission, Caution, Changed, Data, MemberChange, MemberError, MemberRequest, check_quorum};

type Members = ChangeMembers<u64, BasicNode>;

/// A change of voters is two entries; without a majority they never come.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// What a node that may have come back just now gets to be heard.
const HEARING: Duration = Duration::from_millis(1500);
/// What a node that goes gets to hear that it votes no more.
const FAREWELL: Duration = Duration::from_secs(2);
/// What a successor gets to take over.
const TRANSFER: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

impl Cluster {
    /// At the leader; anybody else answers that it is none.
    pub async fn carry_out(&self, request: &MemberRequest) -> Result<Changed, MemberError> {
        if self.view().is_none() {
            return Err(MemberError::NoLeader);
        }
        // One after the other: each is judged by what the one before it has left.
        let _turn = self.changing.lock().await;
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        while self.is_so(&self.leading()?, &request.change) {
            if self.membership_at().is_none_or(|at| at.index <= self.committed().0) {
                return Ok(self.as_it_is());
            }
            // What another request has begun, and may yet be lost with this leader.
            if Instant::now() >= deadline {
                return Err(MemberError::OutcomeUnknown);
            }
            self.something_changed(deadline).await;
        }
        let outcome = match &request.change {
            MemberChange::Add { id, spec } => self.add(*id, spec.clone(), request).await,
            MemberChange::Join { id, spec, data } => self.join(*id, spec.clone(), *data, request).await,
            MemberChange::Promote { id } => self.promote(*id, request).await,
            MemberChange::Demote { id, caution } => self.demote(*id, *caution, request).await,
            MemberChange::Remove { id, caution } => self.remove(*id, *caution, request).await,
            MemberChange::Transfer { to } => self.transfer(*to).await,
        };
        self.report(request, &outcome);
        outcome
    }

    async fn add(&self, id: NodeId, spec: NodeSpec, request: &MemberRequest) -> Result<Changed, MemberError> {
        let view = self.leading()?;
        check_spec(&spec)?;
        if view.nodes.contains(&id.0) {
            return Err(MemberError::Conflict(format!("node {id} is a member already")));
        }
        if let Some(promotion) = &spec.promotion {
            check_promotion(&view, promotion)?;
        }
        if let Some(other) = self.at_address(&spec.peer_addr, id).await {
            return Err(MemberError::Conflict(format!("{} is the address of node {other}", spec.peer_addr)));
        }
        // The record first: it says what is to become of the member.
        self.put(id, spec.clone(), request).await?;
        let node = BasicNode::new(&spec.peer_addr);
        self.commit(ChangeMembers::AddNodes(BTreeMap::from([(id.0, node)])), Leavers::Stay).await
    }

    /// Whether that very node answers at that very address: elsewhere it may answer already, since it has moved.
    async fn is_at(&self, id: NodeId, addr: &str) -> bool {
        let Ok(mut client) = self.peers.client_at(id, addr) else { return false };
        let asked = tokio::time::timeout(QUESTION_TIMEOUT, client.describe(peer::DescribeRequest::default())).await;
        matches!(asked, Ok(Ok(_)))
    }

    async fn join(
        &self,
        id: NodeId,
        mut spec: NodeSpec,
        data: Data,
        request: &MemberRequest,
    ) -> Result<Changed, MemberError> {
        let view = self.leading()?;
        check_spec(&spec)?;
        let known = self.replica.read(|state| state.node(id).cloned());
        if let Some(other) = self.at_address(&spec.peer_addr, id).await {
            return Err(MemberError::Refused(format!("{} is the address of node {other}", spec.peer_addr)));
        }
        if view.nodes.contains(&id.0) {
            // It is on its way out. A leader is not: it was taken for lost, and the cluster made of it alone.
            if id.0 != view.me && known.as_ref().is_some_and(|known| known.removed_at.is_some()) {
                return Err(MemberError::Removed(id));
            }
            if let Some(known) = known.filter(|known| known.removed_at.is_none()) {
                let moved = known.spec.peer_addr != spec.peer_addr;
                if moved && id.0 != view.me && self.is_at(id, &known.spec.peer_addr).await {
                    let why =
                        format!("node {id} is at {} and answers there: is its id used twice?", known.spec.peer_addr);
                    return Err(MemberError::Conflict(why));
                }
                self.peers.hear(id, &spec.peer_addr);
                spec.source = known.spec.source;
                spec.promotion.clone_from(&known.spec.promotion);
                if spec == known.spec {
                    return Ok(Changed { log_index: known.revision.0 });
                }
                if moved {
                    tracing::info!(node = %id, from = known.spec.peer_addr, to = spec.peer_addr, "a node has moved");
                }
            } else {
                self.peers.hear(id, &spec.peer_addr);
                spec.source = NodeSource::Static;
            }
            return self.put(id, spec, request).await;
        }
        // Who went before it had told where it is has no record at all.
        if data == Data::OfThisCluster && known.is_none_or(|known| known.removed_at.is_some()) {
            return Err(MemberError::Removed(id));
        }
        spec.promotion = match self.admission {
            Admission::Nobody => {
                let why = "this cluster takes in only nodes that an administrator has added";
                return Err(MemberError::Refused(why.to_owned()));
            }
            Admission::Learner => None,
            Admission::Voter => Some(Promotion::default()),
        };
        let agreed = self.proposals.agreed_level();
        if spec.feature_level < agreed {
            let why = format!("the node is of feature level {}, this cluster of {agreed}", spec.feature_level);
            return Err(MemberError::Refused(why));
        }
        tracing::info!(node = %id, address = spec.peer_addr, source = spec.source.as_str(), "a node joins");
        self.add(id, spec, request).await
    }

    /// Who else is there: named by the table, and it answers. The address of one that is dead is free for another.
    async fn at_address(&self, addr: &str, but: NodeId) -> Option<NodeId> {
        let named: Vec<NodeId> = self.replica.read(|state| {
            let there = state.nodes().filter(|node| node.removed_at.is_none() && node.id != but);
            there.filter(|node| node.spec.peer_addr == addr).map(|node| node.id).collect()
        });
        for other in named {
            if other == self.node_id() || self.is_at(other, addr).await {
                return Some(other);
            }
        }
        None
    }

    /// Whether that is how things are. Then it is neither done nor noted.
    fn is_so(&self, view: &View, change: &MemberChange) -> bool {
        let role = |id: &NodeId, votes| {
            view.nodes.contains(&id.0) && view.voters.contains(&id.0) == votes && self.promotion_of(*id).is_none()
        };
        match change {
            MemberChange::Promote { id } => role(id, true),
            MemberChange::Demote { id, .. } => role(id, false),
            MemberChange::Transfer { to } => to.is_some_and(|to| to.0 == view.me),
            MemberChange::Add { .. } | MemberChange::Join { .. } | MemberChange::Remove { .. } => false,
        }
    }

    async fn demote(&self, id: NodeId, caution: Caution, request: &MemberRequest) -> Result<Changed, MemberError> {
        let view = self.leading()?;
        if !view.nodes.contains(&id.0) {
            return Err(MemberError::NotAMember(id));
        }
        let votes = view.voters.contains(&id.0);
        if votes {
            self.check_departure(id, caution).await?;
        }
        // First, or it would be promoted again.
        let changed = self.clear_promotion(id, request).await?;
        if votes {
            return self.commit(ChangeMembers::RemoveVoters(BTreeSet::from([id.0])), Leavers::Stay).await;
        }
        Ok(changed)
    }

    async fn remove(&self, id: NodeId, caution: Caution, request: &MemberRequest) -> Result<Changed, MemberError> {
        let view = self.leading()?;
        if !view.nodes.contains(&id.0) {
            return Err(MemberError::NotAMember(id));
        }
        if view.voters.contains(&id.0) {
            self.check_departure(id, caution).await?;
            let is_forced = caution == Caution::Forced;
            if is_forced {
                // Perhaps the last thing that a majority takes for now: by this whoever leads then finishes it.
                self.mark_removed(id, request).await?;
            }
            // First a learner, and told so: one that does not know that it votes no more would go on standing.
            let voted = self.commit(ChangeMembers::RemoveVoters(BTreeSet::from([id.0])), Leavers::Stay).await;
            let changed = voted.map_err(|why| if is_forced { MemberError::OutcomeUnknown } else { why })?;
            self.wait_for(id, changed.log_index, &view).await;
        }
        self.commit(ChangeMembers::RemoveNodes(BTreeSet::from([id.0])), Leavers::Go).await?;
        self.mark_removed(id, request).await
    }

    /// Whether a voter may go. The leader itself hands over first; then its successor is asked.
    async fn check_departure(&self, id: NodeId, caution: Caution) -> Result<(), MemberError> {
        let fine = |view: &View| {
            let mut after = view.voters.clone();
            after.remove(&id.0);
            check_quorum(&after, |id| view.answers(id))
        };
        let view = self.hearing(|view| fine(view).is_ok()).await?;
        if view.voters.len() <= 1 {
            return Err(MemberError::QuorumAtRisk(format!("node {id} is the only voter")));
        }
        match fine(&view) {
            Err(why) if caution == Caution::Careful => return Err(why),
            _ => {}
        }
        if id.0 == view.me {
            self.transfer(None).await?;
            return Err(MemberError::NoLeader);
        }
        Ok(())
    }

    async fn transfer(&self, to: Option<NodeId>) -> Result<Changed, MemberError> {
        let view = self.hearing(|view| to.is_none_or(|to| view.answers(to.0))).await?;
        let tried = BTreeSet::new();
        let Some(to) = to.or_else(|| self.successor(&tried)) else {
            return Err(MemberError::Conflict("there is no other voter".to_owned()));
        };
        if !view.voters.contains(&to.0) {
            return Err(if view.nodes.contains(&to.0) {
                MemberError::Conflict(format!("node {to} is a learner: it cannot lead"))
            } else {
                MemberError::NotAMember(to)
            });
        }
        if !view.answers(to.0) {
            return Err(MemberError::Conflict(format!("node {to} does not answer")));
        }
        self.raft.trigger().transfer_leader(to.0).await.map_err(|_| MemberError::OutcomeUnknown)?;
        let deadline = Instant::now() + TRANSFER;
        while self.leader() != Some(to) {
            if Instant::now() >= deadline {
                return Err(MemberError::Conflict(format!("node {to} did not take over in time")));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(self.as_it_is())
    }

    fn leading(&self) -> Result<View, MemberError> {
        self.view().ok_or(MemberError::NoLeader)
    }

    /// The view; a little later when it does not look as it should, so that who has just come back is heard.
    async fn hearing(&self, good: impl Fn(&View) -> bool) -> Result<View, MemberError> {
        let deadline = Instant::now() + HEARING;
        loop {
            let view = self.leading()?;
            if good(&view) || Instant::now() >= deadline {
                return Ok(view);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits, if it answers, until the node has that position and knows it to be committed.
    async fn wait_for(&self, id: NodeId, log_index: u64, view: &View) {
        let deadline = Instant::now() + FAREWELL;
        while view.answers(id.0) && Instant::now() < deadline {
            match self.view() {
                Some(now) if now.matched.get(&id.0).is_some_and(|matched| *matched >= log_index) => return,
                Some(_) => tokio::time::sleep(PAUSE).await,
                None => return,
            }
        }
    }

    fn as_it_is(&self) -> Changed {
        Changed { log_index: self.replica.applied().0 }
    }

    pub(super) async fn commit(&self, change: Members, leavers: Leavers) -> Result<Changed, MemberError> {
        let before = self.membership_at();
        let committed = self.raft.change_membership(change, leavers == Leavers::Stay);
        match tokio::time::timeout(COMMIT_TIMEOUT, committed).await {
            Ok(Ok(done)) => Ok(Changed { log_index: done.log_id.index }),
            // Of a change of two steps the second is refused, too, once this node does not lead any more.
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) if self.membership_at() == before => {
                Err(MemberError::NoLeader)
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(why)))) => {
                Err(MemberError::Conflict(why.to_string()))
            }
            Ok(Err(_)) | Err(_) => Err(MemberError::OutcomeUnknown),
        }
    }

    /// Where the newest membership that this node knows of stands in the log.
    fn membership_at(&self) -> Option<LogId> {
        *self.raft.metrics().borrow_watched().membership_config.log_id()
    }

    async fn put(&self, id: NodeId, spec: NodeSpec, request: &MemberRequest) -> Result<Changed, MemberError> {
        self.write(Mutation::NodePut { id, spec }, request).await
    }

    async fn mark_removed(&self, id: NodeId, request: &MemberRequest) -> Result<Changed, MemberError> {
        if self.replica.read(|state| state.node(id).is_none_or(|node| node.removed_at.is_some())) {
            return Ok(self.as_it_is());
        }
        self.write(Mutation::NodeRemove { id }, request).await
    }

    async fn write(&self, mutation: Mutation, request: &MemberRequest) -> Result<Changed, MemberError> {
        let origin = request.origin.clone();
        let command = Command { origin, ..Command::new(request.actor.clone(), mutation) };
        match self.propose(command).await {
            Ok(applied) => Ok(Changed { log_index: applied.revision.0 }),
            Err(Failure::Rejected(why)) => Err(MemberError::Conflict(why.to_string())),
            Err(Failure::NoLeader | Failure::Stopping) => Err(MemberError::NoLeader),
            Err(Failure::Unknown | Failure::KeyGeneration | Failure::TooNew | Failure::TooLarge) => {
                Err(MemberError::OutcomeUnknown)
            }
        }
    }

    /// Into the log and the audit. What only writes a record is audited as the mutation that it is.
    fn report(&self, request: &MemberRequest, outcome: &Result<Changed, MemberError>) {
        let refused = |why: &MemberError| !matches!(why, MemberError::NoLeader | MemberError::OutcomeUnknown);
        match (&request.change, outcome) {
            (MemberChange::Join { id, spec, .. }, Err(why)) if refused(why) => {
                metrics::counter!("hj_cp_joins_refused_total").increment(1);
                let from = request.origin.address.as_deref();
                tracing::warn!(node = %id, address = spec.peer_addr, from, %why, "a node that asked to join was refused");
                let (node_id, address) = (Some(*id), spec.peer_addr.clone());
                self.notes.note(Note::JoinRefused { node_id, address, why: why.to_string() });
            }
            (MemberChange::Join { .. }, _) => {}
            (change, Ok(_)) => {
                tracing::info!(?change, actor = ?request.actor, "the membership was changed");
                let (action, node, forced) = describe(change);
                self.notes.note(Note::MembershipChanged {
                    actor: request.actor.clone(),
                    origin: request.origin.clone(),
                    action: action.to_owned(),
                    node,
                    forced,
                });
            }
            (change, Err(why)) => {
                tracing::warn!(?change, actor = ?request.actor, %why, "the membership stays as it is");
            }
        }
    }
}

/// What becomes of voters that vote no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leavers {
    /// They are learners from now on.
    Stay,
    Go,
}

fn describe(change: &MemberChange) -> (&'static str, Option<NodeId>, bool) {
    let forced = |caution: &Caution| *caution == Caution::Forced;
    match change {
        MemberChange::Add { id, .. } | MemberChange::Join { id, .. } => ("add", Some(*id), false),
        MemberChange::Promote { id } => ("promote", Some(*id), false),
        MemberChange::Demote { id, caution } => ("demote", Some(*id), forced(caution)),
        MemberChange::Remove { id, caution } => ("remove", Some(*id), forced(caution)),
        MemberChange::Transfer { to } => ("transfer_leader", *to, false),
    }
}

fn check_spec(spec: &NodeSpec) -> Result<(), MemberError> {
    spec.validate().into_result().map_err(MemberError::Invalid)
}
