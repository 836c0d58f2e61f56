//! A stand-in for a node that votes for whoever asks, and follows nobody: between its vote and the first entries another
//! cluster has taken it in.

use shared_proto::peer::peer_server::{Peer, PeerServer};
use shared_proto::peer::{
    AppendReply, AppendRequest, ChangeMembersReply, ChangeMembersRequest, DescribeReply, DescribeRequest, ForwardReply,
    ForwardRequest, ListPodsReply, ListPodsRequest, ListRecordsReply, ListRecordsRequest, ReadIndexReply,
    ReadIndexRequest, SignedAppend, SnapshotChunk, SnapshotReply, TransferLeaderReply, TransferLeaderRequest,
    VoteReply, VoteRequest,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Runs until the runtime that started it ends.
#[derive(Debug)]
pub struct Voter {
    address: String,
    cluster: watch::Sender<String>,
}

#[derive(Debug)]
struct Service {
    id: u64,
    /// Empty: it is in none.
    cluster: watch::Receiver<String>,
}

impl Voter {
    pub async fn start(id: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let cluster = watch::Sender::new(String::new());
        let service = Service { id, cluster: cluster.subscribe() };
        let server = Server::builder().add_service(PeerServer::new(service));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self { address, cluster }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on it says that it is in that cluster.
    pub fn joined(&self, cluster: &str) {
        self.cluster.send_replace(cluster.to_owned());
    }
}

fn refused<T>() -> Result<T, Status> {
    Err(Status::unauthenticated("this node belongs to another cluster"))
}

#[tonic::async_trait]
impl Peer for Service {
    type AppendStreamStream = futures::stream::Empty<Result<AppendReply, Status>>;

    async fn request_vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
        Ok(Response::new(VoteReply { vote: request.into_inner().vote, granted: true, last_log: None }))
    }

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeReply>, Status> {
        let cluster_id = self.cluster.borrow().clone();
        let is_free = cluster_id.is_empty();
        Ok(Response::new(DescribeReply { node_id: self.id, cluster_id, is_free, ..DescribeReply::default() }))
    }

    async fn append(&self, _: Request<AppendRequest>) -> Result<Response<AppendReply>, Status> {
        refused()
    }

    async fn append_stream(
        &self,
        _: Request<Streaming<SignedAppend>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        refused()
    }

    async fn install_snapshot(&self, _: Request<SnapshotChunk>) -> Result<Response<SnapshotReply>, Status> {
        refused()
    }

    async fn transfer_leader(
        &self,
        _: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderReply>, Status> {
        refused()
    }

    async fn forward(&self, _: Request<ForwardRequest>) -> Result<Response<ForwardReply>, Status> {
        refused()
    }

    async fn read_index(&self, _: Request<ReadIndexRequest>) -> Result<Response<ReadIndexReply>, Status> {
        refused()
    }

    async fn list_pods(&self, _: Request<ListPodsRequest>) -> Result<Response<ListPodsReply>, Status> {
        refused()
    }

    async fn change_members(&self, _: Request<ChangeMembersRequest>) -> Result<Response<ChangeMembersReply>, Status> {
        refused()
    }

    async fn list_records(&self, _: Request<ListRecordsRequest>) -> Result<Response<ListRecordsReply>, Status> {
        refused()
    }
}
