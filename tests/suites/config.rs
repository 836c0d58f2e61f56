//! Configuration on its way to the pods, pods without a control plane, and settings that are refused.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tests::cluster::{Cluster, Node};
use tests::pod::{Plan, Pod};
use tests::postgres;
use tests::relying_party::RelyingParty;
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world::{self, World};

/// `EX_CONFIG` of sysexits.h.
const BAD_SETTINGS: Option<i32> = Some(78);

#[tokio::test]
async fn a_disabled_client_is_refused_by_every_pod_once_the_write_returns() {
    let world = world::shared().await;
    let tenant = world.tenant("disable").await;
    let at_each_pod: Vec<RelyingParty> =
        world.pods.iter().map(|pod| tenant.service.at(&format!("{}/t/{}", pod.url(), tenant.slug))).collect();
    for party in &at_each_pod {
        party.client_credentials("hj:users.read").await;
    }
    for _ in 0..5 {
        tenant.patch_client("service", &json!({ "enabled": false })).await;
        for party in &at_each_pod {
            let answer = party.token(&[("grant_type", "client_credentials")]).await.expect(401);
            assert_eq!(answer.code(), "invalid_client");
        }
        tenant.patch_client("service", &json!({ "enabled": true })).await;
        for party in &at_each_pod {
            party.client_credentials("hj:users.read").await;
        }
    }
}

#[tokio::test]
async fn a_pod_keeps_issuing_without_the_control_plane_and_starts_again_from_its_sealed_snapshot() {
    let mut world = World::start(1, 1).await;
    let tenant = world.tenant("alone").await;
    let user = tenant.user("alice").await;
    let revision = world.pods[0].debug_config().await["revision"].as_u64();
    world.cluster.kill_all();

    tenant.service.client_credentials("hj:users.read").await;
    tenant.backend.sign_in(&user).await;

    // In order at first: then the very last revision is on the disk. After that without a word.
    assert_eq!(world.pods[0].stop(PATIENCE).await, Some(0), "an ordered shutdown");
    for _ in 0..2 {
        world.pods[0].kill();
        world.pods[0].start_again().await;
        world.pods[0].ready().await;
        let config = world.pods[0].debug_config().await;
        assert_eq!(config["source"], "sealed", "{config:#}");
        assert_eq!(config["revision"].as_u64(), revision, "{config:#}");
    }
    tenant.service.client_credentials("hj:users.read").await;
    let tokens = tenant.backend.sign_in(&user).await;
    let _ = tenant.backend.userinfo(&tokens.access).await.expect(200);

    // Nothing readable lies on the disk.
    let secret = tenant.database.dsn();
    assert_nowhere_below(&world.pods[0].state_dir(), &[secret.as_bytes(), tenant.slug.as_bytes()]);

    // The control plane comes back: the pod follows it again.
    world.cluster.start_all().await;
    world.cluster.ready().await;
    let admin = world.admin().await;
    let revision =
        admin.post("/tenants", &json!({ "slug": "later", "display_name": "Later" })).await.expect(201).revision();
    world.pods[0].has_revision(revision).await;
    until("the pod says that it is connected", PATIENCE, async || {
        let config = world.pods[0].debug_config().await;
        if config["source"] == "watch" && config["synced"] == true { Ok(()) } else { Err(config.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_pod_without_control_plane_and_without_snapshot_does_not_claim_to_be_ready() {
    let secrets = tests::cluster::Secrets::random();
    let nobody = format!("http://127.0.0.1:{}", postgres::free_port());
    let mut pod = Pod::prepare(&Plan { name: "pod-alone", control_plane: &nobody, ..Plan::default() }, &secrets);
    pod.start_again().await;
    let http = web::client();
    let _ = web::send(http.get(format!("{}/livez", pod.ops_url()))).await.expect(200);
    let _ = web::send(http.get(format!("{}/readyz", pod.ops_url()))).await.expect(503);
    let url = format!("{}/t/acme/.well-known/openid-configuration", pod.url());
    let answer = web::send(http.get(url)).await.expect(503);
    assert!(answer.header("retry-after").is_some(), "{answer:#?}");
    assert_eq!(pod.stop(PATIENCE).await, Some(0), "an ordered shutdown");
}

#[tokio::test]
async fn pods_follow_any_node_and_move_on_when_it_dies() {
    let mut world = World::start(3, 1).await;
    let leader = world.cluster.leader().await;
    world.cluster.nodes[leader].kill();
    let successor = world.cluster.leader().await;
    let admin = world.cluster.admin(successor).await;
    let created = admin.post("/tenants", &json!({ "slug": "moved", "display_name": "Moved" })).await.expect(201);
    world.pods[0].has_revision(created.revision()).await;
    let url = format!("{}/t/moved/.well-known/openid-configuration", world.pods[0].url());
    let _ = web::send(web::client().get(url)).await.expect(200);
}

#[tokio::test]
async fn a_control_plane_node_refuses_the_wrong_master_key_and_touches_nothing() {
    let mut cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let _ = admin.post("/tenants", &json!({ "slug": "acme", "display_name": "Acme" })).await.expect(201);
    assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));
    let before = contents(&cluster.nodes[0].data_dir());

    let wrong = STANDARD.encode([7u8; 32]);
    let refused = cluster.nodes[0].run_with_env(&[("SECRETBOX_MASTER_KEY", &wrong)]).await;
    assert_eq!(refused.code, BAD_SETTINGS, "{}", refused.output);
    assert!(refused.output.to_lowercase().contains("master key"), "{}", refused.output);
    assert!(!refused.output.contains(&wrong), "the key itself is not shown");
    assert!(contents(&cluster.nodes[0].data_dir()) == before, "files of the data directory were changed");

    // A second key after the right one is what rotation looks like.
    let both = format!("{},{wrong}", cluster.secrets.master_key);
    assert_eq!(both.matches(',').count(), 1);
    cluster.start_all().await;
    cluster.ready().await;
    let _ = cluster.admin(0).await.get("/tenants/acme").await.expect(200);
}

#[tokio::test]
async fn a_pod_refuses_the_wrong_master_key_of_its_sealed_snapshot() {
    let mut world = World::start(1, 1).await;
    let tenant = world.tenant("sealed").await;
    tenant.service.client_credentials("hj:users.read").await;
    let pod = &mut world.pods[0];
    assert_eq!(pod.stop(PATIENCE).await, Some(0));
    let before = contents(&pod.state_dir());
    assert!(!before.is_empty(), "the pod left a sealed snapshot");
    let wrong = STANDARD.encode([7u8; 32]);
    let refused = pod.run_with_env(&[("SECRETBOX_MASTER_KEY", &wrong)]).await;
    assert_eq!(refused.code, BAD_SETTINGS, "{}", refused.output);
    assert!(contents(&pod.state_dir()) == before, "files of the state directory were changed");
}

#[tokio::test]
async fn bad_settings_are_all_named_at_once() {
    let cluster = Cluster::prepare(1, &[]);
    let node: &Node = &cluster.nodes[0];
    let refused = node
        .run_with_env(&[
            ("SECRETBOX_MASTER_KEY", "not base64 at all"),
            ("PEERS", "1=,x"),
            ("HJ_WATCH_TOKEN", ""),
            ("HJ_LOG_FORMAT", "yaml"),
            ("HJ_SNAPSHOT_EVERY", "often"),
        ])
        .await;
    assert_eq!(refused.code, BAD_SETTINGS, "{}", refused.output);
    let output = refused.output.to_lowercase();
    for problem in ["secretbox-master-key", "peers", "log-format", "snapshot-every"] {
        let as_variable = problem.replace('-', "_");
        assert!(output.contains(problem) || output.contains(&as_variable), "{problem} is not named:\n{output}");
    }
    assert!(!output.contains("not base64 at all"), "a secret's value is shown:\n{output}");
    assert!(!output.contains("panicked"), "{output}");

    let plan = Plan { name: "pod-bad", control_plane: "", ..Plan::default() };
    let pod = Pod::prepare(&plan, &cluster.secrets);
    let bad = [("SECRETBOX_MASTER_KEY", "short"), ("HJ_POOL_MAX_TOTAL", "many"), ("HJ_MIGRATE", "perhaps")];
    let refused = pod.run_with_env(&bad).await;
    assert_eq!(refused.code, BAD_SETTINGS, "{}", refused.output);
    let output = refused.output.to_lowercase();
    for problem in ["secretbox-master-key", "control-plane", "pool-max-total", "migrate"] {
        let as_variable = problem.replace('-', "_");
        assert!(output.contains(problem) || output.contains(&as_variable), "{problem} is not named:\n{output}");
    }
    assert!(!output.contains("panicked"), "{output}");
}

#[tokio::test]
async fn an_unknown_key_of_the_settings_file_is_an_error() {
    let cluster = Cluster::prepare(1, &[]);
    let node = &cluster.nodes[0];
    let file = tests::scratch::folder("settings").join("settings.toml");
    fs::write(&file, "heartbeat_ms = 100\nhartbeat_ms = 1\nlog_formatt = \"json\"\n").expect("the file is written");
    let refused = node.run_with_env(&[("HJ_CONFIG", &file.display().to_string())]).await;
    assert_eq!(refused.code, BAD_SETTINGS, "{}", refused.output);
    for key in ["hartbeat_ms", "log_formatt"] {
        assert!(refused.output.contains(key), "{key} is not named:\n{}", refused.output);
    }
}

#[tokio::test]
async fn ten_pods_migrate_one_empty_database_once() {
    const NAMES: [&str; 10] =
        ["pod-0", "pod-1", "pod-2", "pod-3", "pod-4", "pod-5", "pod-6", "pod-7", "pod-8", "pod-9"];
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let database = postgres::server().await.database("ten_pods").await;
    let settings = json!({ "database": { "dsn": database.dsn(), "max_connections": 2 }, "registration_enabled": true });
    admin.create_tenant("shared", settings).await;
    let control_plane = cluster.watch_urls();
    let (secrets, control_plane) = (&cluster.secrets, control_plane.as_str());
    let start =
        |name: &'static str| async move { Pod::start(&Plan { name, control_plane, ..Plan::default() }, secrets).await };
    let pods = futures::future::join_all(NAMES.map(start)).await;
    let client = json!({
        "client_id": "service", "name": "Service", "grant_types": ["client_credentials"], "scopes": ["hj:users.write"],
    });
    let client = admin.create_client("shared", &client).await;

    // The first request at each pod opens the database: all at the same time.
    let first_users = pods.iter().enumerate().map(|(number, pod)| {
        let (base, secret) = (format!("{}/t/shared", pod.url()), client.secret.clone());
        async move {
            let service = RelyingParty::new(&base, "service", secret, "");
            let token = service.client_credentials("hj:users.write").await;
            let email = format!("user-{number}@shared.example");
            let body = json!({ "email": email, "password": "a horse with a staple" });
            web::send(service.http.post(format!("{base}/api/v1/users")).bearer_auth(token).json(&body)).await
        }
    });
    for answer in futures::future::join_all(first_users).await {
        let _ = answer.expect(201);
    }
    let connection = database.connect().await;
    let users: i64 = connection.query_one("select count(*) from users", &[]).await.expect("the schema is there").get(0);
    assert_eq!(users, 10);
    let history = "select count(*), count(distinct version) from hj_schema_history";
    let row = connection.query_one(history, &[]).await.expect("the history is there");
    let (applied, distinct): (i64, i64) = (row.get(0), row.get(1));
    assert!(applied >= 1 && applied == distinct, "{applied} migrations recorded, {distinct} different");
}

/// Every file below a folder with its bytes.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.display().to_string(), fs::read(&path).unwrap_or_default()));
            }
        }
    }
    files.sort();
    files
}

fn assert_nowhere_below(folder: &Path, needles: &[&[u8]]) {
    for (path, bytes) in contents(folder) {
        for needle in needles {
            let found = bytes.windows(needle.len()).any(|window| window == *needle);
            assert!(!found, "{path} holds {:?} in the clear", String::from_utf8_lossy(needle));
        }
    }
}
