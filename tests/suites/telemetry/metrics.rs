//! `/metrics` says what the programs' tables say: each series has a row, each row a series, and labels stay few however
//! many tenants there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use telemetry::metric::{Kind, Metric, Values};
use tests::browser::Browser;
use tests::cluster::Cluster;
use tests::collector::Collector;
use tests::counters::count;
use tests::listener::Listener;
use tests::pki::Authority;
use tests::pod::{Plan, Pod};
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::scratch;
use tests::tenant::Tenant;
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world::World;
use url::Url;

/// A page of `/metrics`, read.
#[derive(Debug, Default)]
struct Page {
    help: BTreeMap<String, String>,
    kinds: BTreeMap<String, String>,
    /// By name, each with its labels.
    series: BTreeMap<String, Vec<BTreeMap<String, String>>>,
}

impl Page {
    async fn of(ops_url: &str) -> Self {
        let text = web::send(web::client().get(format!("{ops_url}/metrics"))).await.expect(200).text;
        let mut page = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                page.help.insert(name.to_owned(), help.to_owned());
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                page.kinds.insert(name.to_owned(), kind.to_owned());
            } else {
                let (series, _) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line} has no value"));
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                page.series.entry(name.to_owned()).or_default().push(labels_of(labels.trim_end_matches('}')));
            }
        }
        page
    }

    fn labels(&self, name: &str, label: &str) -> BTreeSet<&str> {
        let series = self.series.get(name).into_iter().flatten();
        series.filter_map(|labels| labels.get(label).map(String::as_str)).collect()
    }
}

fn labels_of(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split("\",").map(|pair| pair.trim_end_matches('"'));
    pairs.filter_map(|pair| pair.split_once("=\"")).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What of `page` is not as `table` says, and what of `table` is not there.
fn differences(page: &Page, table: &[Metric]) -> Vec<String> {
    let mut found = Vec::new();
    let mut described: BTreeSet<&str> = page.kinds.keys().map(String::as_str).collect();
    for metric in table {
        let Metric { name, kind, labels, meaning, .. } = metric;
        if !described.remove(name) {
            found.push(format!("{name} is not exposed"));
            continue;
        }
        if page.kinds[*name] != kind.as_str() {
            found.push(format!("{name} is a {}", page.kinds[*name]));
        }
        if page.help.get(*name).map(String::as_str) != Some(*meaning) {
            found.push(format!("{name} is described as {:?}", page.help.get(*name)));
        }
        let sample = if *kind == Kind::Histogram { format!("{name}_count") } else { (*name).to_owned() };
        for series in page.series.get(&sample).into_iter().flatten() {
            let known = |label: &str, value: &String| {
                labels.iter().find(|row| row.name == label).is_some_and(|row| match row.values {
                    Values::Of(values) => values.contains(&value.as_str()),
                    Values::Few(_) => true,
                })
            };
            if series.len() != labels.len() || !series.iter().all(|(label, value)| known(label, value)) {
                found.push(format!("{name} has the labels {series:?}"));
            }
        }
    }
    found.extend(described.into_iter().map(|name| format!("{name} is in no table")));
    found
}

async fn is_complete(ops_url: &str, table: &[Metric]) {
    until("everything is exposed", PATIENCE, async || {
        let different = differences(&Page::of(ops_url).await, table);
        if different.is_empty() { Ok(()) } else { Err(format!("{different:#?}")) }
    })
    .await;
}

/// Everything that is counted or measured happens once.
#[tokio::test]
async fn what_processes_expose_is_what_their_tables_say() {
    let authority = Authority::new("metrics");
    let (node, pod) = (authority.certify("node"), authority.certify_pod("pod"));
    let (files, shown) = (scratch::folder("metrics-gitops"), scratch::folder("metrics-shown"));
    let mut collector = Collector::prepare();
    collector.listen();
    let (files, shown, sink) = (files.display().to_string(), shown.display().to_string(), collector.url());
    let mut flags = node.flags();
    flags.extend(["--gitops-dir", &files, "--fs-projection", &shown]);
    flags.extend(["--audit-stdout", "--audit-http-url", &sink]);
    let cluster = Cluster::start_with(1, &flags).await;
    let control_plane = cluster.watch_urls().replace("http://", "https://");
    let mut flags = pod.flags();
    flags.extend(["--outbound-allowed-networks", "127.0.0.0/8", "--outbox-every-secs", "1"]);
    let plan = Plan { name: "pod-measured", control_plane: &control_plane, flags: &flags, ..Plan::default() };
    let pod = Pod::start(&plan, &cluster.secrets).await;
    let mut world = World { cluster, pods: vec![pod] };
    let (node_ops, pod_ops) = (world.cluster.nodes[0].ops_url(), world.pods[0].ops_url());

    // Tokens, a database, a message to a client, a registration; a key that is RSA, and keys that rotate.
    let settings = json!({
        "oauth": { "registration": { "mode": "open" } },
        "key_rotation": { "max_age_secs": 1, "clock_skew_secs": 0 }, "lifetimes": { "jwks_cache_secs": 1 },
    });
    let tenant = Tenant::create_with(&world, "measured", settings).await;
    let listener = Listener::start().await;
    tenant.patch_client("backend", &json!({ "backchannel_logout_uri": listener.url("/logout") })).await;
    let alice = tenant.user("alice").await;
    let (browser, attempt) = (Browser::new(), tenant.backend.attempt());
    let callback = browser.authorize(&attempt.url, &alice).await;
    let tokens = Tokens::read(tenant.backend.redeem(&parameters(&callback)["code"], &attempt.verifier).await);
    let logout = format!("{}/oauth2/logout", tenant.issuer);
    let logout = Url::parse_with_params(&logout, [("id_token_hint", tokens.id())]).expect("a URL");
    let _ = browser.open_page(&logout).await;
    let _ = listener.got(1).await;
    let metadata = json!({ "redirect_uris": ["https://rp.example/callback"] });
    let _ =
        web::send(web::client().post(format!("{}/oauth2/register", tenant.issuer)).json(&metadata)).await.expect(201);
    let rotate = format!("/tenants/{}/keys/rotate", tenant.slug);
    let _ = tenant.admin.post(&rotate, &json!({ "algorithm": "RS256" })).await;
    let events = tenant.admin.request(reqwest::Method::GET, "/events").send().await.expect("a stream");

    // A flood.
    let _ =
        tenant.admin.create_tenant("flooded", json!({ "rate_limit": { "requests_per_second": 1, "burst": 1 } })).await;

    // A database that is not there, and a configuration that grows too old.
    let nowhere = json!({ "database": { "dsn": "postgres://nobody:nothing@127.0.0.1:1/none" } });
    let _ = tenant.admin.create_tenant("nowhere", nowhere).await;
    let app = json!({
        "client_id": "app", "name": "The App", "token_endpoint_auth_method": "none",
        "redirect_uris": ["https://rp.example/callback"], "grant_types": ["authorization_code", "refresh_token"],
    });
    let _ = tenant.admin.post("/tenants/nowhere/clients", &app).await.expect(201);
    let strict = json!({ "staleness": { "warn_after_secs": 1, "refuse_after_secs": 2, "fail_mode": "refuse" } });
    let revision = tenant.admin.create_tenant("strict", strict).await.revision();
    world.pods[0].has_revision(revision).await;
    let base = world.pods[0].url();
    until("a flood is refused", PATIENCE, async || {
        let keys = format!("{base}/t/flooded/.well-known/jwks.json");
        let statuses =
            [web::send(web::client().get(&keys)).await.status, web::send(web::client().get(&keys)).await.status];
        if statuses.contains(&429) { Ok(()) } else { Err(format!("{statuses:?}")) }
    })
    .await;
    let asks = RelyingParty::new(&format!("{base}/t/nowhere"), "app", None, "https://rp.example/callback");
    let _ = asks.token(&[("grant_type", "refresh_token"), ("refresh_token", "x")]).await.expect(503);

    // Somebody who follows, if only in name.
    let _ = tenant.admin.post("/cluster/members", &json!({ "id": 2, "peer_addr": "127.0.0.1:1" })).await.expect(201);

    is_complete(&node_ops, controlplane_daemon::recorder::METRICS).await;
    drop(events);
    world.cluster.kill_all();
    until("the pod refuses", PATIENCE, async || {
        let answer = web::send(web::client().get(format!("{base}/t/strict/.well-known/jwks.json"))).await;
        if answer.status == 503 { Ok(()) } else { Err(answer.status.to_string()) }
    })
    .await;
    is_complete(&pod_ops, dataplane_service::recorder::METRICS).await;
}

/// More tenants than are named: the first keep their names, the others are one.
#[tokio::test]
async fn tenants_beyond_the_cap_are_measured_as_one() {
    let cluster = Cluster::start(1).await;
    let control_plane = cluster.watch_urls();
    let flags = ["--metrics-tenants", "2"];
    let plan = Plan { name: "pod-capped", control_plane: &control_plane, flags: &flags, ..Plan::default() };
    let pod = Pod::start(&plan, &cluster.secrets).await;
    let admin = cluster.admin(0).await;
    for slug in ["first", "second", "third", "fourth", "fifth"] {
        let _ = admin.create_tenant(slug, Value::Null).await;
        let _ = admin.post(&format!("/tenants/{slug}/scopes"), &json!({ "name": "orders" })).await.expect(201);
        let client = json!({
            "client_id": "service", "name": "The Service", "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["client_credentials"], "scopes": ["orders"],
        });
        let client = admin.create_client(slug, &client).await;
        let party = RelyingParty::new(&format!("{}/t/{slug}", pod.url()), "service", client.secret, "");
        let _ = party.token(&[("grant_type", "client_credentials"), ("scope", "orders")]).await.expect(200);
    }
    let page = Page::of(&pod.ops_url()).await;
    let names = page.labels("hj_dp_tokens_issued_total", "tenant");
    assert_eq!(names, BTreeSet::from(["_other", "first", "second"]));
    for (tenant, tokens) in [("first", 1), ("second", 1), ("_other", 3)] {
        let labels = [("tenant", tenant), ("grant", "client_credentials")];
        assert_eq!(count(&pod.ops_url(), "hj_dp_tokens_issued_total", &labels).await, tokens, "{tenant}");
    }
    for (name, series) in &page.series {
        assert!(
            series.iter().all(|labels| labels.get("tenant").is_none_or(|tenant| names.contains(tenant.as_str()))),
            "{name}"
        );
    }
}
