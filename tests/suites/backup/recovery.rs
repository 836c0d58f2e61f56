//! A cluster that lost its majority.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use tests::cluster::{Cluster, Node};
use tests::programs;
use tests::wait::{PATIENCE, until};
use tests::web;

use super::{cluster_id, slugs, tenant};

#[tokio::test]
async fn one_node_goes_on_alone_and_the_others_are_strangers() {
    let mut cluster = Cluster::start_with(3, &["--snapshot-every", "20"]).await;
    let admin = cluster.admin(0).await;
    for number in 0..30 {
        let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
    }
    // So that node 2 has them all.
    assert_eq!(slugs(&cluster.admin(1).await).await.len(), 30);
    let old = cluster_id(&admin).await;

    let refused = cluster.nodes[1].run_subcommand(&["recover", "--yes"]).await;
    assert_eq!(refused.code, Some(75), "{}", refused.output);
    cluster.kill_all();

    // Without the phrase nothing happens but a report.
    let names = |node: &Node| -> BTreeSet<_> {
        fs::read_dir(node.data_dir()).expect("readable").flatten().map(|entry| entry.file_name()).collect()
    };
    let identity = |node: &Node| fs::read(node.data_dir().join("node.json")).expect("readable");
    let before = (names(&cluster.nodes[1]), identity(&cluster.nodes[1]));
    let asked = cluster.nodes[1].run_subcommand(&["recover"]).await;
    assert_eq!(asked.code, Some(64), "{}", asked.output);
    for told in ["its log ends at position", "member until now: 3", "30 tenants", "Lost is what"] {
        assert!(asked.output.contains(told), "{told}: {}", asked.output);
    }
    assert_eq!((names(&cluster.nodes[1]), identity(&cluster.nodes[1])), before);

    // As the command line has it, which becomes the daemon's own program.
    let mut typed = cluster.nodes[1].launch_mut().clone();
    typed.program = programs::hellojohn();
    typed.args.splice(0..0, ["cluster", "recover", "--yes"].map(ToOwned::to_owned));
    typed.log.set_file_name("log-typed");
    let recovered = typed.run(PATIENCE).await;
    assert_eq!(recovered.code, Some(0), "{}", recovered.output);
    let mut kept = fs::read_dir(cluster.nodes[1].data_dir()).expect("readable").flatten();
    let kept = kept.find(|entry| entry.file_name().to_string_lossy().starts_with("before-recovery-"));
    let kept = kept.expect("what was there is kept").path();
    for name in ["node.json", "log.redb", "journal/00000000000000000001.journal"] {
        assert!(kept.join(name).exists(), "{name}");
    }

    cluster.nodes[1].start().await;
    cluster.nodes[1].ready().await;
    let alone = cluster.admin(1).await;
    assert_eq!(slugs(&alone).await.len(), 30);
    let new = cluster_id(&alone).await;
    assert_ne!(new, old);
    let status = alone.get("/cluster/status").await.expect(200).json;
    assert_eq!(status["members"].as_array().map(Vec::len), Some(1), "{status:#}");
    let _ = alone.post("/tenants", &tenant("afterwards")).await.expect(201);
    until("the audit was told", PATIENCE, async || {
        let owed = cluster.nodes[1].data_dir().join("unannounced.json").exists();
        if owed { Err("still owed".to_owned()) } else { Ok(()) }
    })
    .await;

    // A survivor of the old cluster knows this one's address, and is refused: neither is changed by it.
    cluster.nodes[2].start().await;
    let http = web::client();
    until("the survivor is refused", PATIENCE, async || {
        let log = cluster.logs();
        if log.contains("another cluster") || log.contains("other cluster") {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    let ready = web::send(http.get(format!("{}/readyz", cluster.nodes[2].ops_url()))).await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let after = alone.get("/cluster/status").await.expect(200).json;
    assert_eq!((&after["term"], &after["leader_id"]), (&status["term"], &status["leader_id"]));
    cluster.nodes[2].kill();

    // And again after a restart.
    assert_eq!(cluster.nodes[1].stop(Duration::from_secs(20)).await, Some(0));
    cluster.nodes[1].start().await;
    cluster.nodes[1].ready().await;
    let again = cluster.admin(1).await;
    assert_eq!((slugs(&again).await.len(), cluster_id(&again).await), (31, new));
}
