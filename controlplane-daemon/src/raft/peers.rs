//! The other nodes: where they are, and a signed client for each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shared_proto::peer::peer_client::PeerClient;
use tonic::transport::{Channel, Endpoint};
use transport::client::{ClientTls, Connector};
use vocab::NodeId;

use crate::signature::Signatures;
use crate::signature::layer::{MAX_BODY_BYTES, Signing};

pub type Client = PeerClient<Signing<Channel>>;
/// Its messages are signed one by one, by who sends them.
pub type StreamClient = PeerClient<Channel>;

/// A peer that has not accepted the connection by then is taken for dead.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A silent connection is probed, so that a peer behind a dropped route is noticed.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// What a connection is for. Raft's own has nothing else on it that could delay a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Raft,
    Snapshot,
    Requests,
}

#[derive(Clone, Debug)]
pub struct Peers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// From the settings; they override what the membership says, so that a node may move.
    configured: BTreeMap<NodeId, String>,
    signatures: Signatures,
    connector: Connector,
    channels: Mutex<BTreeMap<(NodeId, Purpose), (String, Channel)>>,
}

impl Peers {
    pub fn new(configured: BTreeMap<NodeId, String>, signatures: Signatures, tls: Option<Arc<ClientTls>>) -> Self {
        let connector = Connector::new(tls, CONNECT_TIMEOUT);
        Self { shared: Arc::new(Shared { configured, signatures, connector, channels: Mutex::default() }) }
    }

    /// A client of `node`; `known_addr` is its address in the membership. Connects when first used, and again when lost.
    pub fn client(&self, node: NodeId, known_addr: &str, purpose: Purpose) -> Result<Client, tonic::transport::Error> {
        let channel = self.channel(node, known_addr, purpose)?;
        let client = PeerClient::new(Signing::new(channel, self.shared.signatures.clone(), node));
        Ok(client.max_decoding_message_size(MAX_BODY_BYTES).max_encoding_message_size(MAX_BODY_BYTES))
    }

    /// A client for a stream of appends to `node`, and who signs its opening.
    pub fn stream_client(
        &self,
        node: NodeId,
        known_addr: &str,
    ) -> Result<(StreamClient, Signatures), tonic::transport::Error> {
        let client = PeerClient::new(self.channel(node, known_addr, Purpose::Raft)?);
        let client = client.max_decoding_message_size(MAX_BODY_BYTES).max_encoding_message_size(MAX_BODY_BYTES);
        Ok((client, self.shared.signatures.clone()))
    }

    fn channel(&self, node: NodeId, known_addr: &str, purpose: Purpose) -> Result<Channel, tonic::transport::Error> {
        let addr = self.shared.configured.get(&node).map_or(known_addr, String::as_str);
        let mut channels = self.shared.channels.lock();
        match channels.get(&(node, purpose)) {
            Some((at, channel)) if at == addr => Ok(channel.clone()),
            _ => {
                let channel = endpoint(addr)?.connect_with_connector_lazy(self.shared.connector.clone());
                channels.insert((node, purpose), (addr.to_owned(), channel.clone()));
                Ok(channel)
            }
        }
    }
}

fn endpoint(addr: &str) -> Result<Endpoint, tonic::transport::Error> {
    // TLS is the connector's.
    Ok(Endpoint::from_shared(format!("http://{addr}"))?
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true))
}

/// Whether the call cannot have reached the other side: no connection was made, so nothing was done there.
pub fn never_arrived(status: &tonic::Status) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether nobody listens there: a node that is down has no pods.
pub fn refused_connection(status: &tonic::Status) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(status);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}
