//! The fleet as operators see it: which pods there are, how far each is, which are gone, what they cannot use.

#[path = "fleet/writes.rs"]
mod writes;

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::operator::Cli;
use tests::pod::{Plan, Pod};
use tests::programs;
use tests::relying_party::RelyingParty;
use tests::tokens::Jwt;
use tests::wait::{PATIENCE, until};
use tests::web;
use tokio::io::AsyncWriteExt as _;

async fn start(cluster: &Cluster, name: &str) -> Pod {
    let control_plane = cluster.watch_urls();
    Pod::start(&Plan { name, control_plane: &control_plane, ..Plan::default() }, &cluster.secrets).await
}

/// The pods of `/fleet` of that name: never more than one.
async fn listed(admin: &Admin, name: &str) -> Result<Value, String> {
    let fleet = admin.try_get("/fleet").await.map_err(|error| error.to_string())?.json;
    let pods = fleet["pods"].as_array().ok_or_else(|| fleet.to_string())?;
    let found: Vec<_> = pods.iter().filter(|pod| pod["pod_id"] == name).collect();
    assert!(found.len() <= 1, "{name} is listed twice: {fleet}");
    found.first().map(|pod| Value::clone(pod)).ok_or_else(|| format!("{name} is not listed: {fleet}"))
}

async fn has_state(admin: &Admin, name: &str, state: &str) -> Value {
    until(&format!("{name} is {state}"), PATIENCE, async || match listed(admin, name).await? {
        pod if pod["state"] == state => Ok(pod),
        pod => Err(pod.to_string()),
    })
    .await
}

fn hellojohn(cluster: &Cluster, node: usize, args: &[&str]) -> Output {
    let mut command = Command::new(programs::hellojohn());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent").env("NO_COLOR", "1").args(args);
    command.env("HJ_SERVER", cluster.nodes[node].admin_url()).env("HJ_CREDENTIAL", &cluster.secrets.owner);
    command.output().expect("hellojohn runs")
}

/// Its goodbye may be lost together with its connection: then it counts as gone.
async fn has_left(admin: &Admin, pod_id: &str) {
    until("it has left", PATIENCE, async || {
        let it = listed(admin, pod_id).await?;
        if it["state"] == "stopped" || it["state"] == "gone" { Ok(()) } else { Err(it.to_string()) }
    })
    .await;
}

/// A pod is on the list from its first connection until it expires, once, whatever becomes of it and of its node.
#[tokio::test]
async fn pods_come_and_go_and_move() {
    let mut cluster = Cluster::start(3).await;
    let mut pod = start(&cluster, "pod-a").await;
    let mut other = start(&cluster, "pod-b").await;
    let admin = cluster.admin(0).await;
    let first = has_state(&admin, "pod-a", "connected").await;
    assert_eq!((first["address"].as_str(), first["version"].as_str()), (Some(pod.address()), Some("0.1.0")));
    until("its report has come", PATIENCE, async || {
        let it = listed(&admin, "pod-a").await?;
        let current = it["lag"] == 0 && it["lag_ms"] == 0 && it["staleness_ms"].as_u64() < Some(2000);
        if current && !it["staleness_ms"].is_null() { Ok(()) } else { Err(it.to_string()) }
    })
    .await;

    // Who vanishes before the leader has written it down was never there.
    for pod_id in ["pod-a", "pod-b"] {
        until("it is on the roster", PATIENCE, async || {
            let it = listed(&admin, pod_id).await?;
            if it["recorded"] == true { Ok(()) } else { Err(it.to_string()) }
        })
        .await;
    }

    // Its node dies: it moves, and is shown once, by the nodes that are left.
    let node = usize::try_from(first["node_id"].as_u64().expect("a node")).expect("a small number") - 1;
    let left = (node + 1) % 3;
    cluster.nodes[node].kill();
    let survivor = cluster.admin(left).await;
    until("it is connected elsewhere", PATIENCE, async || match listed(&survivor, "pod-a").await? {
        it if it["state"] == "connected" && it["node_id"] != first["node_id"] => Ok(()),
        it => Err(it.to_string()),
    })
    .await;
    cluster.nodes[node].start().await;
    cluster.nodes[node].ready().await;

    // It vanishes, comes back under its name, and then stops in good order.
    other.kill();
    let gone = has_state(&survivor, "pod-b", "gone").await;
    assert!(gone["since"].is_string() && gone["staleness_ms"].is_null(), "{gone}");
    other.start_again().await;
    other.ready().await;
    has_state(&survivor, "pod-b", "connected").await;
    assert_eq!(other.stop(Duration::from_secs(30)).await, Some(0));
    has_left(&survivor, "pod-b").await;

    // What is gone survives the restart of every node, until it expires.
    cluster.kill_all();
    pod.kill();
    cluster.start_all().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    has_state(&admin, "pod-a", "gone").await;
    has_left(&admin, "pod-b").await;
    let _ = admin.patch("/settings", &json!({ "gone_pods_kept_secs": 1 })).await.expect(200);
    until("both have expired", PATIENCE, async || {
        let fleet = admin.get("/fleet").await.expect(200).json;
        if fleet["pods"] == json!([]) { Ok(()) } else { Err(fleet.to_string()) }
    })
    .await;
}

/// A pod that cannot use a resource says so, and serves the last good one: here it lacks the newest master key.
#[tokio::test]
async fn what_a_pod_rejects_is_named_and_its_last_good_one_is_served() {
    let mut cluster = Cluster::start(1).await;
    let pod = start(&cluster, "pod-a").await;
    let admin = cluster.admin(0).await;
    let settings = json!({ "database": { "dsn": "postgres://app@127.0.0.1:1/app", "max_connections": 2 } });
    let _ = admin.create_tenant("acme", settings).await;
    let _ = admin.post("/tenants/acme/scopes", &json!({ "name": "orders" })).await.expect(201);
    let client = json!({
        "client_id": "service", "name": "The Service", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "scopes": ["orders"],
    });
    let client = admin.create_client("acme", &client).await;
    let party = RelyingParty::new(&format!("{}/t/acme", pod.url()), "service", client.secret, "");
    let kid = async || Jwt::parse(&party.client_credentials("orders").await).header["kid"].clone();
    let before = kid().await;

    // The control plane seals with a key that the pod was not given.
    cluster.kill_all();
    let newest = tests::cluster::Secrets::random().master_key;
    for (name, value) in &mut cluster.nodes[0].launch_mut().env {
        if name == "SECRETBOX_MASTER_KEY" {
            *value = format!("{newest},{value}");
        }
    }
    cluster.start_all().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    let database = json!({ "dsn": "postgres://app@127.0.0.1:2/app", "max_connections": 2 });
    let patch = json!({ "display_name": "Acme Inc", "settings": { "database": database } });
    let _ = admin.patch("/tenants/acme", &patch).await.expect(200);
    let _ = admin.post("/tenants/acme/keys/rotate", &json!({ "step": "now" })).await.expect(200);
    let rejecting = until("both are rejected", PATIENCE, async || {
        let it = listed(&admin, "pod-a").await?;
        if it["rejected"].as_array().map(Vec::len) == Some(2) { Ok(it) } else { Err(it.to_string()) }
    })
    .await;
    let resources: Vec<_> = rejecting["rejected"].as_array().into_iter().flatten().collect();
    let of = |prefix: &str| {
        let found = resources.iter().find(|it| it["resource"].as_str().is_some_and(|name| name.starts_with(prefix)));
        found.unwrap_or_else(|| panic!("{prefix}: {rejecting}"))["reason"].as_str().unwrap_or_default().to_owned()
    };
    assert!(of("tenants/acme/keys/").contains("sealed"), "{rejecting}");
    assert!(resources.iter().any(|it| it["resource"] == "tenants/acme"), "{rejecting}");
    // It has the revision, and signs with the key before.
    assert_eq!(rejecting["state"], "connected");
    assert_eq!(kid().await, before);
    let shown = hellojohn(&cluster, 0, &["fleet"]);
    let told = String::from_utf8_lossy(&shown.stderr);
    assert!(shown.status.success() && told.contains("pod-a cannot use tenants/acme"), "{shown:?}");

    // Whoever waits for the fleet is told, and so is whoever watches the pod.
    let patch = json!({ "display_name": "Acme Ltd" });
    let waited = admin.patch("/tenants/acme?wait=fleet&timeout=15s", &patch).await.expect(200);
    assert_eq!(waited.header("x-fleet"), Some("complete"), "{waited:?}");
    assert_eq!(waited.header("x-fleet-rejected"), Some("pod-a"), "{waited:?}");
    let revision = waited.revision();
    let waited = admin.get(&format!("/fleet/wait?revision={revision}&timeout=15s")).await.expect(200).json;
    assert_eq!((&waited["complete"], &waited["rejecting"]), (&json!(true), &json!(["pod-a"])), "{waited}");
    for args in [
        &["fleet", "wait", &revision.to_string()][..],
        &["settings", "set", "--gone-pods-kept-secs", "901", "--wait", "fleet"],
    ] {
        let told = hellojohn(&cluster, 0, args);
        let note = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.status.success() && note.contains("cannot use something: pod-a"), "{told:?}");
    }
    let metrics = web::send(web::client().get(format!("{}/metrics", pod.ops_url()))).await.expect(200).text;
    assert!(metrics.contains("hj_dp_config_rejected_resources 2"), "{metrics}");
}

/// Waiting for the fleet: at a write, after it, from a shell; laggards are named, and the exit code tells.
#[tokio::test]
async fn whoever_waits_for_the_fleet_is_told_who_lags() {
    let cluster = Cluster::start(1).await;
    let quick = start(&cluster, "pod-quick").await;
    let slow = start(&cluster, "pod-slow").await;
    let admin = cluster.admin(0).await;
    slow.process().pause();
    let answer = admin.patch("/settings?wait=fleet&timeout=500ms", &json!({ "gone_pods_kept_secs": 900 })).await;
    assert_eq!(answer.header("x-fleet"), Some("timeout"), "{answer:?}");
    assert_eq!(answer.header("x-fleet-laggards"), Some("pod-slow"), "{answer:?}");
    let revision = answer.expect(200).revision();
    let waited = admin.get(&format!("/fleet/wait?revision={revision}&timeout=500ms")).await.expect(200).json;
    assert_eq!(waited["complete"], false, "{waited}");
    assert_eq!(waited["laggards"][0]["pod_id"], "pod-slow", "{waited}");
    assert_eq!(waited["laggards"].as_array().map(Vec::len), Some(1), "{waited}");
    assert!(waited["laggards"][0]["lag"].as_u64() > Some(0), "{waited}");
    let lagging = listed(&admin, "pod-slow").await.expect("it is listed");
    assert!(lagging["lag_ms"].as_u64() > Some(0), "{lagging}");
    let file = web::send(admin.request(reqwest::Method::GET, "/export")).await.expect(200).text;
    let import = admin.request(reqwest::Method::POST, "/import?mode=merge&wait=fleet&timeout=500ms");
    let _ = admin.patch("/settings", &json!({ "gone_pods_kept_secs": 901 })).await.expect(200);
    let imported = web::send(import.body(file)).await.expect(200);
    assert_eq!(imported.header("x-fleet-laggards"), Some("pod-slow"), "{imported:?}");
    let revision = revision.to_string();
    let output = hellojohn(&cluster, 0, &["fleet", "wait", &revision, "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("pod-slow"), "{output:?}");
    let output = hellojohn(
        &cluster,
        0,
        &["settings", "set", "--gone-pods-kept-secs", "901", "--wait", "fleet", "--wait-timeout", "1"],
    );
    assert_eq!(output.status.code(), Some(8), "{output:?}");

    slow.process().resume();
    let output = hellojohn(&cluster, 0, &["fleet", "wait", &revision, "--timeout", "30", "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&document["complete"], &document["laggards"]), (&json!(true), &json!([])));
    watching_shows_pods_that_come(&cluster).await;
    let _ = admin.get("/fleet/wait").await.expect(400);
    quick.has_revision(admin.get("/settings").await.expect(200).json["revision"].as_u64().expect("a number")).await;
}

/// Each node answers for its own pods, whichever is asked: a pod that lags is named, and a node that says nothing.
#[tokio::test]
async fn who_lags_is_named_whichever_node_is_asked() {
    let cluster = Cluster::start(3).await;
    let mut pods = Vec::new();
    for (node, name) in cluster.nodes.iter().zip(["pod-1", "pod-2", "pod-3"]) {
        let control_plane = format!("http://{}", node.addresses().watch);
        let plan = Plan { name, control_plane: &control_plane, ..Plan::default() };
        pods.push(Pod::start(&plan, &cluster.secrets).await);
    }
    let asked = cluster.leader().await;
    let away = (asked + 1) % 3;
    let (at, own, other) = (cluster.admin(asked).await, cluster.admin(away).await, cluster.admin((away + 1) % 3).await);
    for (node, pod) in cluster.nodes.iter().zip(&pods) {
        until(&format!("{} is on the roster", pod.name), PATIENCE, async || match listed(&at, &pod.name).await? {
            it if it["recorded"] == true && it["node_id"] == node.id => Ok(()),
            it => Err(it.to_string()),
        })
        .await;
    }
    let (pod, id) = (&pods[away], cluster.nodes[away].id);
    pod.process().pause();
    let change = json!({ "gone_pods_kept_secs": 900 });
    let answer = at.patch("/settings?wait=fleet&timeout=2s", &change).await.expect(200);
    assert_eq!(answer.header("x-fleet"), Some("timeout"), "{answer:?}");
    assert_eq!(answer.header("x-fleet-laggards"), Some(pod.name.as_str()), "{answer:?}");
    let revision = answer.revision();
    for admin in [&at, &own, &other] {
        let waited = admin.get(&format!("/fleet/wait?revision={revision}&timeout=500ms")).await.expect(200).json;
        let laggards: Vec<_> = waited["laggards"].as_array().into_iter().flatten().collect();
        assert_eq!((laggards.len(), &waited["complete"]), (1, &json!(false)), "{waited}");
        assert_eq!((&laggards[0]["pod_id"], &laggards[0]["node_id"]), (&json!(pod.name), &json!(id)), "{waited}");
    }
    let output = hellojohn(&cluster, asked, &["fleet", "wait", &revision.to_string(), "--timeout", "1"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    for it in &pods {
        assert_eq!(told.contains(&it.name), it.name == pod.name, "{output:?}");
    }
    pod.process().resume();
    let waited = at.get(&format!("/fleet/wait?revision={revision}&timeout=30s")).await.expect(200).json;
    assert_eq!((&waited["complete"], &waited["laggards"]), (&json!(true), &json!([])), "{waited}");

    // Of the pods of a node that says nothing nothing is known: it is named, and not they.
    cluster.nodes[away].process().pause();
    let answer = at.patch("/settings?wait=fleet&timeout=2s", &json!({ "gone_pods_kept_secs": 901 })).await.expect(200);
    assert_eq!(answer.header("x-fleet"), Some("timeout"), "{answer:?}");
    assert_eq!(answer.header("x-fleet-laggards"), Some(format!("node:{id}").as_str()), "{answer:?}");
    let revision = answer.revision();
    let waited = at.get(&format!("/fleet/wait?revision={revision}&timeout=500ms")).await.expect(200).json;
    assert_eq!((&waited["complete"], &waited["laggards"]), (&json!(false), &json!([])), "{waited}");
    assert_eq!(waited["unreachable_nodes"], json!([id]), "{waited}");
    let output = hellojohn(&cluster, asked, &["fleet", "wait", &revision.to_string(), "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("node:{id}")), "{output:?}");
    cluster.nodes[away].process().resume();
    let waited = at.get(&format!("/fleet/wait?revision={revision}&timeout=30s")).await.expect(200).json;
    assert_eq!((&waited["complete"], &waited["unreachable_nodes"]), (&json!(true), &json!([])), "{waited}");
}

/// A pod whose node has died serves on with what it has: it is waited for until it is back.
#[tokio::test]
async fn a_pod_between_two_nodes_is_waited_for() {
    let mut cluster = Cluster::start(3).await;
    let pod = start(&cluster, "pod-a").await;
    let admin = cluster.admin(0).await;
    let node = until("it is on the roster", PATIENCE, async || {
        let it = listed(&admin, "pod-a").await?;
        if it["recorded"] == true { Ok(it["node_id"].as_u64().expect("a node")) } else { Err(it.to_string()) }
    })
    .await;
    let node = usize::try_from(node).expect("a small number") - 1;
    let survivor = (node + 1) % 3;
    let successor = json!({ "to": cluster.nodes[survivor].id });
    let survivor = cluster.admin(survivor).await;
    // It does not lead, so that nothing is under way to it when it dies.
    let _ = survivor.post("/cluster/transfer-leader", &successor).await.expect(200);
    pod.process().pause();
    cluster.nodes[node].kill();
    let answer = survivor.patch("/settings?wait=fleet&timeout=500ms", &json!({ "gone_pods_kept_secs": 900 })).await;
    assert_eq!(answer.header("x-fleet"), Some("timeout"), "{answer:?}");
    assert_eq!(answer.header("x-fleet-laggards"), Some("pod-a"), "{answer:?}");
    pod.process().resume();
    let revision = answer.expect(200).revision();
    let waited = survivor.get(&format!("/fleet/wait?revision={revision}&timeout=30s")).await.expect(200).json;
    assert_eq!((&waited["complete"], &waited["laggards"]), (&json!(true), &json!([])), "{waited}");
    pod.has_revision(revision).await;
}

/// A pod that was told to stop finishes what it has begun; that it does is seen, at the pod and at the control plane.
#[tokio::test]
async fn a_draining_pod_says_so_and_finishes_its_requests() {
    let cluster = Cluster::start(1).await;
    let mut pod = start(&cluster, "pod-a").await;
    let admin = cluster.admin(0).await;
    has_state(&admin, "pod-a", "connected").await;
    // A request that is under way: its body is not all there yet.
    let mut request = tokio::net::TcpStream::connect(pod.address()).await.expect("it listens");
    let head = "POST /t/nobody/oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Content-Length: 10\r\n\r\ngrant";
    request.write_all(head.as_bytes()).await.expect("it reads");
    until("the request has begun", PATIENCE, async || {
        let ready = web::send(web::client().get(format!("{}/readyz", pod.ops_url()))).await;
        if ready.status == 200 { Ok(()) } else { Err(ready.text) }
    })
    .await;
    pod.process_mut().terminate();
    has_state(&admin, "pod-a", "draining").await;
    let ready = web::send(web::client().get(format!("{}/readyz", pod.ops_url()))).await.expect(503);
    assert!(ready.text_of("reason").contains("shutting down"), "{ready:?}");
    request.write_all(b"_type").await.expect("it still reads");
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut request, &mut answer).await.expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let ended = pod.process_mut().ended(PATIENCE).await;
    assert_eq!(ended.code(), Some(0));
    has_state(&admin, "pod-a", "stopped").await;
}

/// `hellojohn fleet --watch` looks again by itself.
async fn watching_shows_pods_that_come(cluster: &Cluster) {
    let shown = tests::scratch::folder("watched").join("screen");
    let screen = std::fs::File::create(&shown).expect("writable");
    let mut command = Cli::new(cluster).command(&["fleet", "--watch"]);
    let mut watching = command.stdout(screen).spawn().expect("hellojohn runs");
    let shows = async |pod: &str| {
        until(&format!("{pod} is shown"), PATIENCE, async || {
            let screen = std::fs::read_to_string(&shown).map_err(|error| error.to_string())?;
            if screen.contains(pod) { Ok(()) } else { Err(screen) }
        })
        .await;
    };
    shows("pod-quick").await;
    let newcomer = start(cluster, "pod-newcomer").await;
    shows("pod-newcomer").await;
    drop(newcomer);
    watching.kill().expect("it runs until it is told to stop");
    let _ = watching.wait();
}
