//! A disk that turns read-only under a node that runs.

use tests::loop_disk::LoopDisk;

use super::disk::{EX_IOERR, comes_back, with_follower_on, write_until_it_stops};
use super::tenant;

#[tokio::test]
async fn a_disk_that_turns_read_only_stops_its_node_with_the_reason_and_costs_nothing() {
    let Some(disk) = LoopDisk::mount() else { return };
    let (mut cluster, admin, _) = with_follower_on(disk.path()).await;
    let _ = admin.post("/tenants", &tenant("before")).await.expect(201);
    disk.turn_read_only();
    let written = write_until_it_stops(&mut cluster, &admin).await;
    let log = cluster.nodes[2].process().log();
    let why = "Read-only file system";
    let reason = log.lines().find(|line| line.contains("cannot go on")).unwrap_or_else(|| panic!("none: {log}"));
    // The first record that cannot be kept: nothing is acknowledged until the next snapshot fails.
    assert!(reason.contains(".journal") && reason.contains(why), "{reason}");
    let _ = admin.post("/tenants", &tenant("meanwhile")).await.expect(201);

    // It is not started on such a disk, either.
    cluster.nodes[2].kill();
    let refused = cluster.nodes[2].run_with_env(&[]).await;
    assert_eq!(refused.code, Some(EX_IOERR), "{}", refused.output);
    assert!(refused.output.contains(why), "{}", refused.output);
    disk.repair();
    comes_back(&mut cluster, written + 2).await;
}
