//! A learner becomes a voter, and perhaps another member goes in the same step.

use std::collections::BTreeSet;

use controlplane_core::limits;
use controlplane_core::model::{NodeSpec, Promotion};
use openraft::ChangeMembers;
use vocab::NodeId;

use super::{Leavers, View};
use crate::membership::{Changed, MemberError, MemberRequest, check_quorum};
use crate::raft::cluster::Cluster;

impl Cluster {
    /// Also what a leader before has left of a promotion: the node votes already, but the one that it replaces is still
    /// there, or the record still asks for it.
    pub(super) async fn promote(&self, id: NodeId, request: &MemberRequest) -> Result<Changed, MemberError> {
        let view = self.hearing(|view| view.voters.contains(&id.0) || view.has_caught_up(id.0)).await?;
        if !view.nodes.contains(&id.0) {
            return Err(MemberError::NotAMember(id));
        }
        let pending = self.promotion_of(id);
        // Who was to be replaced may have gone before.
        let replaces = pending.as_ref().and_then(|it| it.replaces).filter(|old| view.nodes.contains(&old.0));
        let mut changes = Vec::new();
        if !view.voters.contains(&id.0) {
            if !view.answers(id.0) {
                return Err(MemberError::Conflict(format!("node {id} does not answer: it cannot vote")));
            }
            if !view.has_caught_up(id.0) {
                let lag = view.lag(id.0);
                return Err(MemberError::Conflict(format!("node {id} has not caught up: it lacks {lag} entries")));
            }
            check_promotion(&view, &Promotion { replaces })?;
            changes.push(ChangeMembers::AddVoterIds(BTreeSet::from([id.0])));
        }
        if let Some(old) = replaces {
            check_replaced(&view, old)?;
            let mut after = view.voters.clone();
            after.remove(&old.0);
            after.insert(id.0);
            check_quorum(&after, |id| view.answers(id))?;
            let goes = BTreeSet::from([old.0]);
            changes.push(if view.voters.contains(&old.0) {
                ChangeMembers::RemoveVoters(goes)
            } else {
                ChangeMembers::RemoveNodes(goes)
            });
        }
        let mut changed = self.as_it_is();
        if !changes.is_empty() {
            let leavers = if replaces.is_some() { Leavers::Go } else { Leavers::Stay };
            changed = self.commit(ChangeMembers::Batch(changes), leavers).await?;
        }
        if let Some(old) = replaces {
            changed = self.mark_removed(old, request).await?;
        }
        if pending.is_some() { self.clear_promotion(id, request).await } else { Ok(changed) }
    }

    pub(super) fn promotion_of(&self, id: NodeId) -> Option<Promotion> {
        self.replica.read(|state| state.node(id).and_then(|record| record.spec.promotion.clone()))
    }

    /// Whatever its record asked for: it does not any more.
    pub(super) async fn clear_promotion(&self, id: NodeId, request: &MemberRequest) -> Result<Changed, MemberError> {
        match self.replica.read(|state| state.node(id).map(|record| record.spec.clone())) {
            Some(spec) if spec.promotion.is_some() => self.put(id, NodeSpec { promotion: None, ..spec }, request).await,
            _ => Ok(self.as_it_is()),
        }
    }
}

pub(super) fn check_promotion(view: &View, promotion: &Promotion) -> Result<(), MemberError> {
    let goes = promotion.replaces.filter(|old| view.voters.contains(&old.0));
    let after = view.voters.len() + 1 - usize::from(goes.is_some());
    if after > limits::VOTERS {
        return Err(MemberError::TooManyVoters(limits::VOTERS as u64));
    }
    promotion.replaces.map_or(Ok(()), |old| check_replaced(view, old))
}

fn check_replaced(view: &View, old: NodeId) -> Result<(), MemberError> {
    if !view.nodes.contains(&old.0) {
        return Err(MemberError::NotAMember(old));
    }
    if old.0 == view.me {
        return Err(MemberError::Conflict(format!("node {old} leads: transfer leadership first")));
    }
    Ok(())
}
