//! How long nobody can write after the leader was killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reqwest::Method;
use serde_json::json;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::web;

use crate::load::{float, histogram};
use crate::options::Options;
use crate::table::{self, row};

/// What a node does without these flags.
const DEFAULTS: [(&str, &str); 3] =
    [("--heartbeat-ms", "100"), ("--election-timeout-min-ms", "300"), ("--election-timeout-max-ms", "600")];

pub(crate) async fn run(options: &Options) {
    let mut cluster = Cluster::prepare(3, &[]);
    for node in &mut cluster.nodes {
        for (flag, value) in DEFAULTS {
            node.launch_mut().set(flag, value);
        }
    }
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let admin = cluster.admin(leader).await;
    let _ = admin.create_tenant("bench", json!({})).await;
    let _ = admin.post("/tenants/bench/scopes", &json!({ "name": "written", "description": "" })).await.expect(201);

    let mut gaps = histogram();
    for _ in 0..options.kills {
        let gap = kill_the_leader(&mut cluster).await;
        gaps.saturating_record(u64::try_from(gap.as_micros()).unwrap_or(u64::MAX));
    }
    table::print(
        "Failover",
        &format!(
            "The leader of three nodes is killed (SIGKILL), {} times, with the default timers ({}). A writer at each of the \
             other two goes on; until the first of their writes that began after the kill is acknowledged.",
            options.kills,
            DEFAULTS.map(|(flag, value)| format!("{flag} {value}")).join(", "),
        ),
        &[
            row(["killed → first acknowledged write", "median s", "p99 s", "worst s"]),
            row(["", &secs(&gaps, 0.5), &secs(&gaps, 0.99), &secs(&gaps, 1.0)]),
            row(["aim", "1.1", "2.0", ""]),
        ],
    );
}

async fn kill_the_leader(cluster: &mut Cluster) -> Duration {
    let leader = cluster.leader().await;
    let mut writers = Vec::new();
    for place in (0..3).filter(|place| *place != leader) {
        writers.push(cluster.admin(place).await);
    }
    let killed = Instant::now();
    cluster.nodes[leader].kill();
    let (first, second) = (writers.swap_remove(0), writers.swap_remove(0));
    tokio::select! {
        () = write(&first) => {}
        () = write(&second) => {}
    }
    let gap = killed.elapsed();
    cluster.nodes[leader].start().await;
    cluster.ready().await;
    let admin = cluster.admin(leader).await;
    until("the killed node has caught up", PATIENCE, async || {
        let status = admin.get("/cluster/status").await.expect(200).json;
        if status["applied_revision"] == status["commit_revision"] { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    gap
}

/// As a client writes that wants it done: again and again, the same request by its id.
async fn write(admin: &Admin) {
    static REQUEST: AtomicU64 = AtomicU64::new(0);
    let id = format!("failover-{}", REQUEST.fetch_add(1, Ordering::Relaxed));
    let body = Arc::new(json!({ "description": id }));
    loop {
        let request = admin.request(Method::PUT, "/tenants/bench/scopes/written").json(&*body);
        let answer = web::try_send(request.header("idempotency-key", &id)).await;
        if answer.is_ok_and(|answer| answer.status == 200) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

fn secs(times: &Histogram<u64>, quantile: f64) -> String {
    format!("{:.2}", float(times.value_at_quantile(quantile)) / 1e6)
}
