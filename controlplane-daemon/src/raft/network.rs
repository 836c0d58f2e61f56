//! openraft's way to the peers: translation, deadlines, and which failures deserve a pause.

use std::time::Duration;

use futures::Stream;
use openraft::base::BoxFuture;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use prost::Message as _;
use shared_proto::peer;
use vocab::NodeId;

use super::acknowledged::{Follower, Followers};
use super::append_stream;
use super::peers::{Client, Peers, Purpose};
use super::types::{Snapshot, Types, Vote};
use super::wire::{self, Ballot};
use crate::storage::snapshots::SnapshotFile;

/// An append waits for the follower's disk; openraft's own limit is the heartbeat's, which a slow fsync exceeds.
pub(super) const APPEND_TIMEOUT: Duration = Duration::from_secs(2);
/// The slowest link between nodes, in bytes a second: what takes longer to travel is given up and sent again, for ever.
const SLOWEST_LINK: u32 = 256 << 10;
/// The last piece waits for the snapshot to be installed.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);
/// What a receiver must hold in memory at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// What an append of so many bytes may take.
pub(super) fn append_timeout(bytes: usize) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    APPEND_TIMEOUT + Duration::from_secs(1) * bytes / SLOWEST_LINK
}

#[derive(Clone, Debug)]
pub struct Network {
    node_id: NodeId,
    peers: Peers,
    followers: Followers,
}

impl Network {
    pub fn new(node_id: NodeId, peers: Peers) -> Self {
        Self { node_id, peers, followers: Followers::default() }
    }

    fn to(&self, target: Follower, node: &BasicNode, purpose: Purpose) -> Connection {
        let known_addr = node.addr.clone();
        Connection { node_id: self.node_id, target, known_addr, purpose, peers: self.peers.clone() }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        self.to(self.followers.get(NodeId(target)), node, Purpose::Raft)
    }

    /// Once when this node is elected and once for each new member, before anything is appended there.
    async fn new_heartbeat_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        self.to(self.followers.begin(NodeId(target)), node, Purpose::Raft)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        self.to(self.followers.get(NodeId(target)), node, Purpose::Snapshot)
    }
}

/// One peer, as openraft sees it.
#[derive(Debug)]
pub struct Connection {
    node_id: NodeId,
    target: Follower,
    /// In the membership; it may have moved since.
    known_addr: String,
    purpose: Purpose,
    peers: Peers,
}

impl Connection {
    async fn call<T, F>(
        &mut self,
        action: RPCTypes,
        timeout: Duration,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, RPCError<Types>>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let client = self.peers.client(self.target.id, &self.known_addr, self.purpose);
        let client = client.map_err(|why| RPCError::Unreachable(Unreachable::from_string(why)))?;
        match tokio::time::timeout(timeout, call(client)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            // Every failure of the transport is worth a pause: the peer is down or refuses.
            Ok(Err(status)) => {
                self.peers.went_astray(self.target.id, &status);
                Err(RPCError::Unreachable(Unreachable::from_string(status)))
            }
            Err(_) => Err(RPCError::Timeout(Timeout { action, id: self.node_id.0, target: self.target.id.0, timeout })),
        }
    }
}

fn garbled(why: &wire::WireError) -> RPCError<Types> {
    RPCError::Network(NetworkError::new(why))
}

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let (question, message) = (self.target.ask(&request), wire::append(&request));
        let timeout = match request.entries.as_slice() {
            [] => option.hard_ttl(),
            _ => append_timeout(message.encoded_len()),
        };
        let reply = self
            .call(RPCTypes::AppendEntries, timeout, |mut client| async move { client.append(message).await })
            .await?;
        append_stream::answered(&self.target, &question, reply)
    }

    fn stream_append<S>(
        &mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'_, Result<append_stream::Replies<'_>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        // A heartbeat is a stream of one.
        if input.size_hint().1 == Some(1) {
            return stream_append_sequential(self, input, option);
        }
        let ends = append_stream::Ends { from: self.node_id, to: self.target.clone() };
        match self.peers.stream_client(self.target.id, &self.known_addr) {
            Ok((client, signatures)) => Box::pin(append_stream::open(ends, client, signatures, input)),
            Err(why) => Box::pin(std::future::ready(Err(RPCError::Unreachable(Unreachable::from_string(why))))),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(wire::vote_request(&request, Ballot::Real), &option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(wire::vote_request(&request, Ballot::Trial), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, &snapshot.snapshot) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let message = wire::transfer(&request);
        let reply = self
            .call(RPCTypes::TransferLeader, option.hard_ttl(), |mut client| async move {
                client.transfer_leader(message).await
            })
            .await?;
        if reply.refusal.is_empty() {
            Ok(Ok(()))
        } else {
            Err(RPCError::Network(NetworkError::from_string(reply.refusal)))
        }
    }
}

impl Connection {
    async fn ask(
        &mut self,
        request: peer::VoteRequest,
        option: &RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let reply = self
            .call(RPCTypes::Vote, option.hard_ttl(), |mut client| async move { client.request_vote(request).await })
            .await?;
        wire::read_vote_reply(reply).map_err(|why| garbled(&why))
    }

    async fn send_snapshot(
        &mut self,
        vote: Vote,
        file: &SnapshotFile,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let transfer_id = format!("{:032x}", rand::random::<u128>());
        let mut offset = 0;
        loop {
            let data = file.chunk(offset, CHUNK_BYTES).map_err(|why| {
                StreamingError::Network(NetworkError::from_string(format!("reading the snapshot: {why}")))
            })?;
            let next = offset + data.len() as u64;
            let last = next >= file.len();
            let chunk = peer::SnapshotChunk {
                vote: Some(wire::vote(vote)),
                transfer_id: transfer_id.clone(),
                offset,
                data: data.into(),
                last,
            };
            let call = self.call(RPCTypes::InstallSnapshot, CHUNK_TIMEOUT, |mut client| async move {
                client.install_snapshot(chunk).await
            });
            let reply = wire::read_snapshot_reply(call.await?).map_err(|why| garbled(&why))?;
            // A greater vote means that this node leads no more: openraft decides.
            if last || reply.vote > vote {
                return Ok(reply);
            }
            offset = next;
        }
    }
}
