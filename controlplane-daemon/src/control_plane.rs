//! The facade: what transports see of the replicated heart. Nobody above this file knows of Raft, redb or peers.
//!
//! ```text
//!   admin, console ──▶ ControlPlane ──▶ raft (log, leader, peers) ──▶ state machine ──▶ feed ──▶ watch ──▶ pods
//!                          │  read: the state in memory                                          fleet ◀── acks
//! ```

mod config;
mod error;
mod saturation;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use controlplane_core::level::FEATURE_LEVEL;
use controlplane_core::model::{NodeSource, NodeSpec};
use controlplane_core::{Actor, Applied, Command, Mutation, Origin, Stamp, State};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::{Clock, Keyring, NodeId, Revision};

pub use self::config::NodeConfig;
use self::error::start_error;
pub use self::error::{BarrierError, ProposeError, StartError};
use crate::audit::{self, Notes};
pub use crate::cluster_status::{ClusterStatus, Member, NodeRole};
use crate::feed::encode;
use crate::fleet::{Census, Fleet, FleetWait, NodePods};
use crate::membership::{Data, MemberChange, MemberError, MemberRequest};
use crate::raft::cluster::{Cluster, Failure, PodsAnswer};
use crate::raft::founding;
use crate::raft::node::{self, Node};
use crate::raft::proposals::payload;
use crate::rotation;
use crate::signature::Signatures;
pub use crate::storage::StorageError;
pub use crate::storage::snapshots::{Incoming, SnapshotFile};

/// What handing over leadership may take before a node stops regardless.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);
/// What the watch streams may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Between two looks for pods that are connected nowhere.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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

/// A running node. Cheap to clone; [`ControlPlane::shutdown`] ends all clones.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    node: Node,
    clock: Arc<dyn Clock>,
    watch: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    stopping: CancellationToken,
    /// Of the keyring that this node opens secrets with; the first one seals.
    master_key_ids: Vec<String>,
    advertise_addr: String,
    admin_url: Option<String>,
}

impl ControlPlane {
    /// Answers once the command is applied on *this* node, so that the caller reads its own write.
    pub async fn propose(&self, command: Command) -> Result<Applied, ProposeError> {
        if self.inner.stopping.is_cancelled() {
            return Err(ProposeError::Stopping);
        }
        self.cluster().propose(command).await.map_err(|failure| match failure {
            Failure::Rejected(rejection) => ProposeError::Rejected(rejection),
            Failure::NoLeader => ProposeError::NoLeader,
            Failure::Unknown => ProposeError::OutcomeUnknown,
            Failure::KeyGeneration => ProposeError::KeyGeneration,
            Failure::TooNew => ProposeError::TooNew,
            Failure::TooLarge => ProposeError::TooLarge,
            Failure::Stopping => ProposeError::Stopping,
        })
    }

    /// Refuses what [`ControlPlane::propose`] would not even propose, if it were stamped so.
    pub fn judge(&self, command: &Command, stamp: &Stamp) -> Result<(), ProposeError> {
        self.judge_level(&command.mutation)?;
        payload(command, stamp).map(drop).ok_or(ProposeError::TooLarge)
    }

    /// Refuses what a voter would not understand.
    pub fn judge_level(&self, mutation: &Mutation) -> Result<(), ProposeError> {
        if self.cluster().proposals.is_understood(mutation) { Ok(()) } else { Err(ProposeError::TooNew) }
    }

    /// Looks at the local state. `f` must be short: writes wait for it.
    pub fn read<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        self.cluster().replica.read(f)
    }

    /// To sign calls to other nodes and to verify theirs, outside the peer listener.
    pub fn signatures(&self) -> &Signatures {
        &self.inner.node.signatures
    }

    /// Waits until a [`ControlPlane::read`] is as fresh as `want`; the revision that is then applied.
    pub async fn barrier(&self, want: Consistency, timeout: Duration) -> Result<Revision, BarrierError> {
        let deadline = Instant::now() + timeout;
        let wanted = match want {
            Consistency::Local => return Ok(self.applied_revision()),
            Consistency::AtLeast(revision) => revision,
            Consistency::Linearizable => match self.cluster().read_index(deadline).await {
                Some(index) => Revision(index),
                None if self.inner.stopping.is_cancelled() => return Err(BarrierError::Stopping),
                None => return Err(BarrierError::NoLeader),
            },
        };
        match tokio::time::timeout_at(deadline, self.cluster().replica.reach(wanted)).await {
            Ok(()) => Ok(self.applied_revision()),
            Err(_) => Err(BarrierError::NotReached { wanted, reached: self.applied_revision() }),
        }
    }

    /// The same, with the revision that it is at.
    pub fn read_with_revision<R>(&self, f: impl FnOnce(&State) -> R) -> (Revision, R) {
        let (revision, state) = self.cluster().replica.state();
        (revision, f(&state))
    }

    /// Follows the applied revision.
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.cluster().replica.feed().newest()
    }

    pub fn applied_revision(&self) -> Revision {
        self.cluster().replica.applied()
    }

    pub fn status(&self) -> ClusterStatus {
        self.cluster().status()
    }

    /// True while this node leads and has applied everything its predecessors committed.
    pub fn leadership(&self) -> watch::Receiver<bool> {
        self.inner.node.leading.clone()
    }

    /// The leader's admin URL, asked of the leader itself; `None` when there is no leader or it has none.
    pub async fn leader_admin_url(&self) -> Option<String> {
        let leader = self.cluster().leader()?;
        self.cluster().admin_url_of(leader).await
    }

    /// The pods of every node, and those that are gone.
    pub async fn fleet(&self) -> Fleet {
        let census = self.census(Revision::ZERO, Duration::ZERO).await;
        let (revision, state) = self.cluster().replica.state();
        let feed = self.cluster().replica.feed();
        let awaited = rotation::awaited(&state);
        Fleet::of(&census, &state, revision, awaited, self.inner.clock.now(), |acknowledged| {
            encode::stamp_of(&feed.after(acknowledged).ok()??)
        })
    }

    /// Waits until every connected pod has acknowledged `revision`, also those that are between two nodes.
    pub async fn wait_for_fleet(&self, revision: Revision, timeout: Duration) -> FleetWait {
        let deadline = Instant::now() + timeout;
        loop {
            let census = self.census(revision, deadline.saturating_duration_since(Instant::now())).await;
            let missing = self.read(|state| census.missing(state));
            if missing.is_empty() || Instant::now() >= deadline {
                return FleetWait::of(census, revision, missing);
            }
            // Nobody here is told at which node one turns up.
            tokio::time::sleep_until(deadline.min(Instant::now() + LOOK_AGAIN)).await;
        }
    }

    /// Asks every node at once; each answers when its own pods have acknowledged `revision` or `wait` is over.
    pub async fn census(&self, revision: Revision, wait: Duration) -> Census {
        let cluster = self.cluster();
        let local = async {
            let pods = &self.inner.node.pods;
            pods.wait_until_acknowledged(revision, wait).await;
            NodePods { connected: pods.list(), departed: pods.departed(), applied: self.applied_revision() }
        };
        let others = cluster.others().into_iter().map(async |node| (node, cluster.pods_of(node, revision, wait).await));
        let (local, others) = tokio::join!(local, futures::future::join_all(others));
        let mut census = Census { nodes: vec![local], unreachable_nodes: Vec::new() };
        for (node, answer) in others {
            match answer {
                PodsAnswer::Pods(theirs) => census.nodes.push(theirs),
                PodsAnswer::Down => {}
                PodsAnswer::Unreachable => census.unreachable_nodes.push(node),
            }
        }
        census
    }

    /// The audit's records on this node.
    pub fn records(&self) -> &audit::Store {
        self.cluster().replica.records()
    }

    /// Where whatever this node has to report goes; see [`crate::audit`].
    pub fn notes(&self) -> &Notes {
        &self.inner.node.notes
    }

    /// Writes a snapshot of this moment to a file of its own: everything that [`Self::applied_revision`] includes. The file
    /// is gone with its last handle.
    pub async fn take_snapshot(&self) -> Result<(Revision, SnapshotFile), StorageError> {
        let machine = self.inner.node.machine.clone();
        let taken = tokio::task::spawn_blocking(move || machine.take_away()).await;
        let (revision, file) = taken.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        Ok((revision.unwrap_or_default(), file))
    }

    /// The state and the revision it is at. Cheap: the resources are shared.
    pub fn state(&self) -> (Revision, State) {
        self.cluster().replica.state()
    }

    /// A file beside the snapshots, to gather what is sent here. It is gone with its last handle.
    pub fn spool(&self) -> Result<Incoming, StorageError> {
        let name = format!("{:032x}", rand::random::<u128>());
        self.inner.node.machine.snapshots().incoming(&name)
    }

    /// Has this node keep a snapshot of its own now, so that its log can be cut; the revision it is at.
    pub async fn compact(&self, timeout: Duration) -> Result<Revision, BarrierError> {
        let wanted = self.applied_revision();
        match self.cluster().snapshot_now(wanted, timeout).await {
            Some(revision) => Ok(revision),
            None => Err(BarrierError::NotReached { wanted, reached: self.status().snapshot }),
        }
    }

    /// The master keys that something in the configuration is sealed with and that this node does not hold.
    pub fn missing_master_keys(&self) -> Vec<String> {
        let held = |id: &&String| self.inner.master_key_ids.contains(id);
        self.read(|state| state.sealed_with().keys().filter(|id| !held(id)).cloned().collect())
    }

    /// Which master keys each member holds, the one it seals with first; `None` for those that do not answer.
    pub async fn master_keys(&self) -> BTreeMap<NodeId, Option<Vec<String>>> {
        let cluster = self.cluster();
        let others = cluster.others().into_iter().map(async |node| (node, cluster.master_keys_of(node).await));
        let mut held: BTreeMap<_, _> = futures::future::join_all(others).await.into_iter().collect();
        held.insert(cluster.node_id(), Some(self.inner.master_key_ids.clone()));
        held
    }

    /// Changes the membership, at the leader. Answers once this node has applied the change.
    pub async fn change_members(&self, request: &MemberRequest) -> Result<(), MemberError> {
        self.cluster().ask(request).await.map(|_| ())
    }

    /// A node has said, signed, where it is and perhaps wants to be taken in.
    pub async fn take_in(&self, request: &MemberRequest) -> Result<(), MemberError> {
        if let MemberChange::Join { id, spec, .. } = &request.change {
            self.cluster().hear(*id, &spec.peer_addr).await;
        }
        self.change_members(request).await
    }

    /// What this node says of itself.
    pub fn announcement(&self, source: NodeSource) -> MemberRequest {
        let spec = NodeSpec {
            peer_addr: self.inner.advertise_addr.clone(),
            admin_url: self.inner.admin_url.clone(),
            source,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            feature_level: FEATURE_LEVEL,
            promotion: None,
        };
        let data = if self.cluster().is_blank() { Data::Blank } else { Data::OfThisCluster };
        let change = MemberChange::Join { id: self.cluster().node_id(), spec, data };
        MemberRequest { change, actor: Actor::System, origin: Origin::default() }
    }

    /// Tells the members that this node knows where it is.
    pub async fn announce(&self) -> Result<(), MemberError> {
        self.cluster().announce(&self.announcement(NodeSource::Static)).await
    }

    /// Whether the cluster has said that this node is not in it any more, and in which words.
    pub fn dismissal(&self) -> watch::Receiver<Option<String>> {
        self.cluster().dismissal.subscribe()
    }

    /// Whether this node has neither a log nor a cluster.
    pub fn is_blank(&self) -> bool {
        self.cluster().is_blank()
    }

    /// Whether this node is in no cluster, and none is being made here or by one that it has voted for.
    pub fn is_free(&self) -> bool {
        self.cluster().is_blank() && self.cluster().binding.cluster_id().is_none()
    }

    /// Whether it is this node that makes a cluster, once it may.
    pub fn would_found(&self) -> bool {
        !self.inner.node.founders.is_empty()
    }

    pub fn node_id(&self) -> NodeId {
        self.cluster().node_id()
    }

    /// Why this node, which is to make a cluster, has not done so.
    pub fn unfounded(&self) -> Option<String> {
        self.cluster().unfounded.borrow().clone()
    }

    /// Makes a cluster, if this node is to and there is none yet.
    pub async fn found(&self) -> Result<(), String> {
        founding::found(self.cluster(), &self.inner.node.founders).await.map_err(|why| why.to_string())
    }

    /// Returns once the cluster that this node was to be in came to nothing: shut down, it is a new node.
    pub async fn came_to_nothing(&self) {
        self.cluster().retreat.cancelled().await;
    }

    /// Hands leadership over, if this node has it: the others need not find out by themselves that it is gone.
    pub async fn hand_over(&self) {
        self.cluster().hand_over(HAND_OVER_TIMEOUT).await;
    }

    /// Ends the watch streams, the peer listener, Raft and storage, in this order. Safe to call again.
    pub async fn shutdown(&self) {
        self.inner.stopping.cancel();
        if let Some(mut watch) = self.inner.watch.lock().await.take()
            && tokio::time::timeout(STOP_TIMEOUT, &mut watch).await.is_err()
        {
            watch.abort();
        }
        self.inner.node.stop().await;
    }

    fn cluster(&self) -> &Cluster {
        &self.inner.node.cluster
    }
}

/// Opens the storage, joins or initialises the cluster and serves peers and pods.
pub async fn start(config: NodeConfig, keyring: Keyring, clock: Arc<dyn Clock>) -> Result<ControlPlane, StartError> {
    let tls = config.tls;
    let (advertise_addr, admin_url) = (config.advertise_addr.clone(), config.advertise_admin_url.clone());
    let settings = node::Settings {
        node_id: config.node_id,
        listener: config.raft_listener,
        advertise_addr: config.advertise_addr,
        admin_url: config.advertise_admin_url,
        bootstrap: config.bootstrap,
        admission: config.admission,
        peers: config.peers,
        data_dir: config.data_dir.clone(),
        hmac_secrets: config.hmac_secrets,
        watch_token: config.watch_token.clone(),
        tls: tls.clone(),
        heartbeat: config.heartbeat,
        election_timeout_min: config.election_timeout_min,
        election_timeout_max: config.election_timeout_max,
        snapshot_every: config.snapshot_every,
    };
    let master_key_ids = keyring.keys().map(|key| key.id().to_owned()).collect();
    let node = Node::start(settings, keyring.clone(), Arc::clone(&clock))
        .await
        .map_err(|why| start_error(why, config.data_dir))?;
    let stopping = CancellationToken::new();
    let source = crate::watch::Source {
        cluster: node.cluster.clone(),
        pods: node.pods.clone(),
        clock: Arc::clone(&clock),
        keyring,
        token: config.watch_token,
        stopping: stopping.clone(),
    };
    let watch = match crate::watch::serve(source, config.watch_listener, tls.as_ref()) {
        Ok(watch) => watch,
        Err(why) => {
            node.stop().await;
            return Err(StartError::Listener(format!("the watch listener: {why}")));
        }
    };
    Ok(ControlPlane {
        inner: Arc::new(Inner {
            node,
            clock,
            watch: tokio::sync::Mutex::new(Some(watch)),
            stopping,
            advertise_addr,
            admin_url,
            master_key_ids,
        }),
    })
}

#[cfg(test)]
mod tests;
