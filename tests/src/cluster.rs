//! A control plane of one or more nodes, and what can happen to them.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::admin::Admin;
use crate::instance::Instance;
use crate::network::Network;
use crate::postgres::free_port;
use crate::process::{Launch, Process};
use crate::programs;
use crate::scratch;
use crate::wait::{PATIENCE, until};

/// What every node, pod and operator of one installation must agree on.
#[derive(Clone, Debug)]
pub struct Secrets {
    pub master_key: String,
    pub cluster_hmac: String,
    pub watch_token: String,
    /// The first owner's credential.
    pub owner: String,
}

impl Secrets {
    pub fn random() -> Self {
        let text = |bytes: [u8; 32]| URL_SAFE_NO_PAD.encode(bytes).replace(['-', '_'], "0");
        Self {
            master_key: STANDARD.encode(rand::random::<[u8; 32]>()),
            cluster_hmac: text(rand::random()),
            watch_token: text(rand::random()),
            owner: format!("hja_{}_{}", uuid::Uuid::from_u128(rand::random()).simple(), text(rand::random())),
        }
    }
}

#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub secrets: Secrets,
}

#[derive(Debug)]
pub struct Node {
    pub id: u64,
    instance: Instance<Addresses>,
}

impl Deref for Node {
    type Target = Instance<Addresses>;

    fn deref(&self) -> &Self::Target {
        &self.instance
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.instance
    }
}

/// Where a node will listen.
struct Place {
    raft: String,
    watch: String,
    admin: String,
    ops: String,
    namespace: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Addresses {
    pub raft: String,
    pub watch: String,
    pub admin: String,
    pub ops: String,
}

impl Cluster {
    /// Starts that many nodes and waits until each knows the leader.
    pub async fn start(nodes: u64) -> Self {
        Self::start_with(nodes, &[]).await
    }

    /// The same with more flags for every node.
    pub async fn start_with(nodes: u64, flags: &[&str]) -> Self {
        let mut cluster = Self::prepare(nodes, flags);
        cluster.start_all().await;
        cluster.ready().await;
        cluster
    }

    /// Everything but the processes.
    pub fn prepare(count: u64, flags: &[&str]) -> Self {
        // Peers and pods must find a node again after its restart, so these ports are chosen here. The others may change.
        let places = (1..=count).map(|id| {
            let at = |port| format!("127.0.0.1:{port}");
            (id, Place { raft: at(free_port()), watch: at(free_port()), admin: at(0), ops: at(0), namespace: None })
        });
        Self::at(&places.collect::<Vec<_>>(), flags)
    }

    /// The same with each node in a namespace of that network.
    pub fn prepare_in(network: &Network, count: u64, flags: &[&str]) -> Self {
        let places = (1..=count).map(|id| {
            let at = |port| format!("{}:{port}", network.address(id));
            let namespace = Some(network.namespace(id));
            (id, Place { raft: at(7000), watch: at(7100), admin: at(7200), ops: at(7300), namespace })
        });
        Self::at(&places.collect::<Vec<_>>(), flags)
    }

    fn at(places: &[(u64, Place)], flags: &[&str]) -> Self {
        let secrets = Secrets::random();
        let peers: Vec<String> = places.iter().map(|(id, place)| format!("{id}={}", place.raft)).collect();
        let nodes = places.iter().map(|(id, place)| {
            let mut launch = Node::launch(*id, &secrets);
            launch.namespace.clone_from(&place.namespace);
            launch.set("--admin-addr", &place.admin);
            launch.set("--ops-addr", &place.ops);
            launch.args.extend(["--raft-addr".to_owned(), place.raft.clone()]);
            launch.args.extend(["--advertise-addr".to_owned(), place.raft.clone()]);
            launch.args.extend(["--watch-addr".to_owned(), place.watch.clone()]);
            if peers.len() > 1 {
                launch.args.extend(["--peers".to_owned(), peers.join(",")]);
            }
            launch.args.extend(flags.iter().map(ToString::to_string));
            Node::new(*id, launch)
        });
        Self { nodes: nodes.collect(), secrets }
    }

    /// One more node, with the flags given and no others about the cluster; its place. Not started.
    pub fn prepare_node(&mut self, id: u64, flags: &[&str]) -> usize {
        let mut launch = Node::launch(id, &self.secrets);
        let (raft, watch) = (free_port(), free_port());
        launch.args.extend(["--raft-addr".to_owned(), format!("127.0.0.1:{raft}")]);
        launch.args.extend(["--advertise-addr".to_owned(), format!("127.0.0.1:{raft}")]);
        launch.args.extend(["--watch-addr".to_owned(), format!("127.0.0.1:{watch}")]);
        launch.args.extend(flags.iter().map(ToString::to_string));
        self.nodes.push(Node::new(id, launch));
        self.nodes.len() - 1
    }

    /// Nobody stands for election because the machine is busy, nor for as long as writers wait for an answer: for tests
    /// that look whether anybody did.
    pub fn be_patient(&mut self) {
        for node in &mut self.nodes {
            node.stands_after(8_000, 12_000);
        }
    }

    pub async fn start_all(&mut self) {
        let places: Vec<usize> = (0..self.nodes.len()).collect();
        self.start_at_once(&places).await;
    }

    /// All processes first, in that order: nodes of a fresh cluster wait for one another.
    pub async fn start_at_once(&mut self, places: &[usize]) {
        for place in places {
            self.nodes[*place].spawn();
        }
        for place in places {
            self.nodes[*place].bound().await;
        }
    }

    pub fn kill_all(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
    }

    /// Waits until every running node says that it is ready.
    pub async fn ready(&mut self) {
        for node in &mut self.nodes {
            if node.is_started() {
                node.ready().await;
            }
        }
    }

    /// The control plane's endpoints as pods are told them.
    pub fn watch_urls(&self) -> String {
        let urls: Vec<String> = self.nodes.iter().map(|node| format!("http://{}", node.addresses().watch)).collect();
        urls.join(",")
    }

    /// The owner, signed in at that node.
    pub async fn admin(&self, node: usize) -> Admin {
        let node = &self.nodes[node];
        let what = format!("the owner signs in at node {}", node.id);
        until(&what, PATIENCE, async || Admin::sign_in(&node.admin_url(), &self.secrets.owner).await).await
    }

    /// The place (not the id) of the node that all running nodes take for the leader.
    pub async fn leader(&self) -> usize {
        let running: Vec<usize> = (0..self.nodes.len()).filter(|place| self.nodes[*place].is_started()).collect();
        let mut admins = Vec::new();
        for place in running {
            admins.push(self.admin(place).await);
        }
        until("all running nodes name the same leader", PATIENCE, async || {
            let mut named = Vec::new();
            for admin in &admins {
                let status = admin.try_get("/cluster/status").await.map_err(|error| error.to_string())?;
                named.push(status.json["leader_id"].as_u64());
            }
            let leader = named.first().copied().flatten().ok_or_else(|| format!("leaders named: {named:?}"))?;
            let place = self.nodes.iter().position(|node| node.id == leader && node.is_started());
            match place {
                Some(place) if named.iter().all(|other| *other == Some(leader)) => Ok(place),
                _ => Err(format!("leaders named: {named:?}")),
            }
        })
        .await
    }

    /// The logs of every node, for tests that look for what must not be in them.
    pub fn logs(&self) -> String {
        self.started().map(Process::log).collect()
    }

    fn started(&self) -> impl Iterator<Item = &Process> {
        self.nodes.iter().filter(|node| node.is_started()).map(|node| node.process())
    }

    pub fn show_logs(&self) {
        self.started().for_each(Process::show_log);
    }
}

impl Node {
    /// The flags that every node has, whatever its place in a cluster.
    pub fn launch(id: u64, secrets: &Secrets) -> Launch {
        let folder = scratch::folder(&format!("node-{id}"));
        let file = |name: &str| folder.join(name).display().to_string();
        let args = [
            ("--node-id", id.to_string()),
            ("--data-dir", file("data")),
            ("--addresses-file", file("addresses.json")),
            ("--admin-addr", "127.0.0.1:0".to_owned()),
            ("--ops-addr", "127.0.0.1:0".to_owned()),
            // Quick to elect, yet patient enough for a busy machine.
            ("--heartbeat-ms", "100".to_owned()),
            ("--election-timeout-min-ms", "400".to_owned()),
            ("--election-timeout-max-ms", "800".to_owned()),
        ];
        let env = [
            ("SECRETBOX_MASTER_KEY", &secrets.master_key),
            ("CLUSTER_HMAC_SECRET", &secrets.cluster_hmac),
            ("HJ_WATCH_TOKEN", &secrets.watch_token),
            ("HJ_BOOTSTRAP_ADMIN_CREDENTIAL", &secrets.owner),
        ];
        Launch {
            name: format!("control-plane node {id}"),
            program: programs::controlplane_daemon(),
            args: args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect(),
            env: env.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect(),
            user: None,
            namespace: None,
            log: folder.join("log"),
        }
    }

    fn new(id: u64, launch: Launch) -> Self {
        Self { id, instance: Instance::new(launch) }
    }

    /// It stands for election when it has heard of no leader for that long.
    pub fn stands_after(&mut self, min_ms: u32, max_ms: u32) {
        self.launch_mut().set("--election-timeout-min-ms", &min_ms.to_string());
        self.launch_mut().set("--election-timeout-max-ms", &max_ms.to_string());
    }

    /// Waits until `/readyz` says 200.
    pub async fn ready(&mut self) {
        let ops_url = self.ops_url();
        self.instance.ready_at(&ops_url).await;
    }

    /// Where peers reach it, running or not.
    pub fn raft_addr(&self) -> String {
        self.flag("--advertise-addr").expect("it has one").to_owned()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.file("data")
    }

    pub fn admin_url(&self) -> String {
        format!("http://{}", self.addresses().admin)
    }

    pub fn ops_url(&self) -> String {
        format!("http://{}", self.addresses().ops)
    }
}
