//! Many subscribers over TLS: how soon each has a change, what one costs, and what a stopped one changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::pki::{Authority, Certified};
use tests::process::Launch;
use tests::scratch;
use tests::wait::{PATIENCE, until};

use crate::dialect::Dialect;
use crate::load::{self, float, histogram};
use crate::options::Options;
use crate::stream::{Arrivals, Door, Subscribers};
use crate::table::{self, row};
use crate::{cpu, etcd};

/// One change at a time, so many of them, this far apart.
const CHANGES: u64 = 200;
const PAUSE: Duration = Duration::from_millis(50);
/// Streams that share a connection when there are more than [`CONNECTIONS`].
const CONNECTIONS: usize = 1_000;
const OTHERS: usize = 100;
const STOPPED: usize = 20;
const WRITERS: usize = 16;
/// Of all of them: no more than the readers can take beside them.
const WRITES_PER_SECOND: u32 = 100;

pub(crate) async fn run(options: &Options) {
    let mut rows = vec![row([
        "streams",
        "connections",
        "of",
        "p50 ms",
        "p99 ms",
        "max ms",
        "aim p99",
        "p99 from the request, ms",
        "/ etcd",
        "aim / etcd",
        "rounds",
        "CPU µs/delivery",
        "KiB each",
    ])];
    // The aims: 20 and 45 ms where an etcd takes 20 and 147.
    for (streams, aims) in [(1_000, ["20", "1.00"]), (5_000, ["45", "0.31"])] {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            rounds.push(Round::measure(streams, options.etcd).await);
        }
        rounds.sort_by(|one, other| one.order().total_cmp(&other.order()));
        let all: Vec<String> = rounds.iter().map(Round::figure).collect();
        // All figures of a row are of the round in the middle.
        let middle = rounds.swap_remove(rounds.len() / 2);
        let ratio = middle.ratio().map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        rows.push(middle.ours.row("HelloJohn", aims, [&ratio, &all.join(" ")]));
        rows.extend(middle.etcd.map(|etcd| etcd.row("etcd", [""; 2], [""; 2])));
    }
    table::print(
        "Fan-out",
        &format!(
            "Subscribers of one node over TLS; {CHANGES} changes of 1 KiB, {} a second. From the acknowledgement of the write \
             to the arrival at each subscriber; the subscribers are one process on the same cores. CPU and memory are the \
             node's; memory is what it grew by since before they came. In turns with one etcd, by its own watch over TLS, \
             with the same subscribers; each row is the round with the middle ratio of p99 from the request, which an etcd is \
             still about to answer when the first have the change. Without etcd, rounds are p99 from the acknowledgement.",
            1000 / PAUSE.as_millis()
        ),
        &rows,
    );
    stopped(options).await;
}

/// Ours, and then an etcd.
struct Round {
    ours: FanOut,
    etcd: Option<FanOut>,
}

impl Round {
    async fn measure(streams: usize, beside_etcd: bool) -> Self {
        let ours = FanOut::measure(&Server::start().await, streams).await;
        let etcd = if beside_etcd { OfEtcd::start().await } else { None };
        let etcd = match &etcd {
            Some(etcd) => Some(FanOut::measure(etcd, streams).await),
            None => None,
        };
        Self { ours, etcd }
    }

    /// Of p99 from the request.
    fn ratio(&self) -> Option<f64> {
        self.etcd.as_ref().map(|etcd| self.ours.p99() / etcd.p99())
    }

    fn order(&self) -> f64 {
        self.ratio().unwrap_or_else(|| self.ours.p99())
    }

    fn figure(&self) -> String {
        self.ratio().map_or_else(|| millis(&self.ours.times, 0.99), |ratio| format!("{ratio:.2}"))
    }
}

struct Server {
    cluster: Cluster,
    admin: Admin,
    certified: Certified,
}

impl Server {
    async fn start() -> Self {
        let certified = Authority::new("authority").certify("node");
        let cluster = Cluster::start_with(1, &certified.flags()).await;
        let admin = cluster.admin(0).await;
        let _ = admin.create_tenant("bench", json!({})).await;
        for writer in 0..WRITERS {
            let scope = json!({ "name": format!("scope-{writer}"), "description": "" });
            let _ = admin.post("/tenants/bench/scopes", &scope).await.expect(201);
        }
        Self { cluster, admin, certified }
    }
}

/// What has subscribers.
trait Watched {
    fn door(&self) -> Door;
    fn process(&self) -> u32;
    async fn change(&self, number: u64) -> Change;
}

/// One that was made.
struct Change {
    sent: Instant,
    acknowledged: Instant,
    revision: u64,
}

impl Watched for Server {
    fn door(&self) -> Door {
        Door {
            address: self.cluster.nodes[0].addresses().watch.clone(),
            dialect: Dialect::Ours { token: self.cluster.secrets.watch_token.clone() },
            ca: Some(self.certified.ca.clone()),
        }
    }

    fn process(&self) -> u32 {
        self.cluster.nodes[0].process_id()
    }

    async fn change(&self, number: u64) -> Change {
        let description = format!("{number:ä>512}");
        let sent = Instant::now();
        let answer = self.admin.put("/tenants/bench/scopes/scope-0", &json!({ "description": description })).await;
        let acknowledged = Instant::now();
        let revision = answer.expect(200).json["revision"].as_u64().expect("a scope has a revision");
        Change { sent, acknowledged, revision }
    }
}

struct OfEtcd {
    etcd: etcd::Watched,
    ca: String,
    padding: String,
}

impl OfEtcd {
    async fn start() -> Option<Self> {
        let certified = Authority::new("etcd-authority").certify("etcd");
        let etcd = etcd::Watched::start(&certified).await?;
        Some(Self { etcd, ca: certified.ca, padding: "0".repeat(1024) })
    }
}

impl Watched for OfEtcd {
    fn door(&self) -> Door {
        Door { address: self.etcd.address.clone(), dialect: Dialect::Etcd, ca: Some(self.ca.clone()) }
    }

    fn process(&self) -> u32 {
        self.etcd.process()
    }

    async fn change(&self, number: u64) -> Change {
        let sent = Instant::now();
        let revision = self.etcd.change(number, &self.padding).await;
        Change { sent, acknowledged: Instant::now(), revision }
    }
}

struct FanOut {
    streams: usize,
    connections: usize,
    /// From the acknowledgement.
    times: Histogram<u64>,
    /// From the request: an etcd is still about to answer it when the first subscribers have the change.
    whole: Histogram<u64>,
    cpu: Duration,
    grown_kib: f64,
}

impl FanOut {
    async fn measure(server: &impl Watched, streams: usize) -> Self {
        let _ = server.change(0).await;
        let before = cpu::resident_mib(server.process());
        let arrivals = Arrivals::default();
        let connections = streams.min(CONNECTIONS);
        let (subscribers, door) = (Subscribers::none(), server.door());
        for number in 0..connections {
            subscribers.connect(&door, &format!("bench-{number}"), streams / connections, &arrivals).await;
        }
        let (mut times, mut whole, mut number) = (histogram(), histogram(), 0);
        let cpu_before = cpu::time(server.process());
        while number < CHANGES {
            number += 1;
            let next = Instant::now() + PAUSE;
            let Change { sent, acknowledged, revision } = server.change(number).await;
            let all = until("every subscriber has the change", PATIENCE, async || {
                let mut arrivals = arrivals.lock().expect("no holder panics");
                let there = arrivals.get(&revision).map_or(0, Vec::len);
                if there == streams {
                    Ok(arrivals.remove(&revision).unwrap_or_default())
                } else {
                    Err(there.to_string())
                }
            })
            .await;
            for arrival in all {
                record(&mut times, arrival.saturating_duration_since(acknowledged));
                record(&mut whole, arrival.saturating_duration_since(sent));
            }
            tokio::time::sleep_until(next.into()).await;
        }
        let cpu = cpu::time(server.process()).saturating_sub(cpu_before);
        let grown_kib = (cpu::resident_mib(server.process()) - before) * 1024.0;
        drop(subscribers);
        Self { streams, connections, times, whole, cpu, grown_kib }
    }

    /// Of the way from the request.
    fn p99(&self) -> f64 {
        float(self.whole.value_at_quantile(0.99))
    }

    fn row(&self, of: &str, [aim, of_etcd]: [&str; 2], [ratio, rounds]: [&str; 2]) -> Vec<String> {
        let streams = float(self.streams as u64);
        vec![
            self.streams.to_string(),
            self.connections.to_string(),
            of.to_owned(),
            millis(&self.times, 0.5),
            millis(&self.times, 0.99),
            millis(&self.times, 1.0),
            aim.to_owned(),
            millis(&self.whole, 0.99),
            ratio.to_owned(),
            of_etcd.to_owned(),
            rounds.to_owned(),
            format!("{:.1}", self.cpu.as_secs_f64() * 1e6 / (float(CHANGES) * streams)),
            format!("{:.1}", self.grown_kib / streams),
        ]
    }
}

/// Writers go on while some of the subscribers, a process of their own, are stopped (SIGSTOP) or not, in turns.
async fn stopped(options: &Options) {
    let server = Server::start().await;
    let arrivals = Arrivals::default();
    let (others, door) = (Subscribers::none(), server.door());
    for number in 0..OTHERS {
        others.connect(&door, &format!("other-{number}"), 1, &arrivals).await;
    }
    let folder = scratch::folder("subscribers");
    let launch = Launch {
        name: "subscribers".to_owned(),
        program: std::env::current_exe().expect("a process has a program"),
        args: ["subscribe", &door.address, &server.cluster.secrets.watch_token, &server.certified.files[2]]
            .map(ToOwned::to_owned)
            .to_vec(),
        env: Vec::new(),
        user: None,
        namespace: None,
        log: folder.join("log"),
    };
    let process = launch.start();
    until("the other process has subscribed", PATIENCE, async || {
        if process.log().contains("subscribed") { Ok(()) } else { Err(process.log()) }
    })
    .await;
    let (mut running, mut paused) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        running.push(burst(&server, &arrivals, options.measured).await);
        process.pause();
        paused.push(burst(&server, &arrivals, options.measured).await);
        process.resume();
    }
    let line = |what: &str, bursts: &mut Vec<Burst>| {
        bursts.sort_by(|one, other| one.writes_per_second.total_cmp(&other.writes_per_second));
        let middle = bursts.swap_remove(bursts.len() / 2);
        vec![
            what.to_owned(),
            table::count(middle.writes_per_second),
            millis(&middle.writes, 0.5),
            millis(&middle.writes, 0.99),
            millis(&middle.deliveries, 0.5),
            millis(&middle.deliveries, 0.99),
        ]
    };
    let rows = [
        row(["those", "writes/s", "write p50 ms", "write p99 ms", "delivery p50 ms", "delivery p99 ms"]),
        line("read", &mut running),
        line("are stopped", &mut paused),
    ];
    table::print(
        "A stopped subscriber",
        &format!(
            "{WRITERS} writers of {WRITES_PER_SECOND} changes a second, one node, {OTHERS} subscribers that read and {STOPPED} of another process that read or are \
             stopped (SIGSTOP), in turns of {} s, middle of {} each. Delivery: from the acknowledgement of one more change, 20 a second, to its arrival at each of the {OTHERS}.",
            options.measured.as_secs(),
            options.rounds
        ),
        &rows,
    );
}

struct Burst {
    writes_per_second: f64,
    writes: Histogram<u64>,
    /// From the acknowledgement to the arrival at each subscriber that reads.
    deliveries: Histogram<u64>,
}

async fn burst(server: &Server, arrivals: &Arrivals, measured: Duration) -> Burst {
    arrivals.lock().expect("no holder panics").clear();
    let authorization = format!("Bearer {}", server.admin.token());
    let requests: load::Requests = Arc::new(move |writer, number| {
        let body = json!({ "description": format!("{number:ä>512}"), "claims": [] }).to_string();
        let path = format!("/api/v1/tenants/bench/scopes/scope-{writer}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        load::request("PUT", &path, &headers, &body)
    });
    let address = &server.cluster.nodes[0].addresses().admin;
    let begin = Instant::now();
    let followed = async {
        let mut followed = Vec::new();
        while begin.elapsed() < measured {
            let next = Instant::now() + PAUSE;
            followed.push(server.change(followed.len() as u64).await);
            tokio::time::sleep_until(next.into()).await;
        }
        followed
    };
    let load = load::paced(address, WRITERS, 200, measured, WRITES_PER_SECOND, requests);
    let (outcome, followed) = tokio::join!(load, followed);
    let newest = server.change(0).await.revision;
    until("the others have it all", PATIENCE, async || {
        let there = arrivals.lock().expect("no holder panics").get(&newest).map_or(0, Vec::len);
        if there == OTHERS { Ok(()) } else { Err(there.to_string()) }
    })
    .await;
    let arrivals = std::mem::take(&mut *arrivals.lock().expect("no holder panics"));
    let mut deliveries = histogram();
    for Change { acknowledged, revision, .. } in followed {
        for arrival in arrivals.get(&revision).into_iter().flatten() {
            record(&mut deliveries, arrival.saturating_duration_since(acknowledged));
        }
    }
    Burst { writes_per_second: outcome.per_second(), writes: outcome.latency, deliveries }
}

/// The other process: `hj-bench subscribe ADDRESS TOKEN CA-FILE`.
pub(crate) async fn subscribe(arguments: &[String]) {
    let [address, token, ca] = arguments else { panic!("subscribe ADDRESS TOKEN CA-FILE") };
    let ca = std::fs::read_to_string(ca).expect("the authority's file is readable");
    let dialect = Dialect::Ours { token: token.clone() };
    let door = Door { address: address.clone(), dialect, ca: Some(ca) };
    let subscribers = Subscribers::none();
    for number in 0..STOPPED {
        subscribers.connect(&door, &format!("stopped-{number}"), 1, &Arrivals::default()).await;
    }
    println!("subscribed");
    std::future::pending::<()>().await;
}

fn record(times: &mut Histogram<u64>, time: Duration) {
    times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

fn millis(times: &Histogram<u64>, quantile: f64) -> String {
    format!("{:.2}", float(times.value_at_quantile(quantile)) / 1000.0)
}
