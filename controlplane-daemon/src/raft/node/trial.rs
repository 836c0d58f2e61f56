//! What tests do to a node's Raft, and nobody else.

use openraft::raft::AppendEntriesRequest;

use super::Node;
use crate::raft::types::Types;
use crate::signature::layer::Caller;

impl Node {
    /// Has Raft's core panic.
    pub async fn break_down(&self) {
        let _ = self.cluster.raft.with_raft_state(|_| panic!("as a test wants it")).await;
    }

    /// As if `leader` had sent it; whether it was taken.
    pub async fn append(&self, leader: Caller, request: AppendEntriesRequest<Types>) -> bool {
        self.cluster.binding.admit(leader, || self.cluster.is_blank()).await.unwrap();
        self.cluster.raft.append_entries(request).await.is_ok_and(|reply| reply.is_success())
    }
}
