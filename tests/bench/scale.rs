//! Ten thousand tenants with ten clients each, beside a hundred of them: what grows with them and what must not.

mod transfer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use prost::Message as _;
use serde_json::json;
use shared_proto::watch::watch_client::WatchClient;
use shared_proto::watch::{Hello, PodMessage, event, pod_message};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::pod::{Plan, Pod};
use tonic::transport::Endpoint;

use crate::cpu;
use crate::load::{self, float, histogram};
use crate::options::Options;
use crate::scale::transfer::Transfer;
use crate::table::{self, count, row};

const SMALL: u64 = 100;
const CLIENTS: u64 = 10;
/// Requests under way at once while filling.
const CONNECTIONS: usize = 64;
/// Operations of each kind that are timed per round.
const TIMED: u64 = 50;
const CHANGES: u64 = 1_000;

pub(crate) async fn run(options: &Options) {
    let mut small = Filled::start(SMALL).await;
    let mut large = Filled::start(options.tenants).await;
    let [few, many] = [SMALL, options.tenants].map(|tenants| format!("{} tenants", count(float(tenants))));
    let mut pair = vec![row(["what", &few, &many, "ratio", "aim"])];
    let compared: [(&str, Operation); 4] = [
        ("creating one more tenant, ms (median)", Operation::CreateTenant),
        ("first page of 100 tenants, ms", Operation::FirstPage),
        ("a page in the middle, ms", Operation::MiddlePage),
        ("a tenant's clients, ms", Operation::Clients),
    ];
    for (what, operation) in compared {
        // In turns, so that what else the machine does meets both.
        let (mut of_small, mut of_large) = (histogram(), histogram());
        for round in 0..options.rounds as u64 {
            small.time(operation, round, &mut of_small).await;
            large.time(operation, round, &mut of_large).await;
        }
        let (one, other) = (of_small.value_at_quantile(0.5), of_large.value_at_quantile(0.5));
        pair.push(compare(what, float(one) / 1000.0, float(other) / 1000.0, "1.5"));
    }
    let (one, other) = (small.change().await, large.change().await);
    pair.push(compare("a change to one tenant, bytes to each subscriber", one.bytes, other.bytes, "1"));
    pair.push(compare("the same, CPU µs of the node", one.node_cpu, other.node_cpu, "1.5"));
    pair.push(compare("the same, CPU µs of a pod", one.pod_cpu, other.pod_cpu, "1.5"));
    table::print("One change, few tenants and many", "One node each, in turns, one request at a time.", &pair);

    let sync = [small.first_sync().await, large.first_sync().await];
    let restart = [small.restart().await, large.restart().await];
    let moved = [small.transfer().await, large.transfer().await];
    let mut rows = vec![row(["what", &few, &many, "aim"])];
    let mut line = |what: &str, of: &dyn Fn(&Filled) -> String, aim: &str| {
        rows.push(vec![what.to_owned(), of(&small), of(&large), aim.to_owned()]);
    };
    line("filling over the admin API, s", &|it| format!("{:.1}", it.fill_time.as_secs_f64()), "60");
    line("node, resident MiB after filling", &|it| count(it.resident_full), "600");
    line("node, resident MiB after a restart", &|it| count(it.resident_restarted), "600");
    line("pod, resident MiB", &|it| count(it.resident_pod), "");
    rows.push(seconds("node, killed: exec to ready, s", &restart, "5"));
    rows.push(seconds("pod without a file: exec to ready, s", &sync, "3"));
    rows.push(seconds("`hellojohn export`, s", &moved.each_ref().map(|it| it.export), ""));
    rows.push(seconds("`hellojohn import` into a fresh node, s", &moved.each_ref().map(|it| it.import), "60"));
    let mut line = |what: &str, of: &dyn Fn(&Transfer) -> f64, aim: &str| {
        let [of_small, of_large] = moved.each_ref().map(|it| count(of(it)));
        rows.push(vec![what.to_owned(), of_small, of_large, aim.to_owned()]);
    };
    line("that file, MiB", &|it| it.file_mib, "");
    line("that node, resident MiB after it", &|it| it.resident_mib, "600");
    line("that node, resident MiB at its most", &|it| it.peak_mib, "600");
    table::print(
        "Many tenants",
        &format!(
            "One node, {many} (ES256) of {CLIENTS} clients each, made over the admin API with {CONNECTIONS} \
             connections: {} writes.",
            count(float(options.tenants * (CLIENTS + 1)))
        ),
        &rows,
    );
}

#[derive(Clone, Copy)]
enum Operation {
    CreateTenant,
    FirstPage,
    MiddlePage,
    Clients,
}

/// What one change costs.
struct Change {
    bytes: f64,
    node_cpu: f64,
    pod_cpu: f64,
}

struct Filled {
    cluster: Cluster,
    admin: Admin,
    tenants: u64,
    fill_time: Duration,
    resident_full: f64,
    resident_restarted: f64,
    resident_pod: f64,
}

impl Filled {
    async fn start(tenants: u64) -> Self {
        let cluster = Cluster::start(1).await;
        let admin = cluster.admin(0).await;
        let address = cluster.nodes[0].addresses().admin.clone();
        let begin = Instant::now();
        let token = admin.token().to_owned();
        post_all(&address, &token, tenants, |number| {
            let slug = slug(number);
            ("/api/v1/tenants".to_owned(), json!({ "slug": slug, "display_name": slug, "settings": {} }).to_string())
        })
        .await;
        post_all(&address, &token, tenants * CLIENTS, |number| {
            let (tenant, client) = (number / CLIENTS, number % CLIENTS);
            let client = json!({
                "name": format!("Machine {client}"), "token_endpoint_auth_method": "client_secret_basic",
                "grant_types": ["client_credentials"], "scopes": [],
            });
            (format!("/api/v1/tenants/{}/clients", slug(tenant)), client.to_string())
        })
        .await;
        let fill_time = begin.elapsed();
        settled(cluster.nodes[0].process_id()).await;
        let resident_full = cpu::resident_mib(cluster.nodes[0].process_id());
        Self { cluster, admin, tenants, fill_time, resident_full, resident_restarted: 0.0, resident_pod: 0.0 }
    }

    fn process(&self) -> u32 {
        self.cluster.nodes[0].process_id()
    }

    async fn time(&self, operation: Operation, round: u64, times: &mut Histogram<u64>) {
        let middle = slug(self.tenants / 2);
        let page = self.admin.get("/tenants?limit=100").await.expect(200).json;
        // The large list's pages are walked to its middle once; the small one has one page only.
        let mut cursor = page["next_cursor"].as_str().map(ToOwned::to_owned);
        if matches!(operation, Operation::MiddlePage) {
            for _ in 0..self.tenants / 200 {
                let Some(at) = &cursor else { break };
                let page = self.admin.get(&format!("/tenants?limit=100&cursor={at}")).await.expect(200).json;
                cursor = page["next_cursor"].as_str().map(ToOwned::to_owned).or(cursor);
            }
        }
        for number in 0..TIMED {
            let sent = Instant::now();
            match operation {
                Operation::CreateTenant => {
                    let _ = self.admin.create_tenant(&format!("more-{round}-{number}"), json!({})).await;
                }
                Operation::FirstPage => drop(self.admin.get("/tenants?limit=100").await.expect(200)),
                Operation::MiddlePage => {
                    let after = cursor.as_ref().map(|at| format!("&cursor={at}")).unwrap_or_default();
                    drop(self.admin.get(&format!("/tenants?limit=100{after}")).await.expect(200));
                }
                Operation::Clients => drop(self.admin.get(&format!("/tenants/{middle}/clients")).await.expect(200)),
            }
            times.saturating_record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// One tenant changes again and again while a pod and a plain subscriber look.
    async fn change(&mut self) -> Change {
        let pod = self.pod("watching").await;
        self.resident_pod = cpu::resident_mib(pod.process().id());
        let sizes = self.sizes().await;
        // The first state is sent and kept on disk, and the log is cut, which comes once in so many entries and costs as
        // much as the state is large: only the changes are to be seen.
        let _ = self.admin.post("/cluster/snapshot", &json!({})).await.expect(200);
        settled(self.process()).await;
        settled(pod.process().id()).await;
        let (node_before, pod_before) = (cpu::time(self.process()), cpu::time(pod.process().id()));
        let path = format!("/tenants/{}/scopes/s", slug(self.tenants / 2));
        let mut revision = 0;
        let _ =
            self.admin.post(path.trim_end_matches("/s"), &json!({ "name": "s", "description": "" })).await.expect(201);
        for number in 0..CHANGES {
            let answer = self.admin.put(&path, &json!({ "description": format!("{number:4}") })).await.expect(200);
            revision = answer.json["revision"].as_u64().expect("a scope has a revision");
        }
        pod.has_revision(revision).await;
        let micros = |used: Duration| used.as_secs_f64() * 1e6 / float(CHANGES);
        let node_cpu = micros(cpu::time(self.process()).saturating_sub(node_before));
        let pod_cpu = micros(cpu::time(pod.process().id()).saturating_sub(pod_before));
        let bytes = sizes.lock().expect("no holder panics").get(&revision).copied().unwrap_or(0);
        Change { bytes: float(bytes as u64), node_cpu, pod_cpu }
    }

    /// How many bytes each revision came in.
    async fn sizes(&self) -> Arc<Mutex<BTreeMap<u64, usize>>> {
        let sizes = Arc::new(Mutex::new(BTreeMap::new()));
        let address = format!("http://{}", self.cluster.nodes[0].addresses().watch);
        let channel = Endpoint::from_shared(address).expect("a valid address").connect().await.expect("it listens");
        let hello = Hello { pod_id: "sizes".to_owned(), version: "bench".to_owned(), ..Hello::default() };
        let hello = PodMessage { kind: Some(pod_message::Kind::Hello(hello)) };
        let outgoing = futures::StreamExt::chain(futures::stream::iter([hello]), futures::stream::pending());
        let mut request = tonic::Request::new(outgoing);
        let bearer = format!("Bearer {}", self.cluster.secrets.watch_token).parse().expect("the token is ASCII");
        request.metadata_mut().insert("authorization", bearer);
        let client = WatchClient::new(channel).max_decoding_message_size(64 << 20);
        let mut events = { client }.subscribe(request).await.expect("the node takes a subscriber").into_inner();
        let seen = Arc::clone(&sizes);
        tokio::spawn(async move {
            while let Ok(Some(message)) = events.message().await {
                if let Some(event::Kind::Delta(delta)) = &message.kind {
                    seen.lock().expect("no holder panics").insert(delta.revision, message.encoded_len());
                }
            }
        });
        sizes
    }

    async fn pod(&self, name: &str) -> Pod {
        let control_plane = self.cluster.watch_urls();
        Pod::start(&Plan { name, control_plane: &control_plane, ..Plan::default() }, &self.cluster.secrets).await
    }

    async fn first_sync(&self) -> Duration {
        let begin = Instant::now();
        let pod = self.pod("first").await;
        let took = begin.elapsed();
        drop(pod);
        took
    }

    async fn transfer(&self) -> Transfer {
        transfer::transfer(&self.cluster, self.tenants * (1 + CLIENTS)).await
    }

    async fn restart(&mut self) -> Duration {
        let node = &mut self.cluster.nodes[0];
        node.kill();
        let begin = Instant::now();
        node.start().await;
        node.ready().await;
        let took = begin.elapsed();
        self.resident_restarted = cpu::resident_mib(self.process());
        took
    }
}

/// Waits until that process has nothing left to do: a snapshot, a state file.
async fn settled(process: u32) {
    const QUIET: Duration = Duration::from_millis(700);
    let mut before = cpu::time(process);
    loop {
        tokio::time::sleep(QUIET).await;
        let now = cpu::time(process);
        if now.saturating_sub(before) <= QUIET / 20 {
            return;
        }
        before = now;
    }
}

fn slug(number: u64) -> String {
    format!("tenant-{number:05}")
}

async fn post_all(
    address: &str,
    token: &str,
    many: u64,
    make: impl Fn(u64) -> (String, String) + Send + Sync + 'static,
) {
    let authorization = format!("Bearer {token}");
    let make = move |number| {
        let (path, body) = make(number);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        load::request("POST", &path, &headers, &body)
    };
    let failures = load::all(address, CONNECTIONS, 201, many, Arc::new(make)).await;
    assert_eq!(failures, 0, "every resource is created");
}

fn compare(what: &str, small: f64, large: f64, aim: &str) -> Vec<String> {
    let ratio = table::ratio(large, small);
    vec![what.to_owned(), format!("{small:.2}"), format!("{large:.2}"), ratio, aim.to_owned()]
}

fn seconds(what: &str, [small, large]: &[Duration; 2], aim: &str) -> Vec<String> {
    let secs = |took: &Duration| format!("{:.2}", took.as_secs_f64());
    vec![what.to_owned(), secs(small), secs(large), aim.to_owned()]
}
