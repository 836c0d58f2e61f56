//! Calls between nodes as a node or an attacker would send them, byte by byte.

use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use controlplane_daemon::signature::{Call, HEADER, Signatures};
use prost::Message;
use tonic::Code;
use tonic::transport::Channel;
use vocab::{Clock, ClusterId, NodeId, Secret, SystemClock};

pub const APPEND: &str = "/hellojohn.peer.v1.Peer/Append";
pub const APPEND_STREAM: &str = "/hellojohn.peer.v1.Peer/AppendStream";
pub const VOTE: &str = "/hellojohn.peer.v1.Peer/RequestVote";
pub const DESCRIBE: &str = "/hellojohn.peer.v1.Peer/Describe";

/// A message with gRPC's five bytes before it.
pub fn framed(message: &impl Message) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).expect("messages are small"));
    message.encode(&mut bytes).expect("the buffer grows");
    bytes.to_vec()
}

/// Sends bytes as they are; the gRPC status.
pub async fn call(address: &str, path: &str, signature: Option<&str>, body: &[u8]) -> Code {
    let channel = Channel::from_shared(format!("http://{address}")).expect("an address is a URI's authority");
    let mut channel = channel.connect().await.expect("the node listens");
    let mut request = http::Request::post(format!("http://{address}{path}")).header("content-type", "application/grpc");
    if let Some(signature) = signature {
        request = request.header(HEADER, signature);
    }
    let body = tonic::body::Body::new(http_body_util::Full::new(bytes::Bytes::copy_from_slice(body)));
    let request = request.body(body).expect("the request is well-formed");
    std::future::poll_fn(|context| tower::Service::poll_ready(&mut channel, context)).await.expect("the node listens");
    let Ok(answer) = tower::Service::call(&mut channel, request).await else { return Code::Unavailable };
    // A refusal has its status in the head; an answer has it after its body.
    match answer.headers().get("grpc-status") {
        Some(status) => Code::from_bytes(status.as_bytes()),
        None => Code::Ok,
    }
}

pub fn signer(id: u64, secret: &str, cluster: Option<ClusterId>, clock: Arc<dyn Clock>) -> Signatures {
    let cluster = tokio::sync::watch::Sender::new(cluster).subscribe();
    Signatures::new(NodeId(id), &[Secret::new(secret.to_owned())], cluster, clock)
}

pub fn post(target: &str) -> Call<'_> {
    Call { method: "POST", target }
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
