use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use vocab::{Keyring, MasterKey, NodeId, SystemClock};

use super::*;
use crate::control_plane::{NodeConfig, start};

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
    control.shutdown().await;
    // The audit is locked as long as anybody can read it.
    drop(control);
    let released = async {
        while std::fs::File::open(data.join("audit/lock")).unwrap().try_lock().is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), released).await.unwrap();
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
