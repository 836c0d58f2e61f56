//! Requests to join, signed or not, as a node or an attacker would send them.

use std::sync::Arc;

use controlplane_daemon::signature::{Call, HEADER, Receiver, Signatures};
use serde_json::json;
use tests::web::{self, Answer};
use vocab::{ClusterId, NodeId, Secret, SystemClock};

const PATH: &str = "/api/v1/cluster/join";
pub(super) const OTHER: ClusterId = ClusterId::from_uuid(uuid::Uuid::from_u128(7));

pub(super) fn signer(id: u64, secret: &str, cluster: Option<ClusterId>) -> Signatures {
    let known = tokio::sync::watch::Sender::new(cluster).subscribe();
    Signatures::new(NodeId(id), &[Secret::new(secret.to_owned())], known, Arc::new(SystemClock))
}

pub(super) fn body(id: u64) -> Vec<u8> {
    let spec = json!({ "peer_addr": format!("127.0.0.1:{id}"), "source": "gossip", "feature_level": 99 });
    json!({ "join": { "id": id, "spec": spec, "data": "blank" } }).to_string().into_bytes()
}

pub(super) fn sign(signer: &Signatures, body: &[u8]) -> String {
    signer.sign(Receiver::AnyNode, Call { method: "POST", target: PATH }, body).expect("there is a secret")
}

pub(super) async fn join(node: &str, by: &Signatures, about: u64) -> Answer {
    let body = body(about);
    send(node, Some(&sign(by, &body)), &body).await
}

pub(super) async fn send(node: &str, signature: Option<&str>, body: &[u8]) -> Answer {
    let mut request = web::client().post(format!("http://{node}{PATH}")).body(body.to_vec());
    if let Some(signature) = signature {
        request = request.header(HEADER, signature);
    }
    web::send(request).await
}
