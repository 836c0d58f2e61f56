//! From commit to everywhere: how long a change takes until every subscriber has it, and until a pod acknowledged it.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;
use tests::admin::Admin;
use tests::wait::{PATIENCE, until};
use tests::world::World;

use crate::dialect::Dialect;
use crate::load::{float, histogram};
use crate::stream::{Arrivals, Door, Subscribers};
use crate::table::{self, row};

const CHANGES: u64 = 300;
const SUBSCRIBERS: usize = 100;

pub(crate) async fn run() {
    let world = World::start(1, 1).await;
    let admin = world.admin().await;
    let _ = admin.create_tenant("bench", json!({})).await;
    let _ = admin.post("/tenants/bench/scopes", &json!({ "name": "watched", "description": "" })).await.expect(201);

    let mut rows = vec![row(["what", "p50 ms", "p99 ms", "max ms"])];
    let write = plain_writes(&admin).await;
    rows.push(line("a write alone, for comparison", &write));
    let acknowledged = fleet_writes(&admin).await;
    rows.push(line("a write with wait=fleet: one real pod has applied and acknowledged it", &acknowledged));

    let arrivals = Arrivals::default();
    let door = Door {
        address: world.cluster.nodes[0].addresses().watch.clone(),
        dialect: Dialect::Ours { token: world.cluster.secrets.watch_token.clone() },
        ca: None,
    };
    let subscribers = Subscribers::none();
    for number in 0..SUBSCRIBERS {
        subscribers.connect(&door, &format!("bench-{number}"), 1, &arrivals).await;
    }
    let (each, last) = delivered(&admin, &arrivals).await;
    rows.push(line(&format!("request sent → delivered, each of {SUBSCRIBERS} subscribers"), &each));
    rows.push(line(&format!("request sent → delivered to the last of {SUBSCRIBERS} subscribers"), &last));
    let acknowledged = fleet_writes(&admin).await;
    rows.push(line(&format!("wait=fleet with one pod and {SUBSCRIBERS} subscribers"), &acknowledged));
    drop(subscribers);
    table::print(
        "Commit to everywhere",
        "One change at a time on an otherwise idle machine. The requests include the write itself (HTTP, Raft, fsync), so \
         a row less the first is what the watch adds. Aim: 10 ms at p99.",
        &rows,
    );
}

/// Sends a change; when it was sent and at which revision it was made.
async fn change(admin: &Admin, number: u64, query: &str) -> (Instant, u64) {
    let sent = Instant::now();
    let path = format!("/tenants/bench/scopes/watched{query}");
    let answer = admin.put(&path, &json!({ "description": number.to_string() })).await.expect(200);
    (sent, answer.json["revision"].as_u64().expect("a scope has a revision"))
}

async fn plain_writes(admin: &Admin) -> Histogram<u64> {
    timed(admin, "").await
}

async fn fleet_writes(admin: &Admin) -> Histogram<u64> {
    timed(admin, "?wait=fleet&timeout=10s").await
}

async fn timed(admin: &Admin, query: &str) -> Histogram<u64> {
    let mut times = histogram();
    for number in 0..CHANGES {
        let (sent, _) = change(admin, number, query).await;
        record(&mut times, sent.elapsed());
    }
    times
}

async fn delivered(admin: &Admin, arrivals: &Arrivals) -> (Histogram<u64>, Histogram<u64>) {
    let (mut each, mut last) = (histogram(), histogram());
    for number in 0..CHANGES {
        let (sent, revision) = change(admin, number, "").await;
        let all = until("every subscriber has the change", PATIENCE, async || {
            let arrivals = arrivals.lock().expect("no holder panics");
            let there = arrivals.get(&revision).map_or(0, Vec::len);
            if there == SUBSCRIBERS { Ok(arrivals[&revision].clone()) } else { Err(format!("{there} have it")) }
        })
        .await;
        for arrival in &all {
            record(&mut each, arrival.saturating_duration_since(sent));
        }
        let latest = all.iter().max().expect("there are subscribers");
        record(&mut last, latest.saturating_duration_since(sent));
    }
    (each, last)
}

fn record(times: &mut Histogram<u64>, time: Duration) {
    times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

fn line(what: &str, times: &Histogram<u64>) -> Vec<String> {
    let millis = |quantile: f64| format!("{:.2}", float(times.value_at_quantile(quantile)) / 1000.0);
    vec![what.to_owned(), millis(0.5), millis(0.99), millis(1.0)]
}
