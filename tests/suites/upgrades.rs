//! Every process is replaced, one by one, while people sign in, clients refresh and administrators write: not one
//! request fails, and nothing that was acknowledged is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::balancer::{Backend, Balancer};
use tests::cluster::Cluster;
use tests::pod::{Plan, Pod};
use tests::relying_party::RelyingParty;
use tests::tenant::{Tenant, User};
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world::World;
use tokio::task::JoinHandle;

/// Balancers probe every 50 ms and a probe takes a moment on a busy machine.
const DRAIN: [&str; 2] = ["--drain-secs", "3"];

/// What the administrator writes, again and again.
const SCOPE: &str = "counted";

/// Ten times as long as a node waits for its leader before it stands for election: a writer that hangs on the node that
/// is gone waits longer still.
const LONGEST_WRITE: Duration = Duration::from_secs(8);

/// What one kind of request came to.
#[derive(Debug, Default)]
struct Tally {
    done: AtomicU64,
    failed: std::sync::Mutex<Vec<String>>,
}

impl Tally {
    fn failed(&self, what: String) {
        self.failed.lock().expect("nobody panics with it").push(what);
    }
}

struct Load {
    stop: Arc<AtomicBool>,
    tallies: Vec<(&'static str, Arc<Tally>)>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    fn new() -> Self {
        Self { stop: Arc::default(), tallies: Vec::new(), tasks: Vec::new() }
    }

    /// Repeats `one` until the load is stopped. A panic, too, is a failed request.
    fn add<F>(&mut self, name: &'static str, mut one: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (tally, stop) = (Arc::new(Tally::default()), Arc::clone(&self.stop));
        self.tallies.push((name, Arc::clone(&tally)));
        self.tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                match tokio::spawn(one()).await {
                    Ok(Ok(())) => drop(tally.done.fetch_add(1, Ordering::Relaxed)),
                    Ok(Err(what)) => tally.failed(what),
                    Err(panicked) => tally.failed(panicked.to_string()),
                }
            }
        }));
    }

    /// Waits until every kind was answered some times more, so that each process is replaced under load.
    async fn goes_on(&self) {
        const MORE: u64 = 3;
        let counts = || self.tallies.iter().map(|(_, tally)| tally.done.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let before = counts();
        until("the load goes on", PATIENCE, async || {
            let now = counts();
            let first = |tally: &Tally| tally.failed.lock().expect("nobody panics with it").first().cloned();
            let failed: Vec<_> = self.tallies.iter().map(|(name, tally)| (*name, first(tally))).collect();
            let on = now.iter().zip(&before).all(|(now, before)| now - before >= MORE);
            if on { Ok(()) } else { Err(format!("{before:?} then {now:?}; {failed:#?}")) }
        })
        .await;
    }

    #[expect(clippy::print_stdout, reason = "the test runner shows it")]
    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("it counts panics and has none");
        }
        let failed: Vec<String> = self
            .tallies
            .iter()
            .flat_map(|(name, tally)| {
                let failed = tally.failed.lock().expect("nobody panics with it").clone();
                failed.into_iter().map(move |what| format!("{name}: {what}"))
            })
            .collect();
        let done: Vec<_> =
            self.tallies.iter().map(|(name, tally)| (*name, tally.done.load(Ordering::Relaxed))).collect();
        println!("{done:?}");
        assert!(failed.is_empty(), "{} requests failed beside {done:?}: {failed:#?}", failed.len());
    }
}

/// Nodes and pods, and what stands before each kind.
struct System {
    world: World,
    nodes: Balancer,
    pods: Balancer,
}

impl System {
    async fn start() -> Self {
        let (nodes, pods) = (Balancer::start().await, Balancer::start().await);
        let cluster = Cluster::start_with(3, &DRAIN).await;
        let (control_plane, public_url) = (cluster.watch_urls(), pods.url());
        let mut world = World { cluster, pods: Vec::new() };
        for name in ["pod-a", "pod-b", "pod-c"] {
            let plan =
                Plan { name, control_plane: &control_plane, public_url: &public_url, flags: &DRAIN, ..Plan::default() };
            world.pods.push(Pod::start(&plan, &world.cluster.secrets).await);
        }
        let system = Self { world, nodes, pods };
        for place in 0..3 {
            system.takes_node(place).await;
            system.takes_pod(place).await;
        }
        system
    }

    async fn takes_node(&self, place: usize) {
        let node = &self.world.cluster.nodes[place];
        let traffic = node.admin_url().trim_start_matches("http://").to_owned();
        self.nodes.set(place, Backend { traffic, readiness: format!("{}/readyz", node.ops_url()) }).await;
    }

    async fn takes_pod(&self, place: usize) {
        let pod = &self.world.pods[place];
        let backend = Backend { traffic: pod.address().to_owned(), readiness: format!("{}/readyz", pod.ops_url()) };
        self.pods.set(place, backend).await;
    }

    async fn replace_node(&mut self, place: usize) {
        let node = &mut self.world.cluster.nodes[place];
        assert_eq!(node.stop(PATIENCE).await, Some(0));
        node.start().await;
        node.ready().await;
        self.takes_node(place).await;
    }

    async fn replace_pod(&mut self, place: usize) {
        let pod = &mut self.world.pods[place];
        assert_eq!(pod.stop(PATIENCE).await, Some(0));
        pod.start_again().await;
        pod.ready().await;
        self.takes_pod(place).await;
    }

    /// Sign-ins, refreshes, tokens of machines, writes of an administrator.
    async fn load(&self, tenant: &Tenant, user: &User) -> (Load, Arc<tokio::sync::Mutex<Administrator>>) {
        let base = format!("{}/t/{}", self.pods.url(), tenant.slug);
        let [backend, service] = [&tenant.backend, &tenant.service].map(|party| party.at(&base));
        let mut load = Load::new();
        load.add("sign-in", {
            let (backend, user) = (backend.clone(), user.clone());
            move || sign_in(backend.clone(), user.clone())
        });
        let newest = Arc::new(tokio::sync::Mutex::new(backend.sign_in(user).await.refresh().to_owned()));
        load.add("refresh", move || refresh(backend.clone(), Arc::clone(&newest)));
        load.add("client_credentials", move || machine(service.clone()));
        let scope = json!({ "name": SCOPE, "description": "0" });
        let made = self.world.cluster.admin(0).await.post(&format!("/tenants/{}/scopes", tenant.slug), &scope).await;
        let administrator = Administrator {
            http: web::client(),
            api: format!("{}/api/v1", self.nodes.url()),
            credential: self.world.cluster.secrets.owner.clone(),
            token: None,
            scope: format!("/tenants/{}/scopes/{SCOPE}", tenant.slug),
            written: 0,
            etag: made.expect(201).header("etag").expect("an ETag").to_owned(),
            longest: Duration::ZERO,
        };
        let administrator = Arc::new(tokio::sync::Mutex::new(administrator));
        load.add("admin write", {
            let administrator = Arc::clone(&administrator);
            move || write(Arc::clone(&administrator))
        });
        (load, administrator)
    }

    /// Every node has the administrator's last write, which was made on top of all before it.
    async fn has_all_writes(&self, administrator: &Administrator) {
        for place in 0..self.world.cluster.nodes.len() {
            let admin = self.world.cluster.admin(place).await;
            let revision = administrator.etag.trim_matches('"');
            let shown = admin.get(&format!("{}?min_revision={revision}", administrator.scope)).await.expect(200);
            assert_eq!(shown.text_of("description"), administrator.written.to_string(), "at node {place}");
        }
    }
}

async fn sign_in(party: RelyingParty, user: User) -> Result<(), String> {
    // It panics where an answer is not what it must be.
    let tokens = party.sign_in(&user).await;
    if tokens.access.is_empty() { Err("no token".to_owned()) } else { Ok(()) }
}

async fn refresh(party: RelyingParty, newest: Arc<tokio::sync::Mutex<String>>) -> Result<(), String> {
    let mut newest = newest.lock().await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", newest.as_str())];
    let answer = web::try_send(party.token_request(&form)).await.map_err(|error| format!("{error:?}"))?;
    let next = answer.json["refresh_token"].as_str().map(ToOwned::to_owned);
    *newest = next.ok_or_else(|| format!("{answer:?}"))?;
    Ok(())
}

async fn machine(party: RelyingParty) -> Result<(), String> {
    let form = [("grant_type", "client_credentials"), ("scope", "hj:users.read")];
    let answer = web::try_send(party.token_request(&form)).await.map_err(|error| format!("{error:?}"))?;
    if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
}

/// Trades its credential for a token again before that ends: the long variant goes on for longer than one is good.
struct Administrator {
    http: reqwest::Client,
    api: String,
    credential: String,
    token: Option<(String, Instant)>,
    /// The path of what it writes: how often it did, the last of which was this revision.
    scope: String,
    written: u64,
    etag: String,
    longest: Duration,
}

impl Administrator {
    const RENEWED_AFTER: Duration = Duration::from_mins(5);

    async fn token(&mut self) -> Result<String, String> {
        match &self.token {
            Some((token, since)) if since.elapsed() < Self::RENEWED_AFTER => Ok(token.clone()),
            _ => {
                let asked = self.http.post(format!("{}/auth/token", self.api));
                let asked = asked.json(&json!({ "credential": self.credential }));
                let answer = web::try_send(asked).await.map_err(|error| format!("{error:?}"))?;
                let token = answer.json["access_token"].as_str().ok_or_else(|| format!("{answer:?}"))?.to_owned();
                self.token = Some((token.clone(), Instant::now()));
                Ok(token)
            }
        }
    }
}

/// Upon the write before and nothing else: if that was lost, this one is refused.
async fn write(administrator: Arc<tokio::sync::Mutex<Administrator>>) -> Result<(), String> {
    let mut administrator = administrator.lock().await;
    let token = administrator.token().await?;
    let next = administrator.written + 1;
    let request = administrator.http.put(format!("{}{}", administrator.api, administrator.scope)).bearer_auth(token);
    let request = request.header("if-match", &administrator.etag).json(&json!({ "description": next.to_string() }));
    let began = Instant::now();
    let answer = web::try_send(request).await.map_err(|error| format!("{error:?}"))?;
    administrator.longest = administrator.longest.max(began.elapsed());
    if answer.status != 200 {
        return Err(format!("{answer:?}"));
    }
    administrator.written = next;
    answer.header("etag").ok_or("no ETag")?.clone_into(&mut administrator.etag);
    Ok(())
}

async fn roll(rounds: usize) {
    let mut system = System::start().await;
    let tenant = Tenant::create(&system.world, "rolling").await;
    let user = tenant.user("alice").await;
    let (load, administrator) = system.load(&tenant, &user).await;
    for _ in 0..rounds {
        for place in 0..3 {
            load.goes_on().await;
            system.replace_pod(place).await;
            load.goes_on().await;
            system.replace_node(place).await;
        }
    }
    load.goes_on().await;
    load.stop().await;
    let administrator = administrator.lock().await;
    system.has_all_writes(&administrator).await;
    let longest = administrator.longest;
    assert!(longest < LONGEST_WRITE, "the longest of {} writes took {longest:?}", administrator.written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_is_replaced_under_load_no_request_fails_and_no_write_is_lost() {
    roll(1).await;
}

/// The same for some minutes: `cargo test --workspace --test upgrades -- --ignored`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn every_process_is_replaced_twenty_times_under_load_and_no_request_fails() {
    roll(20).await;
}
