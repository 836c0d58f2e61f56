//! What this node answers its peers.

use std::sync::Arc;
use std::time::Duration;

use controlplane_core::Command;
use openraft::base::BoxStream;
use openraft::raft::AppendEntriesResponse;
use shared_proto::peer;
use shared_proto::peer::peer_server::Peer;
use shared_proto::status::to_status;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;
use vocab::{ErrorCode, NodeId, Revision};

use super::append_stream;
use super::backfill;
use super::cluster::Cluster;
use super::proposals::{NotHere, Proposals};
use super::state_machine::{LONG_BYTES, StateMachine};
use super::types::Raft;
use super::wire::{self, Ballot};
use crate::fleet::Registry;
use crate::membership::{MemberChange, MemberRequest};
use crate::signature::layer::Sender;
use crate::signature::stream::Opened;
use crate::signature::{Refusal, Signatures};
use crate::storage::snapshots::Incoming;

#[derive(Clone, Debug)]
pub struct Service {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    raft: Raft,
    machine: StateMachine,
    proposals: Proposals,
    pods: Registry,
    admin_url: Option<String>,
    cluster: Cluster,
    signatures: Signatures,
    master_key_ids: Vec<String>,
    /// The snapshot on its way in, of one transfer at a time: a new transfer takes the place of the old one.
    incoming: Mutex<Option<(String, Incoming)>>,
}

/// What a node's peers may ask of it.
#[derive(Debug)]
pub struct Parts {
    pub raft: Raft,
    pub machine: StateMachine,
    pub proposals: Proposals,
    pub pods: Registry,
    pub admin_url: Option<String>,
    pub cluster: Cluster,
    pub signatures: Signatures,
    /// The first one seals.
    pub master_key_ids: Vec<String>,
}

impl Service {
    pub fn new(parts: Parts) -> Self {
        let Parts { raft, machine, proposals, pods, admin_url, cluster, signatures, master_key_ids } = parts;
        let incoming = Mutex::default();
        let inner = Inner { raft, machine, proposals, pods, admin_url, cluster, signatures, master_key_ids, incoming };
        Self { inner: Arc::new(inner) }
    }
}

fn sender<T>(request: &Request<T>) -> Option<NodeId> {
    request.extensions().get::<Sender>().map(|sender| sender.0)
}

impl Service {
    /// For calls that are Raft's own, and for proposals.
    fn check_member<T>(&self, request: &Request<T>, what: &str) -> Result<(), Status> {
        let sender = sender(request).ok_or_else(|| to_status(ErrorCode::Unauthenticated, "the call is not signed"))?;
        if !self.inner.cluster.turns_away(sender) {
            return Ok(());
        }
        self.inner.signatures.refused(Refusal::NotAMember, what);
        Err(to_status(ErrorCode::Forbidden, format!("node {sender} is no member of this cluster")))
    }
}

fn garbled(why: &wire::WireError) -> Status {
    to_status(ErrorCode::InvalidRequest, why.to_string())
}

fn stopped(why: impl std::fmt::Display) -> Status {
    to_status(ErrorCode::Unavailable, why.to_string())
}

#[tonic::async_trait]
impl Peer for Service {
    async fn append(&self, request: Request<peer::AppendRequest>) -> Result<Response<peer::AppendReply>, Status> {
        self.check_member(&request, "Append")?;
        let request = wire::read_append(&request.into_inner()).map_err(|why| garbled(&why))?;
        let reply = self.inner.raft.append_entries(request).await.map_err(stopped)?;
        if !matches!(reply, AppendEntriesResponse::HigherVote(_)) {
            self.inner.cluster.contact.heard();
        }
        Ok(Response::new(wire::append_reply(&reply)))
    }

    type AppendStreamStream = BoxStream<'static, Result<peer::AppendReply, Status>>;

    async fn append_stream(
        &self,
        request: Request<Streaming<peer::SignedAppend>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        self.check_member(&request, "AppendStream")?;
        let opened = request.extensions().get::<Opened>().cloned();
        let opened = opened.ok_or_else(|| to_status(ErrorCode::Unauthenticated, "the stream is not signed"))?;
        let signatures = self.inner.signatures.clone();
        Ok(Response::new(append_stream::answer(&self.inner.cluster, signatures, &opened, request.into_inner())))
    }

    async fn request_vote(&self, request: Request<peer::VoteRequest>) -> Result<Response<peer::VoteReply>, Status> {
        self.check_member(&request, "RequestVote")?;
        let (request, ballot) = wire::read_vote_request(request.into_inner()).map_err(|why| garbled(&why))?;
        let reply = match ballot {
            Ballot::Real => self.inner.raft.vote(request).await,
            Ballot::Trial => self.inner.raft.pre_vote(request).await,
        };
        Ok(Response::new(wire::vote_reply(&reply.map_err(stopped)?)))
    }

    async fn install_snapshot(
        &self,
        request: Request<peer::SnapshotChunk>,
    ) -> Result<Response<peer::SnapshotReply>, Status> {
        self.check_member(&request, "InstallSnapshot")?;
        let chunk = request.into_inner();
        let vote = wire::read_vote(chunk.vote).map_err(|why| garbled(&why))?;
        let mut slot = self.inner.incoming.lock().await;
        if chunk.offset == 0 {
            let incoming = self.inner.machine.snapshots().incoming(&chunk.transfer_id).map_err(stopped)?;
            *slot = Some((chunk.transfer_id.clone(), incoming));
        }
        let Some((_, incoming)) =
            slot.as_mut().filter(|(id, incoming)| *id == chunk.transfer_id && incoming.offset() == chunk.offset)
        else {
            return Err(to_status(ErrorCode::Conflict, "this piece does not continue what is here: begin again"));
        };
        incoming.push(&chunk.data).map_err(stopped)?;
        if !chunk.last {
            return Ok(Response::new(peer::SnapshotReply { vote: Some(wire::vote(vote)) }));
        }
        let (_, incoming) = slot.take().ok_or_else(|| stopped("no snapshot is on its way"))?;
        let machine = self.inner.machine.clone();
        let received = tokio::task::spawn_blocking(move || machine.receive(incoming)).await.map_err(stopped)?;
        let snapshot = received.map_err(|why| {
            tracing::error!(%why, "a peer's snapshot is damaged; nothing was replaced");
            to_status(ErrorCode::InvalidRequest, why.to_string())
        })?;
        let reply = self.inner.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(peer::SnapshotReply { vote: Some(wire::vote(reply.vote)) }))
    }

    async fn transfer_leader(
        &self,
        request: Request<peer::TransferLeaderRequest>,
    ) -> Result<Response<peer::TransferLeaderReply>, Status> {
        self.check_member(&request, "TransferLeader")?;
        let request = wire::read_transfer(request.into_inner()).map_err(|why| garbled(&why))?;
        let reply = self.inner.raft.handle_transfer_leader(request).await.map_err(stopped)?;
        let refusal = reply.err().map(|why| why.to_string()).unwrap_or_default();
        Ok(Response::new(peer::TransferLeaderReply { refusal }))
    }

    async fn forward(&self, request: Request<peer::ForwardRequest>) -> Result<Response<peer::ForwardReply>, Status> {
        self.check_member(&request, "Forward")?;
        let command = request.into_inner().command;
        let command = if command.len() > LONG_BYTES {
            let read = tokio::task::spawn_blocking(move || serde_json::from_slice::<Command>(&command));
            read.await.map_err(stopped)?
        } else {
            serde_json::from_slice(&command)
        };
        let command = command
            .map_err(|why| to_status(ErrorCode::InvalidRequest, format!("the command cannot be read: {why}")))?;
        let span = tracing::trace_span!(target: telemetry::TRACE, "forwarded", otel.kind = "server");
        telemetry::context::adopt(&span, command.origin.traceparent.as_deref());
        match self.inner.proposals.propose(command).instrument(span).await {
            Ok(done) => {
                let outcome = serde_json::to_vec(&done.outcome).map_err(stopped)?.into();
                Ok(Response::new(peer::ForwardReply { outcome, log_index: done.log_index }))
            }
            // Not forwarded again: the asking node finds the new leader itself.
            Err(NotHere::NotLeader) => Err(to_status(ErrorCode::NoLeader, "this node does not lead")),
            Err(NotHere::Unknown) => Err(to_status(ErrorCode::OutcomeUnknown, "the outcome is unknown")),
            Err(NotHere::TooNew) => Err(to_status(ErrorCode::UpgradeIncomplete, "a voter would not understand it")),
            Err(NotHere::KeyGeneration) => Err(to_status(ErrorCode::Internal, "no signing key could be generated")),
        }
    }

    async fn change_members(
        &self,
        request: Request<peer::ChangeMembersRequest>,
    ) -> Result<Response<peer::ChangeMembersReply>, Status> {
        let sender = sender(&request);
        let asked: MemberRequest = serde_json::from_slice(&request.into_inner().request)
            .map_err(|why| to_status(ErrorCode::InvalidRequest, format!("the request cannot be read: {why}")))?;
        if let MemberChange::Join { id, spec, .. } = &asked.change
            && sender == Some(*id)
        {
            self.inner.cluster.hear(*id, &spec.peer_addr);
        }
        // Not forwarded again: the asking node finds the new leader itself.
        let outcome = self.inner.cluster.carry_out(&asked).await;
        let outcome = serde_json::to_vec(&outcome).map_err(stopped)?.into();
        Ok(Response::new(peer::ChangeMembersReply { outcome }))
    }

    async fn read_index(&self, _: Request<peer::ReadIndexRequest>) -> Result<Response<peer::ReadIndexReply>, Status> {
        match self.inner.proposals.read_index().await {
            Some(log_index) => Ok(Response::new(peer::ReadIndexReply { log_index })),
            None => Err(to_status(ErrorCode::NoLeader, "this node does not lead")),
        }
    }

    async fn list_pods(
        &self,
        request: Request<peer::ListPodsRequest>,
    ) -> Result<Response<peer::ListPodsReply>, Status> {
        let request = request.into_inner();
        if request.wait_ms > 0 {
            let wait = Duration::from_millis(request.wait_ms.into());
            self.inner.pods.wait_until_acknowledged(Revision(request.acknowledged_revision), wait).await;
        }
        let pods = self.inner.pods.list().iter().map(Into::into).collect();
        let departed = self.inner.pods.departed().iter().map(Into::into).collect();
        let applied_revision = self.inner.machine.replica().applied().get();
        Ok(Response::new(peer::ListPodsReply { pods, departed, applied_revision }))
    }

    async fn list_records(
        &self,
        request: Request<peer::ListRecordsRequest>,
    ) -> Result<Response<peer::ListRecordsReply>, Status> {
        let peer::ListRecordsRequest { first_seq, last_seq } = request.into_inner();
        let store = self.inner.machine.replica().records().clone();
        let lines = tokio::task::spawn_blocking(move || backfill::page(&store, first_seq, last_seq));
        Ok(Response::new(peer::ListRecordsReply { lines: lines.await.map_err(stopped)? }))
    }

    async fn describe(&self, _: Request<peer::DescribeRequest>) -> Result<Response<peer::DescribeReply>, Status> {
        let node_id = *self.inner.raft.node_id();
        let (admin_url, master_key_ids) = (self.inner.admin_url.clone(), self.inner.master_key_ids.clone());
        Ok(Response::new(peer::DescribeReply { node_id, admin_url, master_key_ids }))
    }
}
