//! One node's Raft from start to stop: storage, openraft, the listener for peers, and the task that minds leadership.

#[cfg(test)]
mod trial;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use controlplane_core::{Actor, Command, Mutation, Noted};
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::Fatal;
use openraft::{BasicNode, Config, SnapshotPolicy};
use shared_proto::peer::peer_server::PeerServer;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use transport::incoming::Incoming;
use vocab::{Clock, ClusterId, Keyring, NodeId, Revision, Secret};

use super::backfill;
use super::binding::Binding;
use super::cluster::{Cluster, Failure};
use super::contact::Contact;
use super::founding::{self, Founders};
use super::log_storage::{LogStorage, StoredLogId};
use super::network::Network;
use super::peers::Peers;
use super::proposals::Proposals;
use super::record;
use super::retreat;
use super::service::{Parts, Service};
use super::state_machine::StateMachine;
use super::tend::tend;
use super::thread::RaftThread;
use super::types::{Raft, Types};
use super::watchdog::Watchdog;
use crate::audit::{self, Notes};
use crate::feed;
use crate::fleet::Registry;
use crate::membership::{Admission, Bootstrap};
use crate::signature::Signatures;
use crate::signature::layer::{MAX_BODY_BYTES, Verifying};
use crate::storage::binding;
use crate::storage::log_store::{Fact, LogStore};
use crate::storage::snapshots::Snapshots;
use crate::storage::{StorageError, identity, stop_process};
use crate::tls::{self, Tls};

/// Peers that went silent are noticed by this.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Until a leader that could not take office tries again.
const OFFICE_RETRY: Duration = Duration::from_millis(200);
/// What a task may take to end when it is told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// How this node takes part.
#[derive(Debug)]
pub struct Settings {
    pub node_id: NodeId,
    pub listener: TcpListener,
    pub advertise_addr: String,
    pub admin_url: Option<String>,
    pub bootstrap: Bootstrap,
    pub admission: Admission,
    /// Every voter but this one may be missing; empty for a cluster of one.
    pub peers: BTreeMap<NodeId, String>,
    pub data_dir: PathBuf,
    pub hmac_secrets: Vec<Secret<String>>,
    /// What pods present, to know them should they call here.
    pub watch_token: Option<Secret<String>>,
    pub tls: Option<Tls>,
    pub heartbeat: Duration,
    pub election_timeout_min: Duration,
    pub election_timeout_max: Duration,
    pub snapshot_every: u64,
}

/// Why Raft did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{0}")]
    Config(String),
    #[error("the peer listener: {0}")]
    Listener(String),
    #[error("raft did not start: {0}")]
    Raft(String),
}

/// A running node. Ended by [`Node::stop`].
#[derive(Debug)]
pub struct Node {
    pub cluster: Cluster,
    pub pods: Registry,
    pub leading: watch::Receiver<bool>,
    /// Whom it makes a cluster of, if it makes one.
    pub founders: Founders,
    /// What this node has to report.
    pub notes: Notes,
    pub signatures: Signatures,
    pub machine: StateMachine,
    stopping: CancellationToken,
    tasks: parking_lot::Mutex<Vec<JoinHandle<()>>>,
    data_dir: PathBuf,
    store: parking_lot::Mutex<Option<LogStore>>,
    thread: parking_lot::Mutex<Option<RaftThread>>,
}

impl Node {
    pub async fn start(settings: Settings, keyring: Keyring, clock: Arc<dyn Clock>) -> Result<Self, NodeError> {
        let thread = RaftThread::start().map_err(|why| NodeError::Raft(format!("the thread of Raft: {why}")))?;
        let started = thread.run(Self::start_here(settings, keyring, clock)).await;
        let node = started.ok_or_else(|| NodeError::Raft("starting it panicked".to_owned()))??;
        *node.thread.lock() = Some(thread);
        Ok(node)
    }

    /// On the thread of Raft.
    async fn start_here(settings: Settings, keyring: Keyring, clock: Arc<dyn Clock>) -> Result<Self, NodeError> {
        let config = raft_config(&settings)?;
        // First of all: with a wrong key nothing is touched.
        identity::claim(&settings.data_dir, settings.node_id, &keyring)?;
        let begin = Instant::now();
        let store = LogStore::open(&settings.data_dir.join("log.redb"), check_record)?;
        tracing::info!(bytes = store.size_bytes(), duration_ms = begin.elapsed().as_millis(), "the log is read");
        // The data is ours alone now: the log is locked.
        identity::reseal(&settings.data_dir, &keyring)?;
        let snapshots = Snapshots::open(settings.data_dir.join("snapshots"))?;
        refuse_lost_log(&settings.data_dir.join("log.redb"), &store, &snapshots)?;
        let machine = StateMachine::open(snapshots, purged(&store)?, feed::Limits::default(), |chain| {
            audit::Store::open(&settings.data_dir.join("audit"), chain)
        })?;
        let replica = Arc::clone(machine.replica());

        let node_id = settings.node_id;
        // Before everything that may have something to report.
        let (notes, reported) = audit::notes(node_id, Arc::clone(&clock));
        let fresh = ClusterId::from_uuid(crate::id::fresh(&*clock));
        if store.last()?.is_none() && replica.cluster_id().is_none() {
            // It has kept nothing for the cluster that it was to be in: it is free for whoever calls first.
            binding::remove(&settings.data_dir)?;
        }
        let binding = Binding::open(node_id, settings.data_dir.clone(), replica.cluster_id(), fresh)?;
        let signatures = Signatures::new(node_id, &settings.hmac_secrets, binding.cluster_ids(), Arc::clone(&clock))
            .knowing_pods(settings.watch_token.as_ref())
            .reporting(notes.clone());
        let peers = Peers::new(
            settings.peers.clone(),
            Arc::clone(&replica),
            signatures.clone(),
            settings.tls.as_ref().map(Tls::to_peers),
        );
        let raft = Raft::new(
            node_id.0,
            config,
            Network::new(node_id, peers.clone()),
            LogStorage::new(store.clone()),
            machine.clone(),
        );
        let raft = raft.await.map_err(|why| NodeError::Raft(why.to_string()))?;
        // Once Raft answers, its metrics show what is on the disk; until then a node with a log looks blank.
        raft.is_initialized().await.map_err(|why| NodeError::Raft(why.to_string()))?;
        let revision = replica.applied().0;
        tracing::info!(revision, duration_ms = begin.elapsed().as_millis(), "what was committed is applied");
        let master_key_ids = keyring.keys().map(|key| key.id().to_owned()).collect();
        let proposals = Proposals::new(raft.clone(), Arc::clone(&replica), keyring, Arc::clone(&clock));
        let pods = Registry::new(node_id, Arc::clone(&clock));
        let cluster = Cluster {
            raft: raft.clone(),
            replica,
            proposals: proposals.clone(),
            peers,
            notes: notes.clone(),
            admission: settings.admission,
            // A heartbeat is missed now and then; a whole election is not.
            contact: Contact::new(settings.election_timeout_max * 2),
            binding: binding.clone(),
            changing: Arc::default(),
            dismissal: watch::Sender::default(),
            unfounded: watch::Sender::default(),
            retreat: CancellationToken::new(),
        };

        let stopping = CancellationToken::new();
        let admin_url = settings.admin_url.clone();
        let founders = founders(&settings);
        let named = cluster.replica.cluster_ids();
        let service = Service::new(Parts {
            raft,
            machine: machine.clone(),
            proposals,
            pods: pods.clone(),
            admin_url,
            cluster: cluster.clone(),
            signatures: signatures.clone(),
            master_key_ids,
            would_found: !founders.is_empty(),
            stopping: stopping.clone(),
        });
        let server = serve(&settings, service, signatures.clone(), stopping.clone())?;
        let mut tasks = vec![server, tokio::spawn(follow(binding, named, stopping.clone()))];
        if matches!(settings.bootstrap, Bootstrap::LowestId | Bootstrap::ThisNode) {
            tasks.push(tokio::spawn(founding::run(cluster.clone(), founders.clone(), stopping.clone())));
        }
        let (leads, leading) = watch::channel(false);
        let minder = tokio::spawn(mind_leadership(cluster.clone(), leads, stopping.clone()));
        let tender = tokio::spawn(tend(cluster.clone(), clock, leading.clone(), stopping.clone()));
        let backfill = tokio::spawn(backfill::run(cluster.clone(), stopping.clone()));
        let retreat =
            tokio::spawn(retreat::watch(cluster.clone(), store.clone(), signatures.clone(), stopping.clone()));
        let reporter = {
            let cluster = cluster.clone();
            tokio::spawn(reported.run(move |batch| report(cluster.clone(), batch), stopping.clone()))
        };
        tasks.extend([minder, tender, reporter, backfill, retreat]);
        Ok(Self {
            cluster,
            pods,
            leading,
            founders,
            notes,
            signatures,
            machine,
            stopping,
            tasks: parking_lot::Mutex::new(tasks),
            data_dir: settings.data_dir,
            store: parking_lot::Mutex::new(Some(store)),
            thread: parking_lot::Mutex::default(),
        })
    }

    /// How many writes of the log wait for the disk, and how many may; `None` once the node has stopped.
    pub fn log_writes_waiting(&self) -> Option<(usize, usize)> {
        self.store.lock().as_ref().map(LogStore::waiting)
    }

    /// Stops answering peers, then Raft, then waits until the log is closed.
    pub async fn stop(&self) {
        self.stopping.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for mut task in tasks {
            if tokio::time::timeout(STOP_TIMEOUT, &mut task).await.is_err() {
                tracing::warn!("a task of this node does not end by itself");
                task.abort();
            }
        }
        // Saves the next start the work of making them anew.
        let records = self.cluster.replica.records().clone();
        let _ = tokio::task::spawn_blocking(move || records.flush()).await;
        let stopped = self.cluster.raft.shutdown().await;
        if let Err(why) = &stopped {
            tracing::warn!(%why, "raft did not stop in order");
        }
        let store = self.store.lock().take();
        if let Some(store) = store {
            if stopped.is_ok()
                && self.cluster.retreat.is_cancelled()
                && let Err(why) = retreat::carry_out(&self.cluster, &store, &self.data_dir).await
            {
                stop_process(&why);
            }
            let ended = store.ended();
            drop(store);
            if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err() {
                tracing::warn!("the log is still held by somebody; it is durable nevertheless");
            }
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            thread.stop().await;
        }
    }
}

fn raft_config(settings: &Settings) -> Result<Arc<Config>, NodeError> {
    if settings.peers.keys().any(|id| *id != settings.node_id) && settings.hmac_secrets.is_empty() {
        return Err(NodeError::Config("CLUSTER_HMAC_SECRET is needed as soon as there are peers".to_owned()));
    }
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: "hellojohn".to_owned(),
        heartbeat_interval: millis(settings.heartbeat),
        election_timeout_min: millis(settings.election_timeout_min),
        election_timeout_max: millis(settings.election_timeout_max),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(settings.snapshot_every),
        // Back to the snapshot before the newest one, so that the older can stand in for it.
        max_in_snapshot_log_to_keep: settings.snapshot_every.saturating_mul(2),
        // Until it is known to be whole: [`Cluster::stand`].
        enable_elect: false,
        // A node that was cut off does not depose the leader when it comes back.
        enable_pre_vote: Some(true),
        // To the followers while this node's own disk writes: the two fsyncs of a commit run side by side.
        broadcast_submitted_on_append: Some(true),
        // A node whose disk was replaced comes back empty and is filled again; without this the leader would never send
        // it what it had acknowledged before. Until it has caught up, the cluster survives one failure less: its old
        // disk counted for a majority.
        allow_log_reversion: Some(true),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|why| NodeError::Config(why.to_string()))
}

/// The log store keeps bytes; here is known what they mean.
pub(super) fn check_record(index: u64, record: &[u8]) -> Result<(), String> {
    record::check_stored(index, record).map_err(|why| why.to_string())
}

/// Who has taken a snapshot has had a log. Without it the node has forgotten whom it voted for and what it acknowledged.
fn refuse_lost_log(path: &Path, store: &LogStore, snapshots: &Snapshots) -> Result<(), StorageError> {
    let blank = store.last()?.is_none() && store.fact(Fact::Vote)?.is_none() && store.fact(Fact::Purged)?.is_none();
    if blank && !snapshots.list()?.is_empty() {
        return Err(StorageError::corrupt(path, "it is empty or new, but there are snapshots of what was in it"));
    }
    Ok(())
}

pub(super) fn purged(store: &LogStore) -> Result<Option<u64>, StorageError> {
    let Some(bytes) = store.fact(Fact::Purged)? else { return Ok(None) };
    let purged: StoredLogId =
        serde_json::from_slice(&bytes).map_err(|why| StorageError::corrupt(std::path::Path::new("log.redb"), why))?;
    Ok(Some(purged.index))
}

fn serve(
    settings: &Settings,
    service: Service,
    signatures: Signatures,
    stopping: CancellationToken,
) -> Result<JoinHandle<()>, NodeError> {
    let failed = |why: &dyn std::fmt::Display| NodeError::Listener(why.to_string());
    let listener = settings.listener.try_clone().map_err(|why| failed(&why))?;
    listener.set_nonblocking(true).map_err(|why| failed(&why))?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|why| failed(&why))?;
    let mut server =
        Server::builder().http2_keepalive_interval(Some(KEEPALIVE)).http2_keepalive_timeout(Some(KEEPALIVE));
    let peer =
        PeerServer::new(service).max_decoding_message_size(MAX_BODY_BYTES).max_encoding_message_size(MAX_BODY_BYTES);
    let router = server.add_service(Verifying::new(peer, signatures));
    let incoming = Incoming::new(listener, tls::peer_port(settings.tls.as_ref()));
    Ok(tokio::spawn(async move {
        if let Err(why) = router.serve_with_incoming_shutdown(incoming, stopping.cancelled()).await {
            tracing::error!(%why, "the peer listener ended");
        }
    }))
}

/// Empty: the cluster is somebody else's to make.
fn founders(settings: &Settings) -> Founders {
    let mut members: Founders = settings.peers.iter().map(|(id, addr)| (id.0, BasicNode::new(addr))).collect();
    members.entry(settings.node_id.0).or_insert_with(|| BasicNode::new(&settings.advertise_addr));
    let is_first = members.keys().next() == Some(&settings.node_id.0);
    match settings.bootstrap {
        Bootstrap::LowestId if !is_first => Founders::new(),
        Bootstrap::Others => Founders::new(),
        Bootstrap::LowestId | Bootstrap::ThisNode | Bootstrap::ThisNodeAfterAsking => members,
    }
}

/// Keeps the file that says which cluster this is in step with the log. A change that is begun is done whole.
async fn follow(binding: Binding, named: watch::Receiver<Option<ClusterId>>, stopping: CancellationToken) {
    let _ = stopping.run_until_cancelled(binding.follow(named)).await;
}

/// Stops the process when Raft fails: what is left of it would answer nothing, and look alive.
async fn mind_leadership(cluster: Cluster, leads: watch::Sender<bool>, stopping: CancellationToken) {
    if let Some(why) = stopping.run_until_cancelled(lead(&cluster, &leads)).await {
        stop_process(&why);
    }
}

/// Tells when this node leads and has applied all that went before; names the cluster. Returns when Raft has failed.
async fn lead(cluster: &Cluster, leads: &watch::Sender<bool>) -> Fatal<Types> {
    let mut metrics = cluster.raft.metrics();
    let changes = metrics::counter!("raft_leadership_changes");
    let mut leader_seen = None;
    let mut watchdog = Watchdog::new(cluster.notes.clone());
    loop {
        let (leading, leader, running) = {
            let now = metrics.borrow_watched();
            watchdog.look(&now, &cluster.contact);
            (cluster.contact.leads(&now), cluster.contact.leader(&now), now.running_state.clone())
        };
        if let Err(why) = running {
            return why;
        }
        cluster.stand();
        cluster.binding.fill(cluster.filled_at()).await;
        if leader.is_some() && leader != leader_seen {
            leader_seen = leader;
            changes.increment(1);
            tracing::info!(?leader, "the cluster has a leader");
        }
        if !leading {
            leads.send_if_modified(|leads| std::mem::replace(leads, false));
        } else if !*leads.borrow() && take_office(cluster).await {
            leads.send_replace(true);
            // The state may have changed meanwhile: look again before waiting.
            continue;
        }
        let waits_for_office = leading && !*leads.borrow();
        tokio::select! {
            // Of a core that panicked, nobody says so.
            changed = metrics.changed() => if changed.is_err() { return Fatal::Panicked },
            // A quiet cluster of one changes nothing that would wake this again.
            () = tokio::time::sleep(OFFICE_RETRY), if waits_for_office => {}
            // Silence changes nothing either.
            () = tokio::time::sleep(cluster.contact.patience() / 2) => {}
        }
    }
}

/// Puts notes into the log. Whether they are there is not known when an outcome is not: then they may come twice.
async fn report(cluster: Cluster, notes: Vec<Noted>) -> Result<(), audit::NotNow> {
    let command = Command::new(Actor::System, Mutation::AuditNote { notes });
    match cluster.propose(command).await {
        Ok(_) => Ok(()),
        Err(Failure::Rejected(why)) => {
            tracing::error!(%why, "notes for the audit were refused");
            Ok(())
        }
        Err(why) => {
            tracing::debug!(?why, "notes for the audit have to wait");
            Err(audit::NotNow)
        }
    }
}

/// Whether this node leads, knows what its predecessors committed, and the cluster has a name.
async fn take_office(cluster: &Cluster) -> bool {
    let Some(index) = cluster.proposals.read_index().await else { return false };
    cluster.replica.reach(Revision(index)).await;
    if cluster.replica.cluster_id().is_some() {
        return true;
    }
    // Data of a release that named a cluster only now has none.
    let (Ok(id) | Err(id)) = cluster.binding.chosen().await;
    cluster.proposals.name_cluster(id).await.is_ok()
}
