use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use controlplane_core::model::{NodeSource, NodeSpec};
use controlplane_core::{Note, Noted, Origin};
use vocab::{Clock as _, ClusterId, Keyring, MasterKey, NodeId, SystemClock};

use super::*;
use crate::control_plane::{NodeConfig, start};
use crate::membership::{MemberChange, MemberRequest};

fn keyring() -> Keyring {
    Keyring::new(MasterKey::new([1; 32]), Vec::new())
}

async fn node(data_dir: &Path) -> ControlPlane {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let raft_listener = bind();
    let config = NodeConfig {
        node_id: NodeId(1),
        advertise_addr: raft_listener.local_addr().unwrap().to_string(),
        raft_listener,
        watch_listener: bind(),
        advertise_admin_url: None,
        bootstrap: crate::membership::Bootstrap::LowestId,
        admission: crate::membership::Admission::Learner,
        peers: BTreeMap::new(),
        data_dir: data_dir.to_owned(),
        hmac_secrets: Vec::new(),
        watch_token: None,
        tls: None,
        heartbeat: Duration::from_millis(20),
        election_timeout_min: Duration::from_millis(60),
        election_timeout_max: Duration::from_millis(120),
        snapshot_every: 10_000,
    };
    start(config, keyring(), Arc::new(SystemClock)).await.unwrap()
}

async fn stop(control: ControlPlane, data_dir: &Path) {
    control.shutdown().await;
    // The audit is locked as long as anybody can read it.
    drop(control);
    let released = async {
        while std::fs::File::open(data_dir.join("audit/lock")).unwrap().try_lock().is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), released).await.unwrap();
}

fn generated(data_dir: &Path) -> FirstOwner {
    FirstOwner::Generated(Unprinted::open(data_dir, keyring(), &SystemClock).unwrap())
}

struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn owners(control: &ControlPlane) -> usize {
    control.read(|state| state.admins_after(None).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_could_not_be_printed_is_printed_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let control = node(&data).await;
    run(control.clone(), generated(&data), &mut Full, CancellationToken::new()).await;
    assert_eq!(owners(&control), 1, "stored, but nobody knows it");
    stop(control, &data).await;
    let kept = std::fs::read_to_string(data.join("first-owner.json")).unwrap();
    assert!(!kept.contains("hja_"), "sealed");

    let control = node(&data).await;
    let mut out = Vec::new();
    run(control.clone(), generated(&data), &mut out, CancellationToken::new()).await;
    let printed = String::from_utf8(out).unwrap();
    let credential: Credential = printed.strip_prefix("first owner credential: ").unwrap().trim_end().parse().unwrap();
    assert!(control.read(|state| credential.matches(&state.admin(credential.id).unwrap().digest)));
    assert_eq!(owners(&control), 1);
    assert!(!data.join("first-owner.json").exists());

    // And never again.
    let mut out = Vec::new();
    run(control.clone(), generated(&data), &mut out, CancellationToken::new()).await;
    assert_eq!((out.len(), owners(&control)), (0, 1));
    control.shutdown().await;
}

/// The steward settles that for a node that is alone; by the time it looks, others may have joined, who have no more.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_audit_lacks_after_a_recovery_is_settled_though_a_node_has_joined_already() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let control = node(&data).await;
    run(control.clone(), generated(&data), &mut Vec::new(), CancellationToken::new()).await;
    control.compact(Duration::from_secs(20)).await.unwrap();
    stop(control, &data).await;
    std::fs::remove_dir_all(data.join("audit")).unwrap();
    let (id, last_log) = (ClusterId::from_uuid(uuid::Uuid::from_u128(7)), 1);
    let note = Note::Recovered { from_cluster_id: None, cluster_id: id, last_log, term: 1 };
    let noted = Noted { at: SystemClock.now(), node: NodeId(1), note };
    std::fs::write(data.join("unannounced.json"), serde_json::to_vec(&noted).unwrap()).unwrap();

    let control = node(&data).await;
    assert!(control.records().extent().missing().is_some());
    let spec = NodeSpec {
        peer_addr: "127.0.0.1:9".to_owned(),
        admin_url: None,
        source: NodeSource::Manual,
        version: None,
        feature_level: 0,
        promotion: None,
    };
    let change = MemberChange::Add { id: NodeId(2), spec };
    let request = MemberRequest { change, actor: Actor::System, origin: Origin::default() };
    control.change_members(&request).await.unwrap();
    assert_eq!(control.status().members.len(), 2);

    let owed = Unannounced::find(&data).unwrap().expect("it is owed");
    let keeper = Keeper { keyring: keyring(), sinks: Vec::new() };
    tell(&control, owed, &keeper, &CancellationToken::new()).await;
    control.records().flush();
    assert_eq!(control.records().extent().missing(), None);
    assert!(control.read(|state| state.audit().truncation.is_some()), "signed for");
    assert!(Unannounced::find(&data).unwrap().is_none());
    control.shutdown().await;
}
