mod broken;
mod filled;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use controlplane_core::model::{AdminSpec, Promotion, Role};
use controlplane_core::{Actor, Mutation, Rejection, ResourceRef};
use uuid::Uuid;
use vocab::{AdminId, ErrorCode, MasterKey, Secret, SecretDigest, SystemClock};

use super::*;

const WAIT: Duration = Duration::from_secs(20);

fn keyring(byte: u8) -> Keyring {
    Keyring::new(MasterKey::new([byte; 32]), Vec::new())
}

fn bind(port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap()
}

/// Nodes with fixed addresses and directories, so that they can be started again.
struct Nodes {
    dir: tempfile::TempDir,
    addrs: BTreeMap<NodeId, SocketAddr>,
    /// Bound once to reserve the port; taken by the first start.
    reserved: BTreeMap<NodeId, TcpListener>,
    snapshot_every: u64,
}

impl Nodes {
    fn new(count: u64) -> Self {
        let reserved: BTreeMap<_, _> = (1..=count).map(|id| (NodeId(id), bind(0))).collect();
        let addrs = reserved.iter().map(|(id, listener)| (*id, listener.local_addr().unwrap())).collect();
        Self { dir: tempfile::tempdir().unwrap(), addrs, reserved, snapshot_every: 10_000 }
    }

    fn config(&mut self, id: u64) -> NodeConfig {
        let id = NodeId(id);
        let addr = self.addrs[&id];
        let raft_listener = self.reserved.remove(&id).unwrap_or_else(|| bind(addr.port()));
        let peers = if self.addrs.len() == 1 {
            BTreeMap::new()
        } else {
            self.addrs.iter().map(|(id, addr)| (*id, addr.to_string())).collect()
        };
        NodeConfig {
            node_id: id,
            raft_listener,
            watch_listener: bind(0),
            advertise_addr: addr.to_string(),
            advertise_admin_url: Some(format!("http://node-{id}.test")),
            bootstrap: crate::membership::Bootstrap::LowestId,
            admission: crate::membership::Admission::Learner,
            peers,
            data_dir: self.dir.path().join(id.to_string()),
            hmac_secrets: vec![Secret::new("cluster secret".to_owned())],
            watch_token: Some(Secret::new("token".to_owned())),
            tls: None,
            heartbeat: Duration::from_millis(100),
            election_timeout_min: Duration::from_millis(300),
            election_timeout_max: Duration::from_millis(600),
            snapshot_every: self.snapshot_every,
        }
    }

    async fn start(&mut self, id: u64) -> ControlPlane {
        start(self.config(id), keyring(1), Arc::new(SystemClock)).await.unwrap()
    }

    async fn start_all(&mut self) -> Vec<ControlPlane> {
        let ids: Vec<u64> = self.addrs.keys().map(|id| id.0).collect();
        let mut nodes = Vec::new();
        for id in ids {
            nodes.push(self.start(id).await);
        }
        nodes
    }
}

async fn leader_of(nodes: &[ControlPlane]) -> usize {
    let waits = nodes.iter().enumerate().map(|(index, node)| {
        Box::pin(async move {
            node.leadership().wait_for(|leads| *leads).await.unwrap();
            index
        })
    });
    tokio::time::timeout(WAIT, futures::future::select_all(waits)).await.unwrap().0
}

fn create_admin(number: u128) -> Command {
    let mutation = Mutation::AdminCreate {
        id: AdminId::from_uuid(Uuid::from_u128(number)),
        spec: AdminSpec { name: format!("admin {number}"), role: Role::Owner, expires_at: None },
        digest: SecretDigest::of(b"secret"),
    };
    Command::new(Actor::System, mutation)
}

/// On a busy machine leadership may change meanwhile; with a request id it is applied once however often it is sent.
async fn propose_surely(node: &ControlPlane, mut command: Command) {
    command.request_id = Some(Uuid::from_u128(rand::random()).to_string().parse().unwrap());
    let done = async {
        while let Err(why) = node.propose(command.clone()).await {
            assert!(matches!(why, ProposeError::NoLeader | ProposeError::OutcomeUnknown), "{why}");
        }
    };
    tokio::time::timeout(WAIT, done).await.unwrap();
}

fn has_admin(node: &ControlPlane, number: u128) -> bool {
    node.read(|state| state.admin(AdminId::from_uuid(Uuid::from_u128(number))).is_some())
}

async fn stop(nodes: Vec<ControlPlane>) {
    futures::future::join_all(nodes.iter().map(ControlPlane::shutdown)).await;
}

/// Once in the leader's log it would be sent to the followers for ever, and refused by them, and all behind it would wait.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_follower_could_be_sent_does_not_get_into_the_log() {
    let mut nodes = Nodes::new(3);
    let running = nodes.start_all().await;
    let leader = leader_of(&running).await;
    let spec = AdminSpec { name: "x".repeat(33 << 20), role: Role::Owner, expires_at: None };
    let id = AdminId::from_uuid(Uuid::from_u128(1));
    let mutation = Mutation::AdminCreate { id, spec, digest: SecretDigest::of(b"secret") };
    for (place, number) in [(leader, 10), ((leader + 1) % 3, 11)] {
        let refused = running[place].propose(Command::new(Actor::System, mutation.clone())).await.unwrap_err();
        assert_eq!((&refused, refused.code()), (&ProposeError::TooLarge, ErrorCode::PayloadTooLarge));
        propose_surely(&running[place], create_admin(number)).await;
    }
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_node_writes_refuses_replays_and_comes_back() {
    let mut nodes = Nodes::new(1);
    let node = nodes.start(1).await;
    leader_of(std::slice::from_ref(&node)).await;
    let cluster_id = node.status().cluster_id.unwrap();

    let applied = node.propose(create_admin(7)).await.unwrap();
    // The node's own reports may have come after it.
    assert!(node.applied_revision() >= applied.revision);
    assert!(has_admin(&node, 7));
    let refused = node.propose(create_admin(7)).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Rejected(Rejection::AlreadyExists { .. })), "{refused}");

    let mut again = create_admin(8);
    again.request_id = Some("retry".parse().unwrap());
    let first = node.propose(again.clone()).await.unwrap();
    let second = node.propose(again).await.unwrap();
    assert!(second.replayed && !first.replayed);
    assert_eq!(second.revision, first.revision);
    assert!(matches!(second.resource, ResourceRef::Admin { .. }));
    let linearizable = node.barrier(Consistency::Linearizable, WAIT).await.unwrap();
    assert!(linearizable >= second.revision);
    node.shutdown().await;
    drop(node);

    let node = nodes.start(1).await;
    leader_of(std::slice::from_ref(&node)).await;
    assert!(has_admin(&node, 7) && has_admin(&node, 8));
    assert_eq!(node.status().cluster_id, Some(cluster_id));
    node.shutdown().await;
}

/// They share entries' way through the log, and each has its own answer.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_proposals_at_once_each_gets_its_own_answer() {
    let mut nodes = Nodes::new(1);
    let node = nodes.start(1).await;
    leader_of(std::slice::from_ref(&node)).await;
    let everyone = (0..200).map(async |proposal: u128| (proposal / 2, node.propose(create_admin(proposal / 2)).await));
    let mut made = BTreeMap::new();
    let mut refused = BTreeSet::new();
    for (number, outcome) in futures::future::join_all(everyone).await {
        match outcome {
            Ok(applied) => {
                assert_eq!(applied.resource, ResourceRef::Admin { id: AdminId::from_uuid(Uuid::from_u128(number)) });
                assert!(has_admin(&node, number));
                assert_eq!(made.insert(applied.revision, number), None, "two at one revision");
            }
            Err(ProposeError::Rejected(Rejection::AlreadyExists { .. })) => assert!(refused.insert(number)),
            Err(other) => panic!("{other}"),
        }
    }
    let made: BTreeSet<_> = made.into_values().collect();
    assert_eq!((made.len(), &made), (100, &refused));
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_master_key_is_refused() {
    let mut nodes = Nodes::new(1);
    nodes.start(1).await.shutdown().await;
    let refused = start(nodes.config(1), keyring(2), Arc::new(SystemClock)).await.unwrap_err();
    assert!(matches!(&refused, StartError::WrongMasterKey { .. }), "{refused}");
    assert_eq!(refused.exit_code(), 78);
}

#[tokio::test]
async fn peers_without_a_secret_are_refused() {
    let mut nodes = Nodes::new(3);
    let config = NodeConfig { hmac_secrets: Vec::new(), ..nodes.config(1) };
    let refused = start(config, keyring(1), Arc::new(SystemClock)).await.unwrap_err();
    assert!(refused.exit_code() == 78 && refused.to_string().contains("CLUSTER_HMAC_SECRET"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_elect_forward_fail_over_and_come_back() {
    let mut nodes = Nodes::new(3);
    let running = nodes.start_all().await;
    leader_of(&running).await;
    for (number, node) in running.iter().enumerate() {
        node.propose(create_admin(number as u128)).await.unwrap();
        assert!(has_admin(node, number as u128), "the asking node reads its own write");
    }
    for node in &running {
        node.barrier(Consistency::Linearizable, WAIT).await.unwrap();
        assert!((0..3).all(|number| has_admin(node, number)));
        assert!(node.leader_admin_url().await.unwrap().starts_with("http://node-"));
        let fleet = node.fleet().await;
        assert!(fleet.pods.is_empty() && fleet.unreachable_nodes.is_empty());
    }
    let cluster_id = running[0].status().cluster_id;
    assert!(cluster_id.is_some());

    // The leader goes; the others go on.
    let mut running = running;
    let old = running.remove(leader_of(&running).await);
    let old_id = old.status().node_id;
    old.shutdown().await;
    drop(old);
    leader_of(&running).await;
    running[0].propose(create_admin(10)).await.unwrap();
    running[1].propose(create_admin(11)).await.unwrap();
    assert!(running[0].fleet().await.unreachable_nodes.is_empty(), "a node that is down has no pods");

    // It comes back and has everything.
    running.push(nodes.start(old_id.0).await);
    let newest = running[0].applied_revision();
    running[2].barrier(Consistency::AtLeast(newest), WAIT).await.unwrap();
    assert!(has_admin(&running[2], 10) && has_admin(&running[2], 11));

    // All go and come back.
    stop(running).await;
    let running = nodes.start_all().await;
    leader_of(&running).await;
    for node in &running {
        node.barrier(Consistency::Linearizable, WAIT).await.unwrap();
        assert!([0, 1, 2, 10, 11].into_iter().all(|number| has_admin(node, number)));
        assert_eq!(node.status().cluster_id, cluster_id);
        assert_eq!(node.status().members.len(), 3);
    }
    stop(running).await;
}

/// Requests wait so for a leader, some of them on the thread that has to find one.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_the_servers_to_change_does_not_spin() {
    let mut nodes = Nodes::new(1);
    let running = vec![nodes.start(1).await];
    leader_of(&running).await;
    let (began, mut times) = (tokio::time::Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(200) {
        running[0].cluster().something_changed(began + WAIT).await;
        times += 1;
    }
    assert!(times <= 20, "{times} times");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_too_long_gets_a_snapshot() {
    let mut nodes = Nodes::new(3);
    nodes.snapshot_every = 10;
    // No cluster is made while a node takes connections and says nothing.
    drop(nodes.reserved.remove(&NodeId(3)));
    let mut running = vec![nodes.start(1).await, nodes.start(2).await];
    leader_of(&running).await;
    for number in 0..100 {
        propose_surely(&running[0], create_admin(number)).await;
    }
    // Until then the log alone would do.
    for node in &running {
        tokio::time::timeout(WAIT, node.cluster().purged()).await.unwrap();
    }
    running.push(nodes.start(3).await);
    running[2].barrier(Consistency::AtLeast(running[0].applied_revision()), WAIT).await.unwrap();
    assert!((0..100).all(|number| has_admin(&running[2], number)));
    assert_ne!(running[2].status().snapshot, Revision::ZERO);
    stop(running).await;

    // And from its own snapshot and log after a restart.
    let running = nodes.start_all().await;
    for node in &running {
        node.barrier(Consistency::Linearizable, WAIT).await.unwrap();
        assert!((0..100).all(|number| has_admin(node, number)));
    }
    stop(running).await;
}

/// An older voter would stop at what it does not know, so that is not proposed; once it is replaced everything goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_voter_does_not_understand_is_not_proposed() {
    let mut nodes = Nodes::new(1);
    let node = nodes.start(1).await;
    leader_of(std::slice::from_ref(&node)).await;
    // It tells its own level once it leads.
    let mut revisions = node.revisions();
    let announced = async {
        while node.read(|state| state.node(NodeId(1)).is_none()) {
            revisions.changed().await.unwrap();
        }
    };
    tokio::time::timeout(WAIT, announced).await.unwrap();
    let told = async |feature_level: u16| {
        let peer_addr = nodes.addrs[&NodeId(1)].to_string();
        let spec = NodeSpec {
            peer_addr,
            admin_url: None,
            source: NodeSource::Static,
            version: None,
            feature_level,
            promotion: None,
        };
        node.propose(Command::new(Actor::System, Mutation::NodePut { id: NodeId(1), spec })).await.unwrap();
    };
    let settings = || Mutation::SettingsUpdate { spec: controlplane_core::model::ClusterSettingsSpec::default() };
    told(1).await;
    assert_eq!(node.status().feature_level, 1);
    let refused = node.propose(Command::new(Actor::System, settings())).await.unwrap_err();
    assert_eq!((&refused, refused.code()), (&ProposeError::TooNew, ErrorCode::UpgradeIncomplete));
    let _ = node.propose(create_admin(7)).await.unwrap();

    told(FEATURE_LEVEL).await;
    assert_eq!(node.status().feature_level, FEATURE_LEVEL);
    let _ = node.propose(Command::new(Actor::System, settings())).await.unwrap();
    stop(vec![node]).await;
}

fn asked(change: MemberChange) -> MemberRequest {
    MemberRequest { change, actor: Actor::System, origin: Origin::default() }
}

fn learner(promotion: Option<Promotion>) -> NodeSpec {
    NodeSpec {
        // Nobody is there.
        peer_addr: "127.0.0.1:1".to_owned(),
        admin_url: None,
        source: NodeSource::Manual,
        version: None,
        feature_level: 0,
        promotion,
    }
}

/// Every change of the membership on record, as action and node, once that one is.
async fn changes_until(node: &ControlPlane, last: (&str, u64)) -> Vec<(String, u64)> {
    let mut extents = node.records().extents();
    let found = async {
        loop {
            extents.borrow_and_update();
            let mut changes = Vec::new();
            let read = node.records().read(1, u64::MAX, audit::Order::OldestFirst, |_, line| {
                let record: serde_json::Value = serde_json::from_str(line).unwrap();
                if record["action"] == "cluster.membership_changed" {
                    let note = &record["note"];
                    changes.push((note["action"].as_str().unwrap().to_owned(), note["node"].as_u64().unwrap()));
                }
                std::ops::ControlFlow::Continue(())
            });
            read.unwrap();
            if changes.iter().any(|(action, id)| (action.as_str(), *id) == last) {
                return changes;
            }
            extents.changed().await.unwrap();
        }
    };
    tokio::time::timeout(WAIT, found).await.unwrap()
}

/// Waits until the state is so.
async fn until(node: &ControlPlane, is_so: impl Fn(&ControlPlane) -> bool) {
    let mut revisions = node.revisions();
    let reached = async {
        while !is_so(node) {
            revisions.changed().await.unwrap();
        }
    };
    tokio::time::timeout(WAIT, reached).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_has_left_of_a_replacement_is_finished_and_noted_once() {
    let mut nodes = Nodes::new(1);
    let node = nodes.start(1).await;
    leader_of(std::slice::from_ref(&node)).await;
    let (me, old) = (NodeId(1), NodeId(2));
    node.change_members(&asked(MemberChange::Add { id: old, spec: learner(None) })).await.unwrap();
    // It votes, the other does not any more: the leader died before it took that one out and cleared the record.
    let promotion = Some(Promotion { replaces: Some(old) });
    let spec = NodeSpec { peer_addr: node.inner.advertise_addr.clone(), ..learner(promotion) };
    propose_surely(&node, Command::new(Actor::System, Mutation::NodePut { id: me, spec })).await;
    until(&node, |node| {
        let is_done = node.read(|state| {
            let of = |id| state.node(id).cloned().unwrap();
            of(me).spec.promotion.is_none() && of(old).removed_at.is_some()
        });
        is_done && node.status().members.len() == 1
    })
    .await;
    // What is so already is no change; the next one is on record behind whatever there was.
    node.change_members(&asked(MemberChange::Promote { id: me })).await.unwrap();
    node.change_members(&asked(MemberChange::Add { id: NodeId(3), spec: learner(None) })).await.unwrap();
    let changes = changes_until(&node, ("add", 3)).await;
    let expected = [("add", 2), ("promote", 1), ("add", 3)].map(|(action, id)| (action.to_owned(), id));
    assert_eq!(changes, expected);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_demoted_is_not_promoted_any_more() {
    let mut nodes = Nodes::new(1);
    let node = nodes.start(1).await;
    leader_of(std::slice::from_ref(&node)).await;
    let id = NodeId(2);
    let spec = learner(Some(Promotion::default()));
    node.change_members(&asked(MemberChange::Add { id, spec })).await.unwrap();
    let demote = MemberChange::Demote { id, caution: crate::membership::Caution::Careful };
    node.change_members(&asked(demote)).await.unwrap();
    assert_eq!(node.read(|state| state.node(id).cloned().unwrap().spec.promotion.clone()), None);
    node.shutdown().await;
}
