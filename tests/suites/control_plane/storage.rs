//! Files that shrink, break and vanish.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tests::admin::Admin;
use tests::cluster::{Cluster, Node};
use tests::counters;
use tests::wait::{PATIENCE, until};

use super::tenant;

/// A cluster of one with `count` tenants, snapshots every twenty entries, stopped in order.
async fn stopped_with(count: usize) -> Cluster {
    let mut cluster = Cluster::start_with(1, &["--snapshot-every", "20"]).await;
    let admin = cluster.admin(0).await;
    for number in 0..count {
        let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
    }
    assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));
    cluster
}

pub(super) async fn tenants(admin: &Admin) -> usize {
    let list = admin.get("/tenants?limit=500&consistency=linearizable").await.expect(200).json;
    list["items"].as_array().map_or(0, Vec::len)
}

/// The newest first.
pub(super) fn snapshots(node: &Node) -> Vec<PathBuf> {
    let listing = fs::read_dir(node.data_dir().join("snapshots")).expect("there is a folder of snapshots");
    let mut paths: Vec<PathBuf> = listing.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "snap"));
    paths.sort_unstable_by(|a, b| b.cmp(a));
    paths
}

/// Two, and a third where the stop came between the newest and what makes room for it.
fn are_as_kept(snapshots: &[PathBuf]) -> bool {
    (2..=3).contains(&snapshots.len())
}

pub(super) fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).expect("the file is readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("the file is writable");
}

#[tokio::test]
async fn the_log_shrinks_after_snapshots_and_the_rest_is_enough() {
    let mut cluster = Cluster::start_with(1, &["--snapshot-every", "20"]).await;
    let admin = cluster.admin(0).await;
    let kept = async |cluster: &Cluster| counters::count(&cluster.nodes[0].ops_url(), "raft_log_size_bytes", &[]).await;
    let mut most = 0;
    for number in 0..150 {
        let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
        most = most.max(kept(&cluster).await);
    }
    assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));
    let segment = cluster.nodes[0].data_dir().join("journal/00000000000000000001.journal");
    let written = fs::read(segment).expect("readable").iter().rposition(|byte| *byte != 0).expect("not empty");
    // Two snapshots' worth is kept, and what came since the newest; all of it was written to the one segment.
    assert!(0 < most && most * 2 < written as u64, "{most} bytes of {written}");
    assert!(are_as_kept(&snapshots(&cluster.nodes[0])));
    for _ in 0..2 {
        cluster.nodes[0].start().await;
        cluster.ready().await;
        assert_eq!(tenants(&cluster.admin(0).await).await, 150);
        cluster.nodes[0].kill();
    }
}

#[tokio::test]
async fn a_damaged_snapshot_is_survived_and_two_are_not_hidden() {
    let mut cluster = stopped_with(90).await;
    let newest = snapshots(&cluster.nodes[0]).swap_remove(0);
    flip_a_bit(&newest);
    cluster.nodes[0].start().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    assert_eq!(tenants(&admin).await, 90);
    let (log, path) = (cluster.logs(), newest.display().to_string());
    let is_told = |line: &str| line.contains("ERROR") && line.contains("a snapshot is damaged") && line.contains(&path);
    assert!(log.lines().any(is_told), "{log}");
    assert!(newest.with_extension("damaged").exists(), "it is kept for whoever wants to know");
    for number in 90..150 {
        let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
    }
    assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));

    let all = snapshots(&cluster.nodes[0]);
    assert!(are_as_kept(&all), "{all:?}");
    for path in &all {
        flip_a_bit(path);
    }
    let half = fs::metadata(&all[0]).expect("it is there").len() / 2;
    let newest = fs::OpenOptions::new().write(true).open(&all[0]).expect("writable");
    newest.set_len(half).expect("it is cut off");
    // Again and again the same: it does not start with less after the first refusal.
    for _ in 0..2 {
        let refused = cluster.nodes[0].run_with_env(&[]).await;
        assert_eq!(refused.code, Some(65), "{}", refused.output);
        let told = refused.output.lines().last().unwrap_or_default();
        assert!(told.starts_with("controlplane-daemon: ") && told.contains("snapshots"), "{}", refused.output);
    }
    assert!(refused_reason(&cluster).await.contains("damaged"));
}

async fn refused_reason(cluster: &Cluster) -> String {
    cluster.nodes[0].run_with_env(&[]).await.output
}

#[tokio::test]
async fn a_damaged_log_is_refused_with_its_name() {
    let cluster = stopped_with(5).await;
    let log = cluster.nodes[0].data_dir().join("log.redb");
    let whole = fs::read(&log).expect("the log is readable");
    let cuts: [(&str, &[u8]); 2] = [("cut", &whole[..whole.len() / 3]), ("noise", &[0x5a; 8192])];
    for (what, bytes) in cuts {
        fs::write(&log, bytes).expect("the log is writable");
        let refused = cluster.nodes[0].run_with_env(&[]).await;
        assert_eq!(refused.code, Some(65), "{what}: {}", refused.output);
        assert!(refused.output.contains("log.redb"), "{what}: {}", refused.output);
    }
}

#[tokio::test]
async fn a_log_that_vanished_is_missed() {
    let cluster = stopped_with(50).await;
    let log = cluster.nodes[0].data_dir().join("log.redb");
    fs::remove_file(&log).expect("the log can be removed");
    for _ in 0..2 {
        let refused = cluster.nodes[0].run_with_env(&[]).await;
        assert_eq!(refused.code, Some(65), "{}", refused.output);
        assert!(refused.output.contains("log.redb"), "{}", refused.output);
    }
}

#[tokio::test]
async fn a_node_with_a_new_disk_is_filled_again() {
    let mut cluster = Cluster::start_with(3, &["--snapshot-every", "20"]).await;
    let admin = cluster.admin(0).await;
    for number in 0..70 {
        let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
    }
    // Each in turn, so the leader and the node that made the cluster are among them.
    for place in 0..3 {
        cluster.nodes[place].kill();
        fs::remove_dir_all(cluster.nodes[place].data_dir()).expect("the folder can be removed");
        let leader = cluster.leader().await;
        let admin = cluster.admin(leader).await;
        let _ = admin.post("/tenants", &tenant(&format!("without-{place}"))).await.expect(201);
        cluster.nodes[place].start().await;
        let there = until("the emptied node has everything", PATIENCE, async || {
            let others = (0..3).filter(|other| *other != place);
            others.for_each(|other| assert!(cluster.nodes[other].is_running(), "the others must survive it"));
            let status = admin.get("/cluster/status").await.expect(200).json;
            let theirs = Admin::sign_in(&cluster.nodes[place].admin_url(), &cluster.secrets.owner).await?;
            let own = theirs.get("/cluster/status").await.expect(200).json;
            let same =
                own["applied_revision"] == status["commit_revision"] && own["cluster_id"] == status["cluster_id"];
            if same { Ok(theirs) } else { Err(format!("{own} beside {status}")) }
        })
        .await;
        let _ = there.get(&format!("/tenants/without-{place}")).await.expect(200);
        assert_eq!(tenants(&there).await, 71 + place);
        let _ = there.post("/tenants/kept-1/scopes", &json!({ "name": format!("s{place}") })).await.expect(201);
    }
}

#[tokio::test]
async fn after_a_rotation_the_old_master_key_opens_the_directory_no_more() {
    let mut cluster = Cluster::start(1).await;
    cluster.nodes[0].kill();
    let old = cluster.secrets.master_key.clone();
    let new = tests::cluster::Secrets::random().master_key;
    let set = |node: &mut Node, key: &str| {
        let env = &mut node.launch_mut().env;
        env.iter_mut().filter(|(name, _)| name == "SECRETBOX_MASTER_KEY").for_each(|(_, value)| key.clone_into(value));
    };
    set(&mut cluster.nodes[0], &format!("{new},{old}"));
    cluster.nodes[0].start().await;
    cluster.ready().await;
    cluster.nodes[0].kill();
    let refused = cluster.nodes[0].run_with_env(&[("SECRETBOX_MASTER_KEY", &old)]).await;
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    let identity = fs::read_to_string(cluster.nodes[0].data_dir().join("node.json")).expect("it is there");
    set(&mut cluster.nodes[0], &new);
    cluster.nodes[0].start().await;
    assert_eq!(fs::read_to_string(cluster.nodes[0].data_dir().join("node.json")).expect("it is there"), identity);
}
