//! Raft writes through the admin API of three nodes, beside the disk and a three-member etcd on the same disk.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;
use tests::cluster::Cluster;

use crate::etcd::{Connections, Etcd};
use crate::load::{self, float};
use crate::options::Options;
use crate::table::{self, count, ratio, row};
use crate::{cpu, disk};

const WARM_UP: Duration = Duration::from_secs(1);

/// One system under one number of writers.
pub(crate) struct Figures {
    pub writes: u64,
    pub failures: u64,
    pub took: Duration,
    /// Of all servers together.
    pub cpu: Duration,
    /// Of this process, which is the writers.
    pub load: Duration,
    /// Microseconds.
    pub latency: Histogram<u64>,
}

impl Figures {
    fn per_second(&self) -> f64 {
        float(self.writes) / self.took.as_secs_f64()
    }

    fn millis(&self, quantile: f64) -> String {
        format!("{:.1}", float(self.latency.value_at_quantile(quantile)) / 1000.0)
    }

    /// Per write.
    fn micros(&self, cpu: Duration) -> String {
        format!("{:.0}", cpu.as_secs_f64() * 1e6 / float(self.writes.max(1)))
    }
}

pub(crate) async fn run(options: &Options) {
    let disk = disk::appends_per_second();
    let ours = Ours::start(options).await;
    let etcd = if options.etcd { Etcd::start().await } else { None };
    if etcd.is_none() {
        println!("\n(without etcd its columns are empty: apt-get install etcd-server)");
    }
    let mut rows = vec![row([
        "writers",
        "writes/s",
        "p50 ms",
        "p99 ms",
        "CPU µs/write",
        "of the load",
        "failures",
        "/ disk",
        "etcd's connections",
        "etcd writes/s",
        "etcd p50 ms",
        "etcd p99 ms",
        "etcd CPU µs/write",
        "of the load",
        "/ etcd",
        "rounds",
    ])];
    let ways = options.writers.iter().flat_map(|writers| ways(*writers, etcd.is_some()));
    for (writers, connections) in ways {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let mine = ours.measure(writers, options.measured).await;
            let theirs = match &etcd {
                Some(etcd) => Some(etcd.measure(writers, connections, WARM_UP, options.measured).await),
                None => None,
            };
            let ratio = theirs.as_ref().map_or(0.0, |theirs| mine.per_second() / theirs.per_second());
            rounds.push((ratio, mine, theirs));
        }
        rounds.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
        let ratios: Vec<String> = rounds.iter().map(|(ratio, ..)| format!("{ratio:.2}")).collect();
        // All figures of a row are of the round with the middle ratio.
        let (middle, mine, theirs) = rounds.swap_remove(rounds.len() / 2);
        let of_etcd = |show: &dyn Fn(&Figures) -> String| theirs.as_ref().map_or("–".to_owned(), show);
        rows.push(vec![
            writers.to_string(),
            count(mine.per_second()),
            mine.millis(0.5),
            mine.millis(0.99),
            mine.micros(mine.cpu),
            mine.micros(mine.load),
            mine.failures.to_string(),
            ratio(mine.per_second(), disk),
            of_etcd(&|_| if connections == Connections::Each { writers.to_string() } else { "1".to_owned() }),
            of_etcd(&|it| count(it.per_second())),
            of_etcd(&|it| it.millis(0.5)),
            of_etcd(&|it| it.millis(0.99)),
            of_etcd(&|it| it.micros(it.cpu)),
            of_etcd(&|it| it.micros(it.load)),
            of_etcd(&|_| format!("{middle:.2}")),
            ratios.join(" "),
        ]);
    }
    table::print(
        "Writes, three nodes",
        &format!(
            "1 KiB values through the leader's admin API (JSON over HTTP/1.1, authorization, validation; a connection for \
             each writer), etcd by its own gRPC, with a connection for each writer and with one for all; \
             they take turns, and each row is the round with the middle ratio. \
             The disk alone: {} appends with fdatasync per second. Aim: 1.0 × etcd at one writer, 1.5 × from 16.",
            count(disk)
        ),
        &rows,
    );
}

/// Beside etcd each number of writers is measured with both kinds of connections, if there is a difference.
fn ways(writers: usize, beside_etcd: bool) -> impl Iterator<Item = (usize, Connections)> {
    let shared = (beside_etcd && writers > 1).then_some((writers, Connections::Shared));
    std::iter::once((writers, Connections::Each)).chain(shared)
}

struct Ours {
    cluster: Cluster,
    leader: usize,
    token: String,
}

impl Ours {
    async fn start(options: &Options) -> Self {
        let cluster = Cluster::start(3).await;
        let leader = cluster.leader().await;
        let admin = cluster.admin(leader).await;
        let _ = admin.create_tenant("bench", json!({})).await;
        for writer in 0..options.writers.iter().copied().max().unwrap_or(0) {
            let scope = json!({ "name": format!("scope-{writer}"), "description": "" });
            let _ = admin.post("/tenants/bench/scopes", &scope).await.expect(201);
        }
        Self { cluster, leader, token: admin.token().to_owned() }
    }

    /// Each writer replaces a scope of its own again and again.
    async fn measure(&self, writers: usize, measured: Duration) -> Figures {
        let authorization = format!("Bearer {}", self.token);
        let padding = "ä".repeat(512);
        let requests: load::Requests = Arc::new(move |writer, number| {
            // 512 characters are the model's limit; of two bytes each.
            let body = format!(r#"{{"description":"{}","claims":[]}}"#, padded(number, &padding, 512));
            let path = format!("/api/v1/tenants/bench/scopes/scope-{writer}");
            let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
            load::request("PUT", &path, &headers, &body)
        });
        let address = &self.cluster.nodes[self.leader].addresses().admin;
        let _ = load::run(address, writers, 200, WARM_UP, Arc::clone(&requests)).await;
        let (before, idle) = (self.cpu(), cpu::time(std::process::id()));
        let outcome = load::run(address, writers, 200, measured, requests).await;
        Figures {
            writes: outcome.answers,
            failures: outcome.failures,
            took: outcome.took,
            cpu: self.cpu().saturating_sub(before),
            load: cpu::time(std::process::id()).saturating_sub(idle),
            latency: outcome.latency,
        }
    }

    fn cpu(&self) -> Duration {
        self.cluster.nodes.iter().map(|node| cpu::time(node.process_id())).sum()
    }
}

/// A number behind as much of `padding` as makes it that many characters: made anew for each write, so at little cost.
pub(crate) fn padded(number: u64, padding: &str, length: usize) -> String {
    let digits = number.to_string();
    let width = padding.chars().next().map_or(0, char::len_utf8);
    let before = padding.get(..length.saturating_sub(digits.len()) * width).unwrap_or_default();
    [before, &digits].concat()
}
