//! What a node needs to start.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use vocab::{NodeId, Secret};

use crate::membership::{Admission, Bootstrap};
use crate::tls::Tls;

/// What a node needs to start. `server.rs` makes it of the settings; listeners are bound there, so that port 0 works.
#[derive(Debug)]
pub struct NodeConfig {
    pub node_id: NodeId,
    /// Peers connect here.
    pub raft_listener: TcpListener,
    /// Pods connect here.
    pub watch_listener: TcpListener,
    /// `host:port` at which peers reach `raft_listener`.
    pub advertise_addr: String,
    /// Where clients reach this node's admin API; told to peers for `--follower-writes=redirect`.
    pub advertise_admin_url: Option<String>,
    pub bootstrap: Bootstrap,
    /// What a node that asks to be taken in may become.
    pub admission: Admission,
    /// Every voter with its `host:port`, this node included or not. Empty: a cluster of one.
    pub peers: BTreeMap<NodeId, String>,
    pub data_dir: PathBuf,
    /// The first signs, each verifies. Needed as soon as there is a peer.
    pub hmac_secrets: Vec<Secret<String>>,
    /// What pods present. `None`: only client certificates are accepted.
    pub watch_token: Option<Secret<String>>,
    pub tls: Option<Tls>,
    pub heartbeat: Duration,
    pub election_timeout_min: Duration,
    pub election_timeout_max: Duration,
    /// Log entries between snapshots.
    pub snapshot_every: u64,
}
