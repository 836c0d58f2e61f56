//! Delivering: what fails is tried again, whoever leads by then, and nothing is lost.

use std::path::PathBuf;

use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::{Cluster, Node};
use tests::collector::Collector;
use tests::counters::count;
use tests::pki::Authority;
use tests::scratch;
use tests::wait::{PATIENCE, until};

use super::{FLAGS, TOKEN, admins, export, verified};

const SECRET: &str = "the-token-of-the-collector";

async fn rename(admin: &Admin, name: &str) {
    let _ = admin.patch("/tenants/acme", &json!({ "display_name": name })).await.expect(200);
}

/// Waits until every record that this node has, as far as one with `word` at least, has arrived: as it stands there.
async fn arrives(admin: &Admin, word: &str, arrived: impl Fn() -> Vec<Value>) {
    until(&format!("everything has arrived, {word} too"), PATIENCE, async || {
        let exported = export(admin, TOKEN).await?;
        let arrived = arrived();
        let mut missing = exported.lines().filter(|line| {
            let record: Value = serde_json::from_str(line).expect("a record is JSON");
            !arrived.contains(&record)
        });
        match missing.next() {
            None if exported.contains(word) => Ok(()),
            None => Err(format!("{word} is not on record yet")),
            Some(line) => Err(format!("{} arrived; missing: {line}", arrived.len())),
        }
    })
    .await;
}

fn records(collector: &Collector) -> Vec<Value> {
    collector.events().into_iter().map(|event| event["data"].clone()).collect()
}

fn log(node: &Node) -> PathBuf {
    node.data_dir().parent().expect("the node's folder").join("log")
}

async fn reaches(node: &Node, metric: &str, least: u64) {
    until(&format!("{metric} is {least}"), PATIENCE, async || {
        match count(&node.ops_url(), metric, &[("sink", "http")]).await {
            found if found >= least => Ok(()),
            found => Err(found.to_string()),
        }
    })
    .await;
}

/// What a node printed: its log, where standard output and error are one, without the log's own lines.
fn printed(nodes: &[Node]) -> Vec<Value> {
    let text: String = nodes.iter().map(|node| std::fs::read_to_string(log(node)).expect("a log")).collect();
    text.lines()
        .filter(|line| line.starts_with("{\"seq\":"))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_and_comes_back_gets_everything_also_from_another_leader() {
    let mut collector = Collector::prepare();
    let url = collector.url();
    let token = scratch::folder("token").join("token");
    std::fs::write(&token, format!("{SECRET}\n")).expect("written");
    let token = token.display().to_string();
    let more = ["--audit-stdout", "--audit-http-url", &url, "--audit-http-token-file", &token];
    let mut cluster = Cluster::start_with(3, &[FLAGS, &more].concat()).await;
    let leader = cluster.leader().await;
    let all = admins(&cluster).await;
    let _ = all[0].create_tenant("acme", json!({})).await;

    // Nobody listens: the other sink goes on, and it is said.
    rename(&all[0], "Nobody listens").await;
    arrives(&all[0], "Nobody listens", || printed(&cluster.nodes)).await;
    reaches(&cluster.nodes[leader], "hj_cp_audit_sink_failures_total", 1).await;
    reaches(&cluster.nodes[leader], "hj_cp_audit_sink_lag_records", 2).await;
    // What it has not got is not removed, however old.
    let _ = all[0].patch("/settings", &json!({"audit": {"max_age_secs": 1}})).await.expect(200);
    rename(&all[0], "Old by now").await;
    arrives(&all[0], "Old by now", || printed(&cluster.nodes)).await;

    // It listens and refuses; a redirect is no success, and the token goes nowhere else.
    collector.refuse(Some(503));
    collector.listen();
    until("it was asked", PATIENCE, async || collector.requests().first().cloned().ok_or_else(String::new)).await;
    collector.refuse(Some(307));
    let asked = collector.requests().len();
    until(
        "it was asked again",
        PATIENCE,
        async || {
            if collector.requests().len() > asked { Ok(()) } else { Err(String::new()) }
        },
    )
    .await;
    assert_eq!(collector.events(), Vec::<Value>::new());
    assert_eq!(verified(&all[0]).await["first_seq"], 1, "what no sink has got stays");

    // It takes little at a time; the leader dies in the middle.
    collector.take_at_most(3);
    collector.refuse(None);
    until(
        "something arrives",
        PATIENCE,
        async || {
            if collector.events().len() > 3 { Ok(()) } else { Err(String::new()) }
        },
    )
    .await;
    cluster.nodes[leader].kill();
    let successor = cluster.leader().await;
    let admin = cluster.admin(successor).await;
    rename(&admin, "Another leads").await;
    // Records before the first that is kept were delivered, or they would be kept.
    arrives(&admin, "Another leads", || records(&collector)).await;
    arrives(&admin, "Another leads", || printed(&cluster.nodes)).await;
    let mut seqs: Vec<u64> = records(&collector).iter().filter_map(|record| record["seq"].as_u64()).collect();
    seqs.dedup();
    let mut all_of_them = seqs.clone();
    all_of_them.sort_unstable();
    all_of_them.dedup();
    assert_eq!(all_of_them, (1..=*all_of_them.last().expect("some")).collect::<Vec<_>>(), "no hole");
    // Twice at most, and what came twice came again from one place on.
    assert!(seqs.windows(2).filter(|pair| pair[1] < pair[0]).count() <= 1, "{seqs:?}");

    // With everything delivered the retention goes on.
    until("old records go", PATIENCE, async || {
        let report = verified(&admin).await;
        if report["first_seq"].as_u64() > Some(1) { Ok(()) } else { Err(report.to_string()) }
    })
    .await;

    for (content_type, authorization) in collector.requests() {
        assert_eq!(content_type, "application/cloudevents-batch+json");
        assert_eq!(authorization, format!("Bearer {SECRET}"));
    }
    let cluster_id = admin.get("/cluster/status").await.expect(200).json["cluster_id"].clone();
    for event in collector.events() {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["source"], format!("urn:hellojohn:{}", cluster_id.as_str().expect("an id")));
        assert_eq!(event["id"], event["data"]["seq"].to_string());
        assert_eq!(event["type"], format!("io.hellojohn.audit.{}", event["data"]["action"].as_str().expect("a name")));
        assert_eq!(event["time"], event["data"]["time"]);
    }
    assert!(!cluster.logs().contains(SECRET), "the token is in no log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_behind_https_is_believed_by_its_own_authority_only() {
    let authority = Authority::new("collector");
    let mut collector = Collector::prepare_tls(&authority.certify("127.0.0.1"));
    collector.listen();
    let file = scratch::folder("authority").join("ca.pem");
    std::fs::write(&file, authority.pem()).expect("written");
    let (url, file) = (collector.url(), file.display().to_string());
    let flags = [FLAGS, &["--audit-http-url", &url]].concat();
    let mut cluster = Cluster::start_with(1, &flags).await;
    let admin = cluster.admin(0).await;
    let _ = admin.create_tenant("acme", json!({})).await;
    reaches(&cluster.nodes[0], "hj_cp_audit_sink_failures_total", 1).await;
    assert_eq!(collector.events(), Vec::<Value>::new());

    assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));
    cluster.nodes[0].launch_mut().args.extend(["--audit-http-ca-file".to_owned(), file]);
    cluster.nodes[0].start().await;
    let admin = cluster.admin(0).await;
    arrives(&admin, "tenant.create", || records(&collector)).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_sink_is_said_before_anything_starts() {
    let cluster = Cluster::prepare(1, &[]);
    let rows: [(&[(&str, &str)], &str); 4] = [
        (&[("HJ_AUDIT_HTTP_URL", "ftp://a.example/")], "must be an https or http URL"),
        (&[("HJ_AUDIT_HTTP_URL", "https://me:secret@a.example/")], "no user"),
        (&[("HJ_AUDIT_HTTP_URL", "http://a.example/"), ("HJ_AUDIT_HTTP_TOKEN", SECRET)], "must be https"),
        (&[("HJ_AUDIT_HTTP_TOKEN", SECRET)], "without --audit-http-url"),
    ];
    for (env, why) in rows {
        let refused = cluster.nodes[0].run_with_env(env).await;
        assert_eq!(refused.code, Some(78), "{}", refused.output);
        assert!(refused.output.contains(why) && !refused.output.contains(SECRET), "{}", refused.output);
    }
}
