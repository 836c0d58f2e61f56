//! The other nodes: where they are, and a signed client for each.
//!
//! A node moves; its id stays. Where it is, is said by itself when it starts, by the replicated table of nodes, by the
//! settings and by the membership, in this order. Where nobody answers, or somebody else, the next address is tried.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use shared_proto::peer::peer_client::PeerClient;
use shared_proto::status::error_code;
use tonic::transport::{Channel, Endpoint};
use transport::client::{ClientTls, Connector};
use vocab::{ErrorCode, NodeId};

use super::replica::Replica;
use crate::signature::Signatures;
use crate::signature::layer::{MAX_BODY_BYTES, Signing};

pub type Client = PeerClient<Signing<Channel>>;
/// Its messages are signed one by one, by who sends them.
pub type StreamClient = PeerClient<Channel>;

/// A peer that has not accepted the connection by then is taken for dead.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often it is said that a node refuses our calls.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
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
    /// From the settings.
    configured: BTreeMap<NodeId, String>,
    /// From the nodes themselves, since this one started.
    heard: Mutex<BTreeMap<NodeId, String>>,
    /// How often a node was not where it was looked for, since it is said to be at that address.
    astray: Mutex<BTreeMap<NodeId, (String, usize)>>,
    replica: Arc<Replica>,
    complained: Mutex<BTreeMap<NodeId, Instant>>,
    signatures: Signatures,
    connector: Connector,
    channels: Mutex<BTreeMap<(NodeId, Purpose), (String, Channel)>>,
}

impl Peers {
    pub fn new(
        configured: BTreeMap<NodeId, String>,
        replica: Arc<Replica>,
        signatures: Signatures,
        tls: Option<Arc<ClientTls>>,
    ) -> Self {
        let connector = Connector::new(tls, CONNECT_TIMEOUT);
        let shared = Shared {
            configured,
            heard: Mutex::default(),
            astray: Mutex::default(),
            replica,
            complained: Mutex::default(),
            signatures,
            connector,
            channels: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The nodes that the settings name.
    pub fn configured(&self) -> impl Iterator<Item = NodeId> {
        self.shared.configured.keys().copied()
    }

    /// `node` has said that it is there. Only members are remembered: there are few of them.
    pub fn hear(&self, node: NodeId, addr: &str) {
        self.shared.heard.lock().insert(node, addr.to_owned());
        self.shared.astray.lock().remove(&node);
    }

    /// Where `node` is, as far as is known; `known_addr` is its address in the membership.
    pub fn address(&self, node: NodeId, known_addr: &str) -> String {
        self.addresses(node, known_addr).into_iter().next().unwrap_or_default()
    }

    /// The likeliest first.
    fn addresses(&self, node: NodeId, known_addr: &str) -> Vec<String> {
        let heard = self.shared.heard.lock().get(&node).cloned();
        let table = self.shared.replica.read(|state| state.node(node).map(|node| node.spec.peer_addr.clone()));
        let configured = self.shared.configured.get(&node).cloned();
        let mut addresses: Vec<String> = Vec::new();
        for addr in [heard, table, configured, Some(known_addr.to_owned())].into_iter().flatten() {
            if !addr.is_empty() && !addresses.contains(&addr) {
                addresses.push(addr);
            }
        }
        addresses
    }

    /// Where it is looked for next: at the likeliest address, unless it was not there.
    fn next_address(&self, node: NodeId, known_addr: &str) -> String {
        let addresses = self.addresses(node, known_addr);
        let mut astray = self.shared.astray.lock();
        let likeliest = addresses.first().cloned().unwrap_or_default();
        let turn = match astray.get(&node) {
            Some((since, turn)) if *since == likeliest => *turn,
            _ => {
                astray.insert(node, (likeliest.clone(), 0));
                0
            }
        };
        let next = turn.checked_rem(addresses.len()).and_then(|place| addresses.get(place).cloned());
        next.unwrap_or(likeliest)
    }

    /// Whether the call did not reach `node`, so that nothing was done there. Then the next one goes to its next address.
    pub fn went_astray(&self, node: NodeId, status: &tonic::Status) -> bool {
        // Somebody else is there now.
        let refused = error_code(status) == Some(ErrorCode::Unauthenticated);
        let astray = refused || never_arrived(status);
        if astray {
            self.shared.astray.lock().entry(node).and_modify(|(_, turn)| *turn += 1);
        }
        if refused {
            self.complain(node, status.message());
        }
        astray
    }

    /// Now and then: calls come ten times a second.
    fn complain(&self, node: NodeId, why: &str) {
        let mut complained = self.shared.complained.lock();
        let is_due = complained.get(&node).is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY);
        if is_due {
            complained.insert(node, Instant::now());
            tracing::warn!(%node, why, "a node refuses our calls");
        }
    }

    /// A client of `node`; `known_addr` is its address in the membership. Connects when first used, and again when lost.
    pub fn client(&self, node: NodeId, known_addr: &str, purpose: Purpose) -> Result<Client, tonic::transport::Error> {
        let channel = self.channel(node, known_addr, purpose)?;
        let client = PeerClient::new(Signing::new(channel, self.shared.signatures.clone(), node));
        Ok(client.max_decoding_message_size(MAX_BODY_BYTES).max_encoding_message_size(MAX_BODY_BYTES))
    }

    /// A client of `node` for each place where it may be, the likeliest first, whichever cluster it is in; what is asked
    /// is signed by `signatures`. Nobody else's failures to reach it decide which place is tried.
    pub fn clients_of_any(&self, node: NodeId, known_addr: &str, signatures: &Signatures) -> Vec<Client> {
        let addresses = self.addresses(node, known_addr);
        let channels = addresses.iter().filter_map(|addr| endpoint(addr).ok());
        let channels = channels.map(|endpoint| endpoint.connect_with_connector_lazy(self.shared.connector.clone()));
        channels.map(|channel| PeerClient::new(Signing::new(channel, signatures.clone(), node))).collect()
    }

    /// A client of `node` as long as it is at exactly that address.
    pub fn client_at(&self, node: NodeId, addr: &str) -> Result<Client, tonic::transport::Error> {
        let channel = endpoint(addr)?.connect_with_connector_lazy(self.shared.connector.clone());
        Ok(PeerClient::new(Signing::new(channel, self.shared.signatures.clone(), node)))
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
        let addr = self.next_address(node, known_addr);
        let mut channels = self.shared.channels.lock();
        match channels.get(&(node, purpose)) {
            Some((at, channel)) if *at == addr => Ok(channel.clone()),
            _ => {
                let channel = endpoint(&addr)?.connect_with_connector_lazy(self.shared.connector.clone());
                channels.insert((node, purpose), (addr, channel.clone()));
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
