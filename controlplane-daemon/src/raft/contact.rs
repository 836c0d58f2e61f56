//! Whether this node is in touch with its leader or, leading, with a majority.
//!
//! Raft itself goes by votes alone: a node that is cut off would name its old leader for ever, and an isolated leader
//! itself, long after the others have elected another. Nobody here may be told so, nor may a write wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::async_runtime::Instant as _;
use openraft::{RaftMetrics, ServerState};
use parking_lot::Mutex;
use vocab::NodeId;

use super::types::Types;

/// The moment that stands for "never".
const NEVER: u64 = u64::MAX;

#[derive(Clone, Debug)]
pub struct Contact {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Silence that is longer than this is no contact.
    patience: Duration,
    began: std::time::Instant,
    /// Milliseconds from `began` to the last append that was taken.
    heard_ms: AtomicU64,
    /// The term of the last election that this node is known to have won, and since when.
    won: Mutex<Option<(u64, std::time::Instant)>>,
}

impl Contact {
    pub fn new(patience: Duration) -> Self {
        let (began, heard_ms) = (std::time::Instant::now(), AtomicU64::new(NEVER));
        Self { inner: Arc::new(Inner { patience, began, heard_ms, won: Mutex::default() }) }
    }

    /// A leader's append was taken, if only an empty one.
    pub fn heard(&self) {
        let now = u64::try_from(self.inner.began.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.inner.heard_ms.store(now, Ordering::Relaxed);
    }

    pub fn patience(&self) -> Duration {
        self.inner.patience
    }

    /// The leader, as long as there is contact with it.
    pub fn leader(&self, now: &RaftMetrics<Types>) -> Option<NodeId> {
        now.current_leader.filter(|_| self.is_kept(now)).map(NodeId)
    }

    /// Whether this node leads a majority that answers.
    pub fn leads(&self, now: &RaftMetrics<Types>) -> bool {
        now.state == ServerState::Leader && self.is_kept(now)
    }

    fn is_kept(&self, now: &RaftMetrics<Types>) -> bool {
        self.silence(now).is_some_and(|silence| silence <= self.inner.patience)
    }

    /// How long ago this node last heard a leader or, leading, a majority; `None`: never.
    pub fn silence(&self, now: &RaftMetrics<Types>) -> Option<Duration> {
        if now.current_leader != Some(now.id) {
            let heard_ms = self.inner.heard_ms.load(Ordering::Relaxed);
            return (heard_ms != NEVER)
                .then(|| self.inner.began.elapsed().saturating_sub(Duration::from_millis(heard_ms)));
        }
        if now.membership_config.voter_ids().all(|id| id == now.id) {
            return Some(Duration::ZERO);
        }
        Some(match now.last_quorum_acked {
            Some(at) => at.elapsed(),
            // A majority has just voted for it. If none follows it, it is no leader: they may be another's by now.
            None => self.won(now.current_term).elapsed(),
        })
    }

    /// When the election of that term was won, as far as anybody has looked.
    fn won(&self, term: u64) -> std::time::Instant {
        let mut won = self.inner.won.lock();
        match *won {
            Some((of, at)) if of == term => at,
            _ => won.insert((term, std::time::Instant::now())).1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::types::{Membership, StoredMembership};
    use super::*;

    const ELECTED: u64 = 1;

    /// A leader of voters with these ids, whom nobody has answered yet.
    fn elected(voters: &[u64], term: u64) -> RaftMetrics<Types> {
        let mut now = RaftMetrics::new_initial(ELECTED);
        let voters: BTreeSet<u64> = voters.iter().copied().collect();
        let nodes = voters.iter().map(|id| (*id, openraft::BasicNode::new("")));
        let nodes: std::collections::BTreeMap<_, _> = nodes.collect();
        let membership = Membership::new(vec![voters], nodes).unwrap();
        now.membership_config = Arc::new(StoredMembership::new(None, membership));
        (now.state, now.current_leader, now.current_term) = (ServerState::Leader, Some(ELECTED), term);
        now
    }

    #[test]
    fn who_is_elected_and_not_followed_leads_for_a_while_only() {
        let patient = Contact::new(Duration::from_hours(1));
        assert!(patient.leads(&elected(&[1, 2, 3], 1)), "a majority has just voted for it");
        let contact = Contact::new(Duration::ZERO);
        let now = elected(&[1, 2, 3], 1);
        contact.won(1);
        assert!(!contact.leads(&now) && contact.leader(&now).is_none(), "nobody has followed it since");
        assert!(contact.leads(&elected(&[ELECTED], 1)), "it waits for nobody");
    }

    #[test]
    fn silence_counts_from_the_last_word_of_a_leader() {
        let contact = Contact::new(Duration::from_hours(1));
        let follower = RaftMetrics::new_initial(2);
        assert_eq!(contact.silence(&follower), None, "nobody was ever heard");
        contact.heard();
        assert!(contact.silence(&follower).is_some_and(|silence| silence < Duration::from_mins(1)));
        assert!(contact.leader(&follower).is_none(), "it was a leader, whoever");
        assert_eq!(contact.silence(&elected(&[ELECTED], 1)), Some(Duration::ZERO));
    }

    #[test]
    fn each_election_has_its_own_time() {
        let contact = Contact::new(Duration::ZERO);
        let first = contact.won(1);
        assert_eq!(contact.won(1), first);
        assert!(contact.won(2) > first);
    }
}
