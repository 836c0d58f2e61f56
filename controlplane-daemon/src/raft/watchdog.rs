//! Who this node is, and when that changes: logged, counted, audited.

use controlplane_core::Note;
use openraft::{RaftMetrics, ServerState};
use vocab::NodeId;

use super::contact::Contact;
use super::types::Types;
use crate::audit::Notes;

/// What a node is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Leader,
    Candidate,
    Follower,
    /// A voter that hears no leader, or leads and hears no majority.
    LostLeader,
    Learner,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Candidate => "candidate",
            Self::Follower => "follower",
            Self::LostLeader => "lost_leader",
            Self::Learner => "learner",
        }
    }
}

#[derive(Debug)]
pub struct Watchdog {
    notes: Notes,
    role: Option<Role>,
}

impl Watchdog {
    pub fn new(notes: Notes) -> Self {
        Self { notes, role: None }
    }

    pub fn look(&mut self, now: &RaftMetrics<Types>, contact: &Contact) {
        let leader = contact.leader(now);
        let role = match (now.state, leader) {
            (ServerState::Leader, Some(_)) => Role::Leader,
            (ServerState::Candidate, _) => Role::Candidate,
            (ServerState::Follower, Some(_)) => Role::Follower,
            (ServerState::Leader | ServerState::Follower, None) => Role::LostLeader,
            (ServerState::Learner, _) => Role::Learner,
            (ServerState::Shutdown, _) => return,
        };
        let Some(before) = self.role.replace(role).filter(|before| *before != role) else { return };
        let (from, to) = (before.as_str(), role.as_str());
        metrics::counter!("hj_cp_role_transitions_total", "to" => to).increment(1);
        tracing::info!(from, to, term = now.current_term, ?leader, "this node's role has changed");
        let (node, term) = (NodeId(now.id), now.current_term);
        self.notes.note(Note::RoleTransition { node, from: from.to_owned(), to: to.to_owned(), term, leader });
    }
}
