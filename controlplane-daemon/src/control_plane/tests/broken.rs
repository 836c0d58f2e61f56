//! A node whose Raft has failed.

use std::process::Command;

use super::*;

/// Set in the process that is to end.
const ENDS: &str = "HJ_TEST_BREAKS_DOWN";

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_the_core_of_raft_panics() {
    if std::env::var_os(ENDS).is_some() {
        let mut nodes = Nodes::new(1);
        let node = nodes.start(1).await;
        leader_of(std::slice::from_ref(&node)).await;
        node.inner.node.break_down().await;
        // One that goes on says so by an orderly end.
        let _ = tokio::time::timeout(WAIT, std::future::pending::<()>()).await;
        return;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let this = "control_plane::tests::broken::it_ends_when_the_core_of_raft_panics";
    let ended = again.args(["--exact", this, "--nocapture"]).env(ENDS, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("controlplane-daemon stops: panicked"), "{said}");
    assert_eq!(ended.status.code(), Some(74), "{said}");
}
