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
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;
use vocab::{ClusterId, ErrorCode, Revision};

use super::append_stream;
use super::backfill;
use super::cluster::Cluster;
use super::proposals::{NotHere, Proposals};
use super::state_machine::{LONG_BYTES, StateMachine};
use super::types::Raft;
use super::wire::{self, Ballot};
use crate::fleet::Registry;
use crate::membership::{MemberChange, MemberRequest};
use crate::signature::layer::Caller;
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
    would_found: bool,
    stopping: CancellationToken,
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
    /// Whether this node makes a cluster, if nobody else does.
    pub would_found: bool,
    /// Streams that have no end of their own end then.
    pub stopping: CancellationToken,
}

impl Service {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            raft,
            machine,
            proposals,
            pods,
            admin_url,
            cluster,
            signatures,
            master_key_ids,
            would_found,
            stopping,
        } = parts;
        Self {
            inner: Arc::new(Inner {
                raft,
                machine,
                proposals,
                pods,
                admin_url,
                cluster,
                signatures,
                master_key_ids,
                would_found,
                stopping,
                incoming: Mutex::default(),
            }),
        }
    }
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().copied();
    caller.ok_or_else(|| to_status(ErrorCode::Unauthenticated, "the call is not signed"))
}

impl Service {
    /// For calls that are Raft's own, and for proposals.
    fn check_member<T>(&self, request: &Request<T>, what: &str) -> Result<Caller, Status> {
        let caller = caller(request)?;
        let cluster = &self.inner.cluster;
        if cluster.turns_away(caller.node) {
            return Err(self.refuse_stranger(caller, what));
        }
        let heard = cluster.binding.hear(caller, || cluster.is_blank());
        heard.map(|()| caller).map_err(|refusal| self.refuse(caller, refusal, what))
    }

    /// For questions that nobody but a member is answered.
    fn check_asker<T>(&self, request: &Request<T>, what: &str) -> Result<(), Status> {
        let caller = caller(request)?;
        if self.inner.cluster.confides_in(caller.node) { Ok(()) } else { Err(self.refuse_stranger(caller, what)) }
    }

    fn refuse_stranger(&self, caller: Caller, what: &str) -> Status {
        let refusal = Refusal::NotAMember;
        self.inner.signatures.refused(refusal, what, caller.address);
        to_status(refusal.code(), format!("node {} is no member of this cluster", caller.node))
    }

    /// For calls of a leader with something to keep.
    async fn check_leader<T>(&self, request: &Request<T>, what: &str) -> Result<Caller, Status> {
        let caller = self.check_member(request, what)?;
        self.bind_to(caller, what).await.map(|()| caller)
    }

    /// A node without a cluster belongs to the caller's afterwards.
    async fn bind_to(&self, caller: Caller, what: &str) -> Result<(), Status> {
        let cluster = &self.inner.cluster;
        let admitted = cluster.binding.admit(caller, || cluster.is_blank()).await;
        admitted.map_err(|refusal| self.refuse(caller, refusal, what))
    }

    fn refuse(&self, caller: Caller, refusal: Refusal, what: &str) -> Status {
        self.inner.signatures.refused(refusal, what, caller.address);
        to_status(refusal.code(), refusal.to_string())
    }

    /// A node that is about to found a cluster must hear when this one is in another. A member may ask: it has lost its
    /// data, or was told to found what exists.
    fn check_founder(&self, caller: Caller, founds: &str) -> Result<(), Status> {
        if founds.is_empty() {
            return Ok(());
        }
        let theirs: ClusterId = founds
            .parse()
            .map_err(|why| to_status(ErrorCode::InvalidRequest, format!("the cluster's id cannot be read: {why}")))?;
        let cluster = &self.inner.cluster;
        match cluster.binding.cluster_id() {
            Some(here) if here != theirs && !cluster.is_member(caller.node) => {
                let refusal = Refusal::OtherCluster { caller: caller.node, theirs, node: cluster.node_id(), here };
                Err(self.refuse(caller, refusal, "Describe"))
            }
            _ => Ok(()),
        }
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
        self.check_leader(&request, "Append").await?;
        let request = wire::read_append(&request.into_inner()).map_err(|why| garbled(&why))?;
        let reply = self.inner.raft.append_entries(request).await.map_err(stopped)?;
        if !matches!(reply, AppendEntriesResponse::HigherVote(_)) {
            self.inner.cluster.contact.heard();
        }
        Ok(Response::new(append_stream::with_log_end(wire::append_reply(&reply), &self.inner.cluster)))
    }

    type AppendStreamStream = BoxStream<'static, Result<peer::AppendReply, Status>>;

    async fn append_stream(
        &self,
        request: Request<Streaming<peer::SignedAppend>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let caller = self.check_leader(&request, "AppendStream").await?;
        let opened = request.extensions().get::<Opened>().cloned();
        let opened = opened.ok_or_else(|| to_status(ErrorCode::Unauthenticated, "the stream is not signed"))?;
        let signatures = self.inner.signatures.clone();
        let refused = move |refusal| signatures.refused(refusal, append_stream::PATH, caller.address);
        let answers = append_stream::answer(&self.inner.cluster, &opened, refused, request.into_inner());
        Ok(Response::new(append_stream::until(self.inner.stopping.clone(), answers)))
    }

    async fn request_vote(&self, request: Request<peer::VoteRequest>) -> Result<Response<peer::VoteReply>, Status> {
        let caller = self.check_member(&request, "RequestVote")?;
        let (request, ballot) = wire::read_vote_request(request.into_inner()).map_err(|why| garbled(&why))?;
        let reply = match ballot {
            Ballot::Real => self.inner.raft.vote(request).await,
            Ballot::Trial => self.inner.raft.pre_vote(request).await,
        };
        let reply = reply.map_err(stopped)?;
        if ballot == Ballot::Real && reply.vote_granted {
            self.bind_to(caller, "RequestVote").await?;
        }
        Ok(Response::new(wire::vote_reply(&reply)))
    }

    async fn install_snapshot(
        &self,
        request: Request<peer::SnapshotChunk>,
    ) -> Result<Response<peer::SnapshotReply>, Status> {
        self.check_leader(&request, "InstallSnapshot").await?;
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
        for place in [snapshot.meta.last_log_id, *snapshot.meta.last_membership.log_id()].into_iter().flatten() {
            wire::believable(place).map_err(|why| garbled(&why))?;
        }
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
        match self.inner.proposals.propose(&command).instrument(span).await {
            Ok(done) => {
                let outcome = serde_json::to_vec(&done.outcome).map_err(stopped)?.into();
                Ok(Response::new(peer::ForwardReply { outcome, log_index: done.log_index }))
            }
            // Not forwarded again: the asking node finds the new leader itself.
            Err(NotHere::NotLeader) => Err(to_status(ErrorCode::NoLeader, "this node does not lead")),
            Err(NotHere::Unknown) => Err(to_status(ErrorCode::OutcomeUnknown, "the outcome is unknown")),
            Err(NotHere::TooNew) => Err(to_status(ErrorCode::UpgradeIncomplete, "a voter would not understand it")),
            Err(NotHere::TooLarge) => Err(to_status(ErrorCode::PayloadTooLarge, "the entry would be too large")),
            Err(NotHere::KeyGeneration) => Err(to_status(ErrorCode::Internal, "no signing key could be generated")),
        }
    }

    async fn change_members(
        &self,
        request: Request<peer::ChangeMembersRequest>,
    ) -> Result<Response<peer::ChangeMembersReply>, Status> {
        let caller = caller(&request)?;
        let asked: MemberRequest = serde_json::from_slice(&request.get_ref().request)
            .map_err(|why| to_status(ErrorCode::InvalidRequest, format!("the request cannot be read: {why}")))?;
        match &asked.change {
            // Whoever speaks for itself need not be a member: that is what it asks for.
            MemberChange::Join { id, spec, .. } if caller.node == *id => {
                self.inner.cluster.hear(*id, &spec.peer_addr).await;
            }
            _ => drop(self.check_member(&request, "ChangeMembers")?),
        }
        // Not forwarded again: the asking node finds the new leader itself.
        let outcome = self.inner.cluster.carry_out(&asked).await;
        let outcome = serde_json::to_vec(&outcome).map_err(stopped)?.into();
        Ok(Response::new(peer::ChangeMembersReply { outcome }))
    }

    async fn read_index(
        &self,
        request: Request<peer::ReadIndexRequest>,
    ) -> Result<Response<peer::ReadIndexReply>, Status> {
        self.check_asker(&request, "ReadIndex")?;
        match self.inner.proposals.read_index().await {
            Some(log_index) => Ok(Response::new(peer::ReadIndexReply { log_index })),
            None => Err(to_status(ErrorCode::NoLeader, "this node does not lead")),
        }
    }

    async fn list_pods(
        &self,
        request: Request<peer::ListPodsRequest>,
    ) -> Result<Response<peer::ListPodsReply>, Status> {
        self.check_asker(&request, "ListPods")?;
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
        self.check_asker(&request, "ListRecords")?;
        let peer::ListRecordsRequest { first_seq, last_seq } = request.into_inner();
        let store = self.inner.machine.replica().records().clone();
        let lines = tokio::task::spawn_blocking(move || backfill::page(&store, first_seq, last_seq));
        Ok(Response::new(peer::ListRecordsReply { lines: lines.await.map_err(stopped)? }))
    }

    async fn describe(&self, request: Request<peer::DescribeRequest>) -> Result<Response<peer::DescribeReply>, Status> {
        self.check_founder(caller(&request)?, &request.get_ref().founds_cluster_id)?;
        let cluster_id = self.inner.cluster.binding.cluster_id();
        Ok(Response::new(peer::DescribeReply {
            node_id: *self.inner.raft.node_id(),
            admin_url: self.inner.admin_url.clone(),
            master_key_ids: self.inner.master_key_ids.clone(),
            cluster_id: cluster_id.map(|id| id.to_string()).unwrap_or_default(),
            is_free: cluster_id.is_none() && self.inner.cluster.is_blank(),
            would_found: self.inner.would_found,
        }))
    }
}
