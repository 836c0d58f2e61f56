//! A disk that has no room, or takes no more writes, under one of three nodes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::scratch;
use tests::tools;
use tests::wait::{PATIENCE, until};

use super::{tenant, tenants};

/// Of sysexits.h: the disk failed.
pub(super) const EX_IOERR: i32 = 74;

/// A small file system of its own, gone with the test. Needs root, and a machine that lets it mount;
/// `HJ_SKIP_MOUNT_TESTS=1` says that this one does not, nothing else does.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` when the machine is declared unable.
    #[expect(clippy::print_stderr, reason = "the test runner shows it")]
    fn mount() -> Option<Self> {
        if std::env::var_os("HJ_SKIP_MOUNT_TESTS").is_some() {
            eprintln!("skipped: HJ_SKIP_MOUNT_TESTS is set");
            return None;
        }
        let path = scratch::folder("small-disk");
        tools::run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(&path));
        Some(Self(path))
    }

    fn remount(&self, option: &str) -> bool {
        let options = format!("remount,{option}");
        Command::new("mount").args(["-o", &options]).arg(&self.0).status().is_ok_and(|status| status.success())
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Three nodes, the last of which keeps its data on that disk and follows.
pub(super) async fn with_follower_on(disk: &Path) -> (Cluster, Admin, usize) {
    let mut cluster = Cluster::prepare(3, &["--snapshot-every", "1000"]);
    let data = disk.join("data").display().to_string();
    cluster.nodes[2].launch_mut().set("--data-dir", &data);
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    if leader == 2 {
        cluster.nodes[2].kill();
        let _ = cluster.leader().await;
        cluster.nodes[2].start().await;
        cluster.ready().await;
    }
    let leader = cluster.leader().await;
    let admin = cluster.admin(leader).await;
    (cluster, admin, leader)
}

/// Writes until node 3 has ended; how many were accepted. None may be refused meanwhile: the other two go on.
pub(super) async fn write_until_it_stops(cluster: &mut Cluster, admin: &Admin) -> usize {
    let mut written = 0;
    while cluster.nodes[2].is_running() {
        assert!(written < 5_000, "it goes on without a disk");
        let long = "x".repeat(100);
        let document = serde_json::json!({ "slug": format!("t-{written}"), "display_name": long });
        let _ = admin.post("/tenants", &document).await.expect(201);
        written += 1;
    }
    let ended = cluster.nodes[2].process_mut().ended(PATIENCE).await;
    assert_eq!(ended.code(), Some(EX_IOERR));
    written
}

pub(super) async fn comes_back(cluster: &mut Cluster, written: usize) {
    cluster.nodes[2].kill();
    cluster.nodes[2].start().await;
    cluster.ready().await;
    let own = cluster.admin(2).await;
    let count = until("it has caught up", PATIENCE, async || {
        let mut count = 0;
        let mut cursor = String::new();
        loop {
            let page = own.get(&format!("/tenants?limit=500&consistency=linearizable{cursor}")).await.expect(200).json;
            count += page["items"].as_array().map_or(0, Vec::len);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return if count >= written { Ok(count) } else { Err(count.to_string()) },
            }
        }
    })
    .await;
    assert_eq!(count, written, "every acknowledged write is there");
}

#[tokio::test]
async fn a_full_disk_stops_one_node_with_the_reason_and_costs_nothing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (mut cluster, admin, _) = with_follower_on(disk.path()).await;
    // What else lies on a disk leaves a little room only.
    let filler = disk.path().join("filler");
    let free = free_bytes(disk.path());
    fs::write(&filler, vec![1; usize::try_from(free.saturating_sub(300 << 10)).expect("small")])
        .expect("there is room");
    let written = write_until_it_stops(&mut cluster, &admin).await;
    let log = cluster.logs();
    assert!(log.contains("cannot go on") && log.contains("No space left"), "it says why: {log}");
    let _ = admin.post("/tenants", &tenant("meanwhile")).await.expect(201);

    // Still full: it says so again instead of starting with less.
    cluster.nodes[2].kill();
    fs::write(disk.path().join("rest"), vec![1; usize::try_from(free_bytes(disk.path())).expect("small")]).ok();
    if let Err(refused) = cluster.nodes[2].try_start().await {
        assert_eq!(refused.code, Some(EX_IOERR), "{}", refused.output);
    }
    cluster.nodes[2].kill();
    fs::remove_file(disk.path().join("rest")).expect("removable");
    fs::remove_file(&filler).expect("removable");
    comes_back(&mut cluster, written + 1).await;
}

#[tokio::test]
async fn a_disk_that_takes_no_writes_stops_one_node_with_the_reason() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (mut cluster, admin, _) = with_follower_on(disk.path()).await;
    // A file that somebody writes to keeps a file system from becoming read-only: stop the node around it.
    cluster.nodes[2].kill();
    assert!(disk.remount("ro"), "it can be made read-only while nobody writes");
    let refused = cluster.nodes[2].run_with_env(&[]).await;
    assert_eq!(refused.code, Some(EX_IOERR), "{}", refused.output);
    assert!(refused.output.contains("Read-only file system"), "{}", refused.output);
    let _ = admin.post("/tenants", &tenant("meanwhile")).await.expect(201);
    assert!(disk.remount("rw"));
    comes_back(&mut cluster, 1).await;
    assert_eq!(tenants(&admin).await, 1);
}

fn free_bytes(path: &Path) -> u64 {
    let found = nix::sys::statvfs::statvfs(path).expect("a file system");
    found.blocks_available() * found.fragment_size()
}

/// Makes the tenant whatever becomes of the leader meanwhile. An attempt of unknown outcome may have made it.
async fn make_certainly(admin: &Admin, slug: &str) {
    let document = serde_json::json!({ "slug": slug, "display_name": "x".repeat(100) });
    let mut unknown = false;
    until("the tenant is made", PATIENCE, async || {
        let answer = admin.post("/tenants", &document).await;
        match answer.status {
            201 => Ok(()),
            409 if unknown => Ok(()),
            503 | 504 => {
                unknown = true;
                Err(answer.text)
            }
            _ => panic!("neither made nor to be tried again: {answer:#?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_under_the_leader_gives_leadership_to_another_and_costs_nothing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (mut cluster, admin, follower) = with_follower_on(disk.path()).await;
    let _ = admin.post("/cluster/transfer-leader", &serde_json::json!({ "to": 3 })).await.expect(200);
    assert_eq!(cluster.leader().await, 2);
    let admin = cluster.admin(follower).await;
    let filler = disk.path().join("filler");
    let free = free_bytes(disk.path());
    fs::write(&filler, vec![1; usize::try_from(free.saturating_sub(300 << 10)).expect("small")])
        .expect("there is room");

    let mut written = 0;
    while cluster.nodes[2].is_running() {
        assert!(written < 5_000, "it goes on without a disk");
        make_certainly(&admin, &format!("t-{written}")).await;
        written += 1;
    }
    assert_eq!(cluster.nodes[2].process_mut().ended(PATIENCE).await.code(), Some(EX_IOERR));
    let log = cluster.logs();
    assert!(log.contains("cannot go on") && log.contains("No space left"), "it says why: {log}");
    make_certainly(&admin, "meanwhile").await;
    cluster.nodes[2].kill();
    assert_ne!(cluster.leader().await, 2);

    fs::remove_file(&filler).expect("removable");
    comes_back(&mut cluster, written + 1).await;
}
