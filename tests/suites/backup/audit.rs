//! What becomes of the audit when a cluster is made of one node, or of a snapshot.

use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::Value;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::collector::Collector;
use tests::operator::Cli;
use tests::wait::{PATIENCE, until};
use tests::web;

use super::{download, slugs, tenant};

async fn export(admin: &Admin) -> Result<String, String> {
    let request = admin.request(Method::GET, "/audit/logs?order=oldest");
    let answer = web::send(request.header("accept", "application/x-ndjson")).await;
    if answer.status == 200 { Ok(answer.text) } else { Err(answer.text) }
}

/// Waits until the node has all that there is, with a record of that action, and every link is right; the report.
async fn in_order_with(admin: &Admin, action: &str) -> Value {
    until(&format!("the audit is in order, with {action}"), PATIENCE, async || {
        let report = admin.get("/audit/verify").await.expect(200).json;
        assert_eq!(report["valid"], true, "{report:#}");
        let lines = export(admin).await?;
        let is_there = lines.contains(&format!("\"action\":\"{action}\""));
        if is_there && report["complete"] == true { Ok(report) } else { Err(report.to_string()) }
    })
    .await
}

/// An export is right by itself, with nothing but the cluster's keys.
fn stands_alone(cluster: &Cluster, place: usize, exported: &str, beginning: &str) {
    let cli = Cli::at(&cluster.nodes[place].admin_url(), &cluster.secrets.owner);
    let (file, keys) = (cli.home.join("audit.jsonl"), cli.home.join("keys.json"));
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    fs::write(&file, exported).expect("written");
    fs::write(&keys, cli.text(&["key", "list", "--global", "-o", "json"])).expect("written");
    let shown = cli.text(&["audit", "verify", "--file", &text(&file), "--keys", &text(&keys), "-o", "json"]);
    assert!(shown.contains(&format!("\"beginning\": \"{beginning}\"")), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restoration_the_records_before_it_are_signed_away_and_those_after_it_go_everywhere() {
    let mut cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let _ = admin.post("/tenants", &tenant("acme")).await.expect(201);
    let backup = download(&admin).await;
    cluster.kill_all();
    fs::remove_dir_all(cluster.nodes[0].data_dir()).expect("the folder can be removed");
    let restored = cluster.nodes[0].run_subcommand(&["restore", "--from", backup.to_str().expect("a path")]).await;
    assert_eq!(restored.code, Some(0), "{}", restored.output);

    let mut collector = Collector::prepare();
    collector.listen();
    cluster.nodes[0].launch_mut().args.extend(["--audit-http-url".to_owned(), collector.url()]);
    cluster.nodes[0].start().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    let report = in_order_with(&admin, "cluster.restored").await;
    let removed = report["truncation"]["removed"].as_u64().expect("a number");
    assert_eq!(report["first_seq"], removed + 1, "{report:#}");
    let exported = export(&admin).await.expect("an export");
    assert!(!exported.contains("tenant.create"), "{exported}");
    stands_alone(&cluster, 0, &exported, "signed");
    until("the sink has got the record of the restoration", PATIENCE, async || {
        let arrived = collector.events();
        let has_it = arrived.iter().any(|event| event["data"]["action"] == "cluster.restored");
        if has_it { Ok(()) } else { Err(format!("{} records arrived", arrived.len())) }
    })
    .await;
    // A node that joins gets what there is.
    let place = cluster.prepare_node(2, &["--join-only"]);
    cluster.nodes[place].start().await;
    let address = cluster.nodes[place].raft_addr();
    let _ = admin.post("/cluster/members", &serde_json::json!({ "id": 2, "peer_addr": address })).await.expect(201);
    cluster.nodes[place].ready().await;
    let report = in_order_with(&cluster.admin(place).await, "cluster.restored").await;
    assert_eq!(report["first_seq"], removed + 1, "{report:#}");
}

#[tokio::test]
async fn a_recovery_keeps_every_record_also_those_that_the_disk_had_not_yet() {
    let mut cluster = Cluster::start(3).await;
    let admin = cluster.admin(0).await;
    for number in 0..25 {
        let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
    }
    // So that node 2 has them all.
    assert_eq!(slugs(&cluster.admin(1).await).await.len(), 25);
    let before = until("the last one is on record", PATIENCE, async || {
        let lines = export(&cluster.admin(1).await).await?;
        if lines.contains("kept-24") { Ok(lines) } else { Err(format!("{} lines", lines.lines().count())) }
    })
    .await;
    cluster.kill_all();
    // As with the power: the last records are gone, and stand in the log.
    let audit = cluster.nodes[1].data_dir().join("audit");
    let newest = fs::read_dir(&audit).expect("readable").flatten().map(|entry| entry.path());
    let newest = newest.filter(|path| path.extension().is_some_and(|it| it == "journal")).max().expect("a piece");
    let file = fs::File::options().write(true).open(&newest).expect("writable");
    file.set_len(file.metadata().expect("a length").len() - 100).expect("it can be cut");

    let recovered = cluster.nodes[1].run_subcommand(&["recover", "--yes"]).await;
    assert_eq!(recovered.code, Some(0), "{}", recovered.output);
    let mut kept = fs::read_dir(cluster.nodes[1].data_dir()).expect("readable").flatten();
    let kept = kept.find(|entry| entry.file_name().to_string_lossy().starts_with("before-recovery-"));
    let kept = kept.expect("what was there is kept").path().join("audit");
    assert!(kept.join(newest.file_name().expect("a name")).exists(), "the records are kept, too");

    cluster.nodes[1].start().await;
    cluster.nodes[1].ready().await;
    let alone = cluster.admin(1).await;
    let report = in_order_with(&alone, "cluster.recovered").await;
    assert_eq!(report["first_seq"], 1, "{report:#}");
    let after = export(&alone).await.expect("an export");
    assert!(after.starts_with(&before), "not a byte is another one");
    stands_alone(&cluster, 1, &after, "whole");
}

#[tokio::test]
async fn a_node_alone_whose_records_are_gone_says_so_and_goes_on() {
    let mut cluster = Cluster::start_with(1, &["--snapshot-every", "5"]).await;
    let admin = cluster.admin(0).await;
    for number in 0..12 {
        let _ = admin.post("/tenants", &tenant(&format!("tenant-{number}"))).await.expect(201);
    }
    cluster.kill_all();
    fs::remove_dir_all(cluster.nodes[0].data_dir().join("audit")).expect("the records are there");
    cluster.nodes[0].start().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    let report = in_order_with(&admin, "audit.truncate").await;
    assert!(report["first_seq"].as_u64() > Some(1), "{report:#}");
    stands_alone(&cluster, 0, &export(&admin).await.expect("an export"), "signed");
}
