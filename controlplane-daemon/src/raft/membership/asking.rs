//! Asking whoever leads to change the membership, and hearing whether this node is still in it.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use shared_proto::peer;
use shared_proto::status::error_code;
use tokio::time::Instant;
use vocab::{ErrorCode, NodeId, Revision};

use super::PAUSE;
use crate::membership::{Changed, MemberError, MemberRequest};
use crate::raft::cluster::Cluster;

/// How long a request waits for somebody to lead.
const LEADER_WAIT: Duration = Duration::from_secs(3);
/// A little more than the leader's own limits together.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(16);

impl Cluster {
    /// Answers once the leader has carried it out, and this node has applied it.
    pub async fn ask(&self, request: &MemberRequest) -> Result<Changed, MemberError> {
        let deadline = Instant::now() + LEADER_WAIT;
        loop {
            let outcome = match self.leader() {
                Some(leader) if leader == self.node_id() => self.carry_out(request).await,
                Some(leader) => self.ask_node(leader, request).await,
                None => Err(MemberError::NoLeader),
            };
            match outcome {
                Ok(changed) => {
                    let reached = self.replica.reach(Revision(changed.log_index));
                    let _ = tokio::time::timeout(FORWARD_TIMEOUT, reached).await;
                    return Ok(changed);
                }
                Err(MemberError::NoLeader) if Instant::now() < deadline && !self.is_stopping() => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(why) => return Err(why),
            }
        }
    }

    /// Asks exactly that node. One that does not lead says so, and remembers where a node that joins is.
    pub async fn ask_node(&self, node: NodeId, request: &MemberRequest) -> Result<Changed, MemberError> {
        let mut client = self.client(node).ok_or(MemberError::NoLeader)?;
        let json = serde_json::to_vec(request).expect("a request has string keys and serializes");
        let message = peer::ChangeMembersRequest { request: json.into() };
        match tokio::time::timeout(FORWARD_TIMEOUT, client.change_members(message)).await {
            Ok(Ok(reply)) => {
                serde_json::from_slice(&reply.into_inner().outcome).unwrap_or(Err(MemberError::OutcomeUnknown))
            }
            Ok(Err(status)) if self.peers.went_astray(node, &status) => Err(MemberError::NoLeader),
            // It looked who asks before it looked at what.
            Ok(Err(status)) if error_code(&status) == Some(ErrorCode::Forbidden) => {
                Err(MemberError::Refused(status.message().to_owned()))
            }
            Ok(Err(_)) | Err(_) => Err(MemberError::OutcomeUnknown),
        }
    }

    pub fn is_blank(&self) -> bool {
        self.raft.metrics().borrow_watched().last_log_index.is_none()
    }

    /// Tells the leader, or every member that this node knows, where it is; and hears whether it still is a member.
    pub async fn announce(&self, request: &MemberRequest) -> Result<(), MemberError> {
        let outcome = match self.leader() {
            Some(leader) if leader == self.node_id() => self.carry_out(request).await,
            Some(leader) => match self.ask_node(leader, request).await {
                Err(MemberError::NoLeader | MemberError::OutcomeUnknown) => self.ask_around(request).await,
                answer => answer,
            },
            None => self.ask_around(request).await,
        };
        match &outcome {
            Ok(_) => self.reinstate(),
            Err(why @ MemberError::Removed(_)) => self.dismiss(why),
            Err(_) => {}
        }
        outcome.map(|_| ())
    }

    /// Each is told, since any may have to find this node; one that leads decides.
    async fn ask_around(&self, request: &MemberRequest) -> Result<Changed, MemberError> {
        let mut others = self.others();
        others.extend(self.peers.configured().filter(|id| self.is_blank() && *id != self.node_id()));
        let asked = others.iter().map(|id| self.ask_node(*id, request));
        let answers = futures::future::join_all(asked).await;
        let decided = |answer: &Result<Changed, MemberError>| {
            !matches!(answer, Err(MemberError::NoLeader | MemberError::OutcomeUnknown))
        };
        answers.into_iter().find(decided).unwrap_or(Err(MemberError::NoLeader))
    }

    /// The others have removed this node: it stands for no election any more and says so.
    fn dismiss(&self, why: &MemberError) {
        let why = why.to_string();
        if self.dismissal.send_if_modified(|known| known.replace(why.clone()).is_none()) {
            self.stand();
            tracing::error!(why, "this node is not in the cluster any more; it stands for no election");
        }
    }

    fn reinstate(&self) {
        if self.dismissal.send_if_modified(|known| known.take().is_some()) {
            self.stand();
            tracing::info!("this node is in the cluster again");
        }
    }

    /// Decides whether this node stands for elections: not when it was removed, nor while it is being filled. It goes by
    /// the memberships of long ago meanwhile, and who made the cluster was its only voter once: it would elect itself, and
    /// go on from there.
    pub fn stand(&self) {
        self.dismissal.send_if_modified(|dismissed| {
            self.raft.runtime_config().elect(dismissed.is_none() && self.filled_at().is_none());
            false
        });
    }

    /// While this node has less than it has heard to be committed: up to where that is.
    pub fn filled_at(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        let heard = now.cluster_committed.map(|id| id.index).max(self.binding.filled_at());
        heard.filter(|heard| Some(*heard) > now.last_log_index)
    }

    /// A node has said where it is. While there is a leader it judges that, and the table tells the others. Without one it is
    /// believed, or nobody who moved could be found, unless the node answers where it was: then its id is used twice.
    /// Remembered of members only, so that there is an end to it.
    pub async fn hear(&self, id: NodeId, addr: &str) {
        if self.leader().is_some() || !controlplane_core::validate::is_host_port(addr) {
            return;
        }
        let membership = self.raft.metrics().borrow_watched().membership_config.clone();
        let Some(node) = membership.get_node(&id.0) else { return };
        let known = self.peers.address(id, &node.addr);
        if known == addr || !self.is_at(id, &known).await {
            self.peers.hear(id, addr);
        }
    }
}
