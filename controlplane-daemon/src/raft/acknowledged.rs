//! What each follower has acknowledged to this node as leader, so that one that has it no more is named.
//!
//! A follower acknowledges what its disk has. If the end of its log is gone when it comes back, it cannot tell that from
//! what a crash kept from being written. The leader can, for as long as it leads. What was acknowledged to another leader
//! is not known here, and may be gone with good reason: what was not committed goes when leadership changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use parking_lot::Mutex;
use vocab::NodeId;

use super::types::{LogId, Types};

/// Every node that this one has ever called.
#[derive(Clone, Debug, Default)]
pub struct Followers {
    known: Arc<Mutex<BTreeMap<NodeId, Follower>>>,
}

impl Followers {
    pub fn get(&self, id: NodeId) -> Follower {
        self.known.lock().entry(id).or_insert_with(|| Follower { id, acknowledged: Arc::default() }).clone()
    }

    /// When it begins to follow: this node was elected, or that one is a member now. One that was a member before may have
    /// been emptied in between.
    pub fn begin(&self, id: NodeId) -> Follower {
        let follower = self.get(id);
        follower.acknowledged.lock().begin();
        // An alert sees the first loss as an increase.
        metrics::counter!("hj_cp_log_losses_total", "node" => id.to_string()).increment(0);
        follower
    }
}

/// Shared by all connections to it, which are on one thread: nobody waits for the lock.
#[derive(Clone, Debug)]
pub struct Follower {
    pub id: NodeId,
    acknowledged: Arc<Mutex<Acknowledged>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Acknowledged {
    epoch: Epoch,
    /// The index of the last entry.
    upto: Option<u64>,
}

/// A time in which what was acknowledged must stay. Answers to what was asked in another one say nothing: they may be
/// late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Epoch {
    term: u64,
    begun: u64,
}

/// An append, without its entries.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    epoch: Epoch,
    pub previous: Option<LogId>,
    pub last: Option<LogId>,
}

impl Follower {
    /// To be called when the append is sent.
    pub fn ask(&self, request: &AppendEntriesRequest<Types>) -> Question {
        let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        let epoch = self.acknowledged.lock().epoch_of(request.vote.leader_id.term);
        Question { epoch, previous: request.prev_log_id, last }
    }

    /// `log_end` is where the follower says that its log ends.
    pub fn answered(&self, question: &Question, reply: &AppendEntriesResponse<Types>, log_end: Option<u64>) {
        let Some(Loss { acknowledged, missing }) = self.acknowledged.lock().answered(question, reply) else { return };
        metrics::counter!("hj_cp_log_losses_total", "node" => self.id.to_string()).increment(1);
        let has = match log_end {
            None => "unknown".to_owned(),
            Some(0) => "nothing".to_owned(),
            Some(end) => (end - 1).to_string(),
        };
        tracing::error!(
            node = %self.id,
            acknowledged,
            missing,
            has,
            "a node has lost the end of its log, which it had acknowledged: it was given an empty data directory, or its \
             disk loses what it says is written, and is to be replaced. The node is filled again; until it has caught \
             up, the cluster bears one failure less than its size says"
        );
    }
}

/// By the index of the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Loss {
    acknowledged: u64,
    missing: u64,
}

impl Acknowledged {
    fn begin(&mut self) {
        self.epoch.begun += 1;
        self.upto = None;
    }

    fn epoch_of(&mut self, term: u64) -> Epoch {
        if term > self.epoch.term {
            self.epoch.term = term;
            self.begin();
        }
        // Of a term that is over, it is not the epoch that there is now.
        Epoch { term, ..self.epoch }
    }

    fn answered(&mut self, question: &Question, reply: &AppendEntriesResponse<Types>) -> Option<Loss> {
        if question.epoch != self.epoch {
            return None;
        }
        let took = match reply {
            AppendEntriesResponse::Success => question.last,
            AppendEntriesResponse::PartialSuccess(upto) => *upto,
            AppendEntriesResponse::HigherVote(_) => None,
            AppendEntriesResponse::Conflict => {
                let missing = question.previous?.index;
                let acknowledged = self.upto.filter(|upto| missing <= *upto)?;
                // Whatever is on its way tells of the same loss.
                self.begin();
                return Some(Loss { acknowledged, missing });
            }
        };
        self.upto = self.upto.max(took.map(|id| id.index));
        None
    }
}

#[cfg(test)]
mod tests {
    use openraft::raft::AppendEntriesResponse::{Conflict, HigherVote, PartialSuccess, Success};

    use super::super::types::{LeaderId, Vote};
    use super::*;

    const LEADER: u64 = 1;

    fn at(term: u64, index: u64) -> LogId {
        LogId { leader_id: LeaderId { term, node_id: LEADER }, index }
    }

    /// An append of nothing behind `previous`, by the leader of `term`.
    fn ask(follower: &Follower, term: u64, previous: Option<u64>) -> Question {
        let vote = Vote { leader_id: LeaderId { term, node_id: LEADER }, committed: true };
        let prev_log_id = previous.map(|index| at(term, index));
        follower.ask(&AppendEntriesRequest { vote, prev_log_id, entries: Vec::new(), leader_commit: None })
    }

    fn loss(follower: &Follower, question: &Question, reply: &AppendEntriesResponse<Types>) -> Option<(u64, u64)> {
        let loss = follower.acknowledged.lock().answered(question, reply)?;
        Some((loss.acknowledged, loss.missing))
    }

    fn follower() -> Follower {
        Followers::default().get(NodeId(2))
    }

    #[test]
    fn what_was_acknowledged_and_is_gone_is_a_loss_once() {
        let it = follower();
        let heartbeat = ask(&it, 3, Some(10));
        assert_eq!(loss(&it, &ask(&it, 3, Some(10)), &PartialSuccess(Some(at(3, 12)))), None);
        let late = ask(&it, 3, Some(12));
        assert_eq!(loss(&it, &ask(&it, 3, Some(13)), &Conflict), None, "that was never acknowledged");
        assert_eq!(loss(&it, &ask(&it, 3, Some(12)), &Conflict), Some((12, 12)));
        assert_eq!(loss(&it, &late, &Conflict), None, "the same loss");
        // It is filled again, and only then comes what was under way for long.
        assert_eq!(loss(&it, &ask(&it, 3, Some(14)), &Success), None);
        assert_eq!(loss(&it, &heartbeat, &Conflict), None, "the same loss, though all is there again");
        assert_eq!(loss(&it, &ask(&it, 3, Some(4)), &Conflict), Some((14, 4)), "another one");
    }

    #[test]
    fn what_another_leader_was_told_is_none() {
        let it = follower();
        let before = ask(&it, 3, Some(9));
        assert_eq!(loss(&it, &ask(&it, 3, Some(10)), &Success), None);
        let higher = Vote { leader_id: LeaderId { term: 5, node_id: 3 }, committed: true };
        assert_eq!(loss(&it, &ask(&it, 3, Some(10)), &HigherVote(higher)), None);
        // Elected again: somebody else has overwritten it in between.
        assert_eq!(loss(&it, &ask(&it, 6, Some(10)), &Conflict), None);
        assert_eq!(loss(&it, &ask(&it, 6, Some(7)), &Success), None);
        assert_eq!(loss(&it, &before, &Success), None, "late");
        assert_eq!(loss(&it, &ask(&it, 3, Some(5)), &Conflict), None, "by a task that has not heard of it yet");
        assert_eq!(loss(&it, &ask(&it, 6, Some(8)), &Conflict), None, "late words changed nothing");
        assert_eq!(loss(&it, &ask(&it, 6, Some(7)), &Conflict), Some((7, 7)));
    }

    #[test]
    fn a_member_that_is_new_owes_nothing() {
        let followers = Followers::default();
        let it = followers.begin(NodeId(2));
        assert_eq!(loss(&it, &ask(&it, 3, Some(10)), &Success), None);
        let before = ask(&it, 3, Some(10));
        let again = followers.begin(NodeId(2));
        for question in [ask(&again, 3, Some(5)), before] {
            assert_eq!(loss(&it, &question, &Conflict), None);
        }
        assert_eq!(loss(&again, &ask(&again, 3, None), &PartialSuccess(None)), None);
        assert_eq!(loss(&again, &ask(&again, 3, Some(0)), &Conflict), None, "it had nothing");
    }
}
