//! Automatic key rotation, as verifiers see it: whoever checks tokens by a JWK Set that it may keep never meets a key that
//! it cannot know, whatever happens to the control plane meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::pod::{Plan, Pod};
use tests::relying_party::RelyingParty;
use tests::tokens::{self, Jwt};
use tests::wait::until;
use tests::web;
use tokio::time::{MissedTickBehavior, interval};

/// A rotation with the figures below takes about ten seconds on a quiet machine.
const LONG: Duration = Duration::from_mins(2);
const CACHE_SECS: u64 = 2;
const TOKEN_SECS: u64 = 3;
const TOKEN_LIFE: Duration = Duration::from_secs(TOKEN_SECS);

struct World {
    cluster: Cluster,
    pods: Vec<Pod>,
}

impl World {
    async fn start(nodes: u64) -> Self {
        let cluster = Cluster::start(nodes).await;
        let control_plane = cluster.watch_urls();
        let mut pods: Vec<Pod> = Vec::new();
        for name in ["pod-a", "pod-b"] {
            let public_url = pods.first().map(Pod::url).unwrap_or_default();
            let plan = Plan { name, control_plane: &control_plane, public_url: &public_url, ..Plan::default() };
            pods.push(Pod::start(&plan, &cluster.secrets).await);
        }
        Self { cluster, pods }
    }

    /// A tenant whose keys rotate every few seconds, and a client of it that gets tokens without a database.
    async fn tenant(&self, admin: &Admin, slug: &str) -> RelyingParty {
        let settings = json!({
            "key_rotation": { "max_age_secs": 2, "clock_skew_secs": 0 },
            "lifetimes": {
                "jwks_cache_secs": CACHE_SECS, "access_token_secs": TOKEN_SECS, "id_token_secs": TOKEN_SECS,
            },
        });
        let _ = admin.create_tenant(slug, settings).await;
        let scopes = format!("/tenants/{slug}/scopes");
        let _ = admin.post(&scopes, &json!({ "name": "orders" })).await.expect(201);
        let client = json!({
            "client_id": "service", "name": "The Service", "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["client_credentials"], "scopes": ["orders"],
        });
        let client = admin.create_client(slug, &client).await;
        RelyingParty::new(&format!("{}/t/{slug}", self.pods[0].url()), "service", client.secret, "")
    }
}

/// The keys of a tenant, as `(kid, status)`; asked of any node that answers.
async fn keys(cluster: &Cluster, slug: &str) -> Result<Vec<(String, String)>, String> {
    let mut last = String::new();
    for node in &cluster.nodes {
        let admin = match Admin::sign_in(&node.admin_url(), &cluster.secrets.owner).await {
            Ok(admin) => admin,
            Err(error) => {
                last = error;
                continue;
            }
        };
        let answer = admin.try_get(&format!("/tenants/{slug}/keys")).await.map_err(|error| error.to_string())?;
        let items = answer.json["items"].as_array().cloned().unwrap_or_default();
        let text = |key: &Value, name: &str| key[name].as_str().unwrap_or_default().to_owned();
        return Ok(items.iter().map(|key| (text(key, "kid"), text(key, "status"))).collect());
    }
    Err(last)
}

fn count(keys: &[(String, String)], status: &str) -> usize {
    keys.iter().filter(|(_, is)| is == status).count()
}

/// Gets tokens from all pods in turn and checks each, again and again until it expires, by a JWK Set that it got from some
/// pod and keeps as long as it was told it may.
struct Load {
    stop: Arc<AtomicBool>,
    checks: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(world: &World, parties: &[(String, RelyingParty)]) -> Self {
        let (stop, checks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let bases: Vec<String> = world.pods.iter().map(Pod::url).collect();
        let tasks = parties.iter().map(|(slug, party)| {
            let verifier = Verifier { slug: slug.clone(), bases: bases.clone(), party: party.clone(), turn: 0 };
            tokio::spawn(verifier.run(Arc::clone(&stop), Arc::clone(&checks)))
        });
        Self { tasks: tasks.collect(), stop, checks }
    }

    /// What went wrong, and how many checks there were.
    async fn stop(self) -> (Vec<String>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for task in self.tasks {
            failures.extend(task.await.expect("a verifier does not panic"));
        }
        (failures, self.checks.load(Ordering::Relaxed))
    }
}

/// A JWK Set as a verifier keeps it.
struct Cached {
    /// Its age counts from here: how long the answer was on its way is not known (RFC 9111 §4.2.3).
    asked: Instant,
    answered: Instant,
    max_age: Duration,
    jwks: Value,
}

impl Cached {
    async fn ask(party: &RelyingParty) -> Self {
        let asked = Instant::now();
        let answer = party.jwks().await;
        let max_age = answer.header("cache-control").and_then(|it| it.rsplit_once("max-age=")?.1.parse().ok());
        let max_age = Duration::from_secs(max_age.unwrap_or_default());
        Self { asked, answered: Instant::now(), max_age, jwks: answer.json }
    }

    fn is_fresh(&self) -> bool {
        self.asked.elapsed() < self.max_age
    }
}

struct Verifier {
    slug: String,
    bases: Vec<String>,
    party: RelyingParty,
    turn: usize,
}

impl Verifier {
    async fn run(mut self, stop: Arc<AtomicBool>, checks: Arc<AtomicUsize>) -> Vec<String> {
        let mut failures = Vec::new();
        // One cache per pod, as verifiers behind a load balancer have: each filled at another time.
        let mut caches: HashMap<usize, Cached> = HashMap::new();
        let mut tokens: Vec<(Instant, String)> = Vec::new();
        let mut pace = interval(Duration::from_millis(100));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            self.turn += 1;
            let at = format!("{}/t/{}", self.bases[self.turn % self.bases.len()], self.slug);
            let asked = Instant::now();
            let form = [("grant_type", "client_credentials"), ("scope", "orders")];
            match self.party.at(&at).token(&form).await {
                answer if answer.status == 200 => tokens.push((asked, answer.text_of("access_token"))),
                answer => failures.push(format!("no token from {at}: {answer:?}")),
            }
            tokens.retain(|(asked, _)| asked.elapsed() < TOKEN_LIFE);
            for (place, base) in self.bases.iter().enumerate() {
                if !caches.get(&place).is_some_and(Cached::is_fresh) {
                    caches.insert(place, Cached::ask(&self.party.at(&format!("{base}/t/{}", self.slug))).await);
                }
                let Some(Cached { answered, jwks, .. }) = caches.get(&place) else { continue };
                // A set that took so long that a token ended meanwhile need not know its key any more.
                for (_, token) in tokens.iter().filter(|(asked, _)| *answered < *asked + TOKEN_LIFE) {
                    checks.fetch_add(1, Ordering::Relaxed);
                    if let Err(error) = tokens::verify(token, jwks) {
                        let kid = &Jwt::parse(token).header["kid"];
                        failures.push(format!("{}: {error} (kid {kid}) by the set of {base}: {jwks}", self.slug));
                    }
                }
            }
        }
        failures
    }
}

/// Every tenant rotates under load; then the leader is killed in each phase of a rotation.
#[tokio::test]
async fn every_tenant_rotates_under_load_and_leaders_die_in_each_phase_without_one_failed_verification() {
    let mut world = World::start(3).await;
    let admin = world.cluster.admin(0).await;
    let mut parties = Vec::new();
    for n in 0..8 {
        let slug = format!("rotating-{n}");
        let party = world.tenant(&admin, &slug).await;
        parties.push((slug, party));
    }
    let load = Load::start(&world, &parties);
    for (slug, _) in &parties {
        until(&format!("{slug} has rotated"), LONG, async || {
            let keys = keys(&world.cluster, slug).await?;
            if count(&keys, "revoked") >= 1 { Ok(()) } else { Err(format!("{keys:?}")) }
        })
        .await;
    }
    // One tenant's phase is everybody's: all have the same policy.
    let slug = parties[0].0.clone();
    for phase in ["next", "retiring", "revoked"] {
        let before = count(&keys(&world.cluster, &slug).await.expect("a node answers"), phase);
        until(&format!("a key more is {phase}"), LONG, async || {
            let keys = keys(&world.cluster, &slug).await?;
            let now = count(&keys, phase);
            let reached = if phase == "revoked" { now > before } else { now == 1 };
            if reached { Ok(()) } else { Err(format!("{keys:?}")) }
        })
        .await;
        let leader = world.cluster.leader().await;
        world.cluster.nodes[leader].kill();
        // Whoever leads next takes it to its end.
        let done = count(&keys(&world.cluster, &slug).await.unwrap_or_default(), "revoked");
        until(&format!("the rotation goes on that was at {phase}"), LONG, async || {
            let keys = keys(&world.cluster, &slug).await?;
            if count(&keys, "revoked") > done { Ok(()) } else { Err(format!("{keys:?}")) }
        })
        .await;
        world.cluster.nodes[leader].start().await;
        world.cluster.nodes[leader].ready().await;
    }
    let (failures, checks) = load.stop().await;
    assert!(checks > 100, "{checks} checks");
    assert_eq!(failures, Vec::<String>::new(), "{} of {checks} checks failed", failures.len());
    println!("{checks} verifications of {} tenants' tokens, none failed", parties.len());
}

/// A pod that was cut off may serve its old key set: nothing is activated until it is back, or given up.
#[tokio::test]
async fn a_pod_that_is_cut_off_holds_the_rotation_up_until_it_is_back_or_forgotten() {
    let mut world = World::start(1).await;
    let admin = world.cluster.admin(0).await;
    world.pods[1].process().pause();
    let _ = admin
        .create_tenant(
            "waiting",
            json!({
                "key_rotation": { "max_age_secs": 1, "clock_skew_secs": 0 },
                "lifetimes": { "jwks_cache_secs": 1, "access_token_secs": 1, "id_token_secs": 1 },
            }),
        )
        .await;
    let state_of = async |pod: &str| {
        let fleet = admin.get("/fleet").await.expect(200).json;
        let pods = fleet["pods"].as_array().cloned().unwrap_or_default();
        let found = pods.iter().find(|it| it["pod_id"] == pod).cloned();
        found.map(|it| it["state"].as_str().unwrap_or_default().to_owned()).ok_or_else(|| fleet.to_string())
    };
    until("the pod is missed", LONG, async || match state_of("pod-b").await? {
        state if state == "gone" => Ok(()),
        state => Err(state),
    })
    .await;
    let held_up = async |world: &World| {
        let metrics = web::send(web::client().get(format!("{}/metrics", world.cluster.nodes[0].ops_url()))).await.text;
        let keys = keys(&world.cluster, "waiting").await?;
        let held_up = metrics.contains("hj_cp_key_rotation_held_up{status=\"next\"} 1");
        if held_up && count(&keys, "next") == 1 { Ok(()) } else { Err(format!("{keys:?}")) }
    };
    until("its rotation is held up", LONG, async || held_up(&world).await).await;
    assert_eq!(count(&keys(&world.cluster, "waiting").await.expect("it answers"), "retiring"), 0);
    world.pods[1].process().resume();
    let rotated = async |world: &World, times: usize| {
        until("it rotates", LONG, async || {
            let keys = keys(&world.cluster, "waiting").await?;
            if count(&keys, "revoked") >= times { Ok(()) } else { Err(format!("{keys:?}")) }
        })
        .await;
    };
    rotated(&world, 1).await;
    // One that is gone for good is forgotten by hand; a connected one cannot be.
    assert_eq!(admin.delete("/fleet/pod-a").await.expect(409).code(), "conflict");
    let _ = admin.delete("/fleet/nobody").await.expect(404);
    world.pods[1].kill();
    let times = count(&keys(&world.cluster, "waiting").await.expect("it answers"), "revoked");
    until("its rotation is held up again", LONG, async || held_up(&world).await).await;
    // It is shown however soon others are not any more: it is written down as gone within three seconds, and waited for.
    let _ = admin.patch("/settings", &json!({ "gone_pods_kept_secs": 1 })).await.expect(200);
    let (begun, mut pace) = (Instant::now(), interval(Duration::from_millis(200)));
    while begun.elapsed() < Duration::from_secs(7) {
        pace.tick().await;
        assert_eq!(state_of("pod-b").await.as_deref(), Ok("gone"));
    }
    let _ = admin.delete("/fleet/pod-b?wait=fleet").await.expect(204);
    let _ = admin.record_of_an_administrator("resource=fleet/pod-b").await;
    rotated(&world, times + 1).await;
}

/// What an alert looks at for a day.
#[tokio::test]
async fn only_the_leader_tells_what_holds_a_rotation_up() {
    let world = World::start(3).await;
    let cluster = &world.cluster;
    let old = cluster.leader().await;
    let admin = cluster.admin(old).await;
    world.pods[1].process().pause();
    let _ = admin.create_tenant("told", json!({ "key_rotation": { "max_age_secs": 1, "clock_skew_secs": 0 } })).await;
    let tells = async |place: usize, value: u8| {
        until(&format!("node {} tells {value}", cluster.nodes[place].id), LONG, async || {
            let metrics =
                web::send(web::client().get(format!("{}/metrics", cluster.nodes[place].ops_url()))).await.text;
            let line = format!("hj_cp_key_rotation_held_up{{status=\"next\"}} {value}\n");
            if metrics.contains(&line) { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
    };
    tells(old, 1).await;
    let new = (old + 1) % 3;
    let transfer = json!({ "to": cluster.nodes[new].id });
    let _ = admin.post("/cluster/transfer-leader", &transfer).await.expect(200);
    tells(new, 1).await;
    tells(old, 0).await;
}

/// The global keys sign administrators' tokens: whoever has one sees nothing of a rotation, at whatever node.
#[tokio::test]
async fn the_global_keys_rotate_without_an_administrator_noticing() {
    let cluster = Cluster::start(3).await;
    let admins = [cluster.admin(0).await, cluster.admin(1).await, cluster.admin(2).await];
    let policy = json!({ "key_rotation": { "max_age_secs": 1, "clock_skew_secs": 0 } });
    let _ = admins[0].patch("/settings", &policy).await.expect(200);
    until("the global key was replaced", LONG, async || {
        for admin in &admins {
            let answer = admin.try_get("/tenants").await.map_err(|error| error.to_string())?;
            assert_eq!(answer.status, 200, "a token from before");
            let fresh = cluster.admin(0).await;
            // Signed by whatever key is active now, and shown to every node.
            for node in &cluster.nodes {
                let url = format!("{}/api/v1/tenants", node.admin_url());
                let request = web::client().request(Method::GET, url).bearer_auth(fresh.token());
                assert_eq!(web::send(request).await.status, 200, "a new token at node {}", node.id);
            }
        }
        let keys = admins[0].get("/keys").await.expect(200).json;
        let statuses: Vec<&str> =
            keys["items"].as_array().into_iter().flatten().filter_map(|key| key["status"].as_str()).collect();
        // The old one is kept for as long as its tokens live, which is ten minutes.
        if statuses.contains(&"retiring") && statuses.contains(&"active") { Ok(()) } else { Err(keys.to_string()) }
    })
    .await;
}

/// A node that stands still holds the new key back, so that the leader certainly dies while it is only published.
#[tokio::test]
async fn a_rotation_of_the_global_keys_goes_on_under_the_next_leader() {
    let mut cluster = Cluster::start(3).await;
    let old = cluster.leader().await;
    let still = (old + 1) % 3;
    let (at_old, at_other) = (cluster.admin(old).await, cluster.admin((old + 2) % 3).await);
    cluster.nodes[still].process().pause();
    let policy = json!({ "key_rotation": { "max_age_secs": 1, "clock_skew_secs": 0 } });
    let _ = at_old.patch("/settings", &policy).await.expect(200);
    let with_status = async |wanted: &str| -> Result<String, String> {
        let keys = at_other.try_get("/keys").await.map_err(|error| error.to_string())?.json;
        let mut items = keys["items"].as_array().into_iter().flatten();
        let found = items.find(|key| key["status"] == wanted).and_then(|key| key["kid"].as_str());
        found.map(ToOwned::to_owned).ok_or_else(|| keys.to_string())
    };
    let next = until("a global key is published", LONG, async || with_status("next").await).await;
    let active = with_status("active").await.expect("one signs");

    cluster.nodes[old].kill();
    cluster.nodes[still].process().resume();
    let new = cluster.leader().await;
    assert_ne!(new, old);
    // Not before the one that is gone has it, too.
    let now = (with_status("next").await, with_status("active").await);
    assert_eq!(now, (Ok(next.clone()), Ok(active.clone())));
    cluster.nodes[old].start().await;
    cluster.nodes[old].ready().await;
    until("the new key signs", LONG, async || {
        if with_status("active").await? == next { Ok(()) } else { Err("the old one does still".to_owned()) }
    })
    .await;
    assert_eq!(with_status("retiring").await, Ok(active));
    for node in &cluster.nodes {
        let url = format!("{}/api/v1/tenants", node.admin_url());
        let request = web::client().request(Method::GET, url).bearer_auth(at_old.token());
        assert_eq!(web::send(request).await.status, 200, "a token from before at node {}", node.id);
    }
}

/// Whoever rotates by hand beside the policy is not disturbed, and leaves nothing behind.
#[tokio::test]
async fn manual_rotation_works_beside_the_policy() {
    let world = World::start(1).await;
    let admin = world.cluster.admin(0).await;
    let party = world.tenant(&admin, "manual").await;
    let load = Load::start(&world, &[("manual".to_owned(), party)]);
    let answer = admin.post("/tenants/manual/keys/rotate?wait=fleet&timeout=15s", &json!({ "step": "publish" })).await;
    assert!([200, 409].contains(&answer.status), "{answer:?}");
    until("published keys go on by themselves", LONG, async || {
        let keys = keys(&world.cluster, "manual").await?;
        if count(&keys, "revoked") >= 2 { Ok(()) } else { Err(format!("{keys:?}")) }
    })
    .await;
    let (failures, _) = load.stop().await;
    assert_eq!(failures, Vec::<String>::new());
}
