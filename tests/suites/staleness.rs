//! What a pod does with a configuration that grows old: as each tenant's policy says, also over a restart, and until the
//! control plane is back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::network::Network;
use tests::pod::{Plan, Pod};
use tests::relying_party::RelyingParty;
use tests::tenant::Tenant;
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};
use tests::world::World;

async fn ops(pod: &Pod, path: &str) -> Answer {
    web::send(web::client().get(format!("{}{path}", pod.ops_url()))).await
}

/// A tenant with that policy, and a client of it that gets tokens without a database.
async fn tenant(admin: &Admin, pod: &Pod, slug: &str, staleness: Value) -> RelyingParty {
    let _ = admin.create_tenant(slug, json!({ "staleness": staleness })).await;
    let _ = admin.post(&format!("/tenants/{slug}/scopes"), &json!({ "name": "orders" })).await.expect(201);
    let client = json!({
        "client_id": "service", "name": "The Service", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "scopes": ["orders"],
    });
    let client = admin.create_client(slug, &client).await;
    RelyingParty::new(&format!("{}/t/{slug}", pod.url()), "service", client.secret, "")
}

async fn token(party: &RelyingParty) -> Answer {
    party.token(&[("grant_type", "client_credentials"), ("scope", "orders")]).await
}

async fn refuses(party: &RelyingParty) -> Answer {
    until("the pod refuses", PATIENCE, async || match token(party).await {
        answer if answer.status == 503 => Ok(answer),
        answer => Err(format!("{} {}", answer.status, answer.text)),
    })
    .await
}

#[tokio::test]
async fn each_tenants_policy_decides_what_an_old_configuration_is_worth() {
    let mut cluster = Cluster::start(1).await;
    let control_plane = cluster.watch_urls();
    let plan = Plan { name: "pod-old", control_plane: &control_plane, ..Plan::default() };
    let mut pod = Pod::start(&plan, &cluster.secrets).await;
    let admin = cluster.admin(0).await;
    let policy = |mode: &str| json!({ "warn_after_secs": 1, "refuse_after_secs": 3, "fail_mode": mode });
    let strict = tenant(&admin, &pod, "strict", policy("refuse")).await;
    let away = tenant(&admin, &pod, "away", policy("not_ready")).await;
    let soft = tenant(&admin, &pod, "soft", policy("serve")).await;
    // The default is a day.
    let usual = tenant(&admin, &pod, "usual", Value::Null).await;
    for party in [&strict, &away, &soft, &usual] {
        let _ = token(party).await.expect(200);
    }
    assert_eq!(ops(&pod, "/readyz?tenant=away").await.status, 200);

    cluster.kill_all();
    // OAuth's own word at its endpoints, the platform's shape elsewhere, a page for people.
    let refused = refuses(&strict).await;
    assert_eq!(refused.json["error"], "temporarily_unavailable", "{refused:?}");
    assert_eq!(refused.json["code"], "unavailable");
    assert!(refused.header("retry-after").is_some());
    let jwks = web::send(strict.http.get(format!("{}/.well-known/jwks.json", strict.base))).await.expect(503);
    assert_eq!((jwks.code(), jwks.header("retry-after")), ("unavailable", Some("1")), "{jwks:?}");
    let page = web::send(strict.http.get(format!("{}/login", strict.base))).await.expect(503);
    assert!(page.text.contains("<html"), "{page:?}");
    for party in [&away, &soft, &usual] {
        let _ = token(party).await.expect(200);
    }
    // The pod is of use to others; to whom it is not is told when asked.
    assert_eq!(ops(&pod, "/readyz").await.status, 200);
    for slug in ["strict", "away"] {
        assert_eq!(ops(&pod, &format!("/readyz?tenant={slug}")).await.status, 503, "{slug}");
    }
    assert_eq!(ops(&pod, "/readyz?tenant=soft").await.status, 200);
    let config = pod.debug_config().await;
    assert!(config["staleness_ms"].as_u64() > Some(3000), "{config}");
    assert_eq!(config["tenants_by_staleness"], json!({ "fresh": 1, "warn": 1, "not_ready": 1, "refuse": 1 }));
    let metrics = ops(&pod, "/metrics").await.text;
    assert!(metrics.contains("hj_dp_config_tenants{staleness=\"refuse\"} 1"), "{metrics}");
    assert!(metrics.contains("hj_dp_stale_refusals_total{tenant=\"strict\"}"), "{metrics}");

    // A restart does not make it young again.
    pod.kill();
    pod.start_again().await;
    pod.ready().await;
    let config = pod.debug_config().await;
    assert_eq!(config["source"], "sealed");
    assert!(config["staleness_ms"].as_u64() > Some(3000), "{config}");
    assert_eq!(token(&strict).await.status, 503);
    let _ = token(&soft).await.expect(200);

    // The control plane is back, and so is everybody.
    cluster.start_all().await;
    cluster.ready().await;
    until("the strict tenant is served again", PATIENCE, async || match token(&strict).await.status {
        200 => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
    assert_eq!(ops(&pod, "/readyz?tenant=away").await.status, 200);
}

/// A pod that comes when there is no leader, and knows nothing, takes what a node has for as old as it is; also when the
/// node was restarted and has heard no leader since.
#[tokio::test]
async fn a_new_pod_at_a_node_without_a_leader_knows_how_old_its_word_is() {
    let mut cluster = Cluster::start(3).await;
    let control_plane = cluster.watch_urls();
    let plan = Plan { name: "pod-witness", control_plane: &control_plane, ..Plan::default() };
    let witness = Pod::start(&plan, &cluster.secrets).await;
    let admin = cluster.admin(0).await;
    let policy = json!({ "warn_after_secs": 1, "refuse_after_secs": 3, "fail_mode": "refuse" });
    let usual = tenant(&admin, &witness, "usual", Value::Null).await;
    let strict = tenant(&admin, &witness, "strict", policy).await;
    let _ = admin.get(&format!("/fleet/wait?revision={}&timeout=15s", admin.get("/settings").await.revision())).await;
    for node in &mut cluster.nodes[1..] {
        node.kill();
    }
    let _ = refuses(&strict).await;

    for restarted in [false, true] {
        if restarted {
            cluster.nodes[0].kill();
            cluster.nodes[0].start().await;
        }
        let control_plane = format!("http://{}", cluster.nodes[0].addresses().watch);
        let name = if restarted { "pod-newest" } else { "pod-new" };
        let plan = Plan { name, control_plane: &control_plane, ..Plan::default() };
        let pod = Pod::start(&plan, &cluster.secrets).await;
        let config = pod.debug_config().await;
        assert!(config["staleness_ms"].as_u64() > Some(3000), "{config}");
        // Restarted, it need not know of the newest entries that they were committed.
        if !restarted {
            let at = |party: &RelyingParty, slug: &str| party.at(&format!("{}/t/{slug}", pod.url()));
            let _ = token(&at(&strict, "strict")).await.expect(503);
            let _ = token(&at(&usual, "usual")).await.expect(200);
        }
    }
}

/// A node that was restarted and hears its leader, but does not know what was committed meanwhile, has nothing to hand out;
/// without a leader it has, and that is as old as its newest entry, whatever it has heard since.
#[tokio::test]
async fn a_node_that_has_not_caught_up_makes_no_new_pod_young() {
    let Some(network) = Network::new(3) else { return };
    let mut cluster = Cluster::prepare_in(&network, 3, &[]);
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let place = (leader + 1) % 3;
    let admin = cluster.admin(leader).await;
    cluster.nodes[place].kill();
    for other in [leader, (leader + 2) % 3] {
        network.silence_calls(cluster.nodes[place].id, cluster.nodes[other].id, "7000");
    }
    cluster.nodes[place].start().await;
    let control_plane = format!("http://{}", cluster.nodes[place].addresses().watch);
    let prepare =
        |name| Pod::prepare(&Plan { name, control_plane: &control_plane, ..Plan::default() }, &cluster.secrets);
    let (mut early, mut late) = (prepare("pod-early"), prepare("pod-late"));
    early.start_again().await;
    until("it is told to wait", PATIENCE, async || {
        let log = early.process().log();
        if log.contains("has not caught up with its leader") { Ok(()) } else { Err(log) }
    })
    .await;
    assert_eq!(ops(&early, "/readyz").await.status, 503);
    early.kill();

    // Long after the newest entry the node still hears its leader.
    let (mut newest, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_secs(6) {
        let revision = admin.get("/settings").await.expect(200).revision();
        if revision > newest {
            (newest, since) = (revision, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for other in [leader, (leader + 2) % 3] {
        cluster.nodes[other].kill();
    }
    late.start_again().await;
    late.ready().await;
    until("it knows how old that is", PATIENCE, async || {
        let at_least = since.elapsed().saturating_sub(Duration::from_secs(1));
        let config = late.debug_config().await;
        let is_old = config["staleness_ms"].as_u64() > u64::try_from(at_least.as_millis()).ok();
        if is_old { Ok(()) } else { Err(config.to_string()) }
    })
    .await;
}

/// What was sent while a pod did not run was not heard then.
#[tokio::test]
async fn what_waited_for_a_pod_that_was_paused_makes_it_no_younger() {
    let cluster = Cluster::start(1).await;
    let control_plane = cluster.watch_urls();
    let plan = Plan { name: "pod-paused", control_plane: &control_plane, ..Plan::default() };
    let pod = Pod::start(&plan, &cluster.secrets).await;
    until("it is current", PATIENCE, async || match pod.debug_config().await {
        config if config["synced"] == true => Ok(()),
        config => Err(config.to_string()),
    })
    .await;
    pod.process().pause();
    // Longer than a stream may be silent; the node goes on sending meanwhile.
    let paused = Instant::now();
    tokio::time::sleep(Duration::from_secs(7)).await;
    cluster.nodes[0].process().pause();
    pod.process().resume();
    let resumed = Instant::now();
    while resumed.elapsed() < Duration::from_secs(1) {
        let config = pod.debug_config().await;
        let (age, at_least) =
            (config["staleness_ms"].as_u64(), paused.elapsed().saturating_sub(Duration::from_secs(2)));
        assert!(age > u64::try_from(at_least.as_millis()).ok(), "{config}");
    }
    cluster.nodes[0].process().resume();
    until("it is current again", PATIENCE, async || match pod.debug_config().await {
        config if config["staleness_ms"].as_u64() < Some(2000) => Ok(()),
        config => Err(config.to_string()),
    })
    .await;
}

/// When there is nobody left to serve, the pod says so to whoever balances the load; the cluster's settings are the policy
/// of tenants without their own, at once and without a write to any tenant.
#[tokio::test]
async fn a_pod_that_may_serve_nobody_is_not_ready() {
    let mut cluster = Cluster::start(1).await;
    let control_plane = cluster.watch_urls();
    let plan = Plan { name: "pod-useless", control_plane: &control_plane, ..Plan::default() };
    let pod = Pod::start(&plan, &cluster.secrets).await;
    let admin = cluster.admin(0).await;
    let party = tenant(&admin, &pod, "inherits", Value::Null).await;
    let policy = json!({ "staleness": { "warn_after_secs": 1, "refuse_after_secs": 2 } });
    let changed = admin.patch("/settings?wait=fleet&timeout=15s", &policy).await.expect(200);
    assert_eq!(changed.header("x-fleet"), Some("complete"));
    assert_eq!(changed.json["staleness"]["fail_mode"], "refuse");
    cluster.kill_all();
    let _ = refuses(&party).await;
    let answer = ops(&pod, "/readyz").await.expect(503);
    assert!(answer.text_of("reason").contains("old"), "{answer:?}");
    let _ = ops(&pod, "/livez").await.expect(200);
}

/// People go on signing in with the whole control plane gone, as long as the policy allows; also at a pod that starts then.
#[tokio::test]
async fn sign_in_survives_the_loss_of_the_control_plane() {
    let mut world = World::start(3, 1).await;
    let tenant = Tenant::create(&world, "survivor").await;
    let user = tenant.user("alice").await;
    let before = tenant.backend.sign_in(&user).await;
    world.cluster.kill_all();
    let _ = tenant.backend.sign_in(&user).await;
    let _ = tenant.backend.refresh(before.refresh()).await.expect(200);
    let pod = &mut world.pods[0];
    assert_eq!(pod.stop(Duration::from_secs(30)).await, Some(0));
    pod.start_again().await;
    pod.ready().await;
    let _ = tenant.backend.sign_in(&user).await;
    assert_eq!(pod.debug_config().await["source"], "sealed");
}
