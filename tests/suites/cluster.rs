//! The promises of the control plane, kept while its nodes are killed, stopped and started again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::counters::count;
use tests::pod::{Plan, Pod};
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};

fn tenant(slug: &str) -> serde_json::Value {
    json!({ "slug": slug, "display_name": slug })
}

/// Creates a tenant with an `Idempotency-Key`, again and again until the answer is certain.
async fn create_surely(admins: &[Admin], slug: &str) {
    let started = std::sync::atomic::AtomicUsize::new(0);
    until(&format!("tenant {slug} is created"), PATIENCE, async || {
        let admin = &admins[started.fetch_add(1, Ordering::Relaxed) % admins.len()];
        let request = admin.request(Method::POST, "/tenants").header("idempotency-key", format!("create-{slug}"));
        match web::try_send(request.json(&tenant(slug)).timeout(Duration::from_secs(5))).await {
            Ok(answer) if answer.status == 201 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

async fn slugs(admin: &Admin) -> Vec<String> {
    let answer = admin.get("/tenants?limit=500&consistency=linearizable").await.expect(200);
    let items = answer.json["items"].as_array().expect("a list has items");
    items.iter().filter_map(|item| item["slug"].as_str()).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_fresh_cluster_elects_and_a_write_at_every_node_is_readable_everywhere() {
    let cluster = Cluster::start(3).await;
    cluster.leader().await;
    let mut admins = Vec::new();
    for place in 0..3 {
        admins.push(cluster.admin(place).await);
    }
    for (place, writer) in admins.iter().enumerate() {
        let slug = format!("from-node-{place}");
        let revision = writer.post("/tenants", &tenant(&slug)).await.expect(201).revision();
        // Read your own write at once; elsewhere when that revision is there.
        let _ = writer.get(&format!("/tenants/{slug}")).await.expect(200);
        for reader in &admins {
            let answer = reader.get(&format!("/tenants/{slug}?min_revision={revision}")).await.expect(200);
            assert_eq!(answer.text_of("slug"), slug);
            let answer = reader.get(&format!("/tenants/{slug}?consistency=linearizable")).await.expect(200);
            assert!(answer.revision() >= revision, "{answer:#?}");
        }
    }
    let status = admins[0].get("/cluster/status").await.expect(200).json;
    assert_eq!(status["members"].as_array().map(Vec::len), Some(3), "{status:#}");
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_when_the_leader_is_killed_and_writes_resume() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = Vec::new();
    for place in (0..3).filter(|place| *place != leader) {
        let admin = cluster.admin(place).await;
        let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        writers.push(tokio::spawn(async move {
            let mut kept = Vec::new();
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let slug = format!("stream-{place}-{number}");
                let request = admin.request(Method::POST, "/tenants").json(&tenant(&slug));
                match web::try_send(request).await {
                    Ok(answer) if answer.status == 201 => {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                        kept.push(slug);
                    }
                    // Not acknowledged: it may or may not be there.
                    Ok(answer) => assert!([503, 504].contains(&answer.status), "{answer:#?}"),
                    Err(error) => panic!("a living node must answer: {error}"),
                }
            }
            kept
        }));
    }
    let reach = async |count: u64| {
        until(&format!("{count} writes"), PATIENCE, async || {
            let now = acknowledged.load(Ordering::Relaxed);
            if now >= count { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    };
    reach(40).await;
    cluster.nodes[leader].kill();
    let before = acknowledged.load(Ordering::Relaxed);
    reach(before + 40).await;
    stop.store(true, Ordering::Relaxed);

    let mut expected = Vec::new();
    for writer in writers {
        expected.extend(writer.await.expect("the writer did not panic"));
    }
    let successor = cluster.leader().await;
    assert_ne!(successor, leader);
    let ops = cluster.nodes[successor].ops_url();
    assert!(count(&ops, "raft_leadership_changes", &[]).await >= 2, "it has seen both leaders");
    assert!(count(&ops, "raft_apply_latency_count", &[]).await >= 80, "and applied every write");
    cluster.nodes[leader].start().await;
    cluster.ready().await;
    for place in 0..3 {
        let admin = cluster.admin(place).await;
        for slug in &expected {
            let _ = admin.get(&format!("/tenants/{slug}?consistency=linearizable")).await.expect(200);
        }
    }
}

#[tokio::test]
async fn everything_is_there_after_all_nodes_are_killed_and_restarted() {
    // So few entries between snapshots that the restart goes through snapshot and log.
    let mut cluster = Cluster::start_with(3, &["--snapshot-every", "20"]).await;
    let admin = cluster.admin(1).await;
    let mut last = 0;
    for number in 0..50 {
        last = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201).revision();
    }
    let client = json!({ "client_id": "web", "name": "Web", "redirect_uris": ["https://web.example/cb"] });
    let created = admin.post("/tenants/kept-7/clients", &client).await.expect(201);
    let _ = admin.delete("/tenants/kept-8").await.expect(204);
    let keys = admin.get("/tenants/kept-7/keys").await.expect(200).json;
    cluster.kill_all();

    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    for place in 0..3 {
        let admin = cluster.admin(place).await;
        let found = slugs(&admin).await;
        let expected = (0..50).filter(|number| *number != 8).map(|number| format!("kept-{number}"));
        let missing: Vec<String> = expected.filter(|slug| !found.contains(slug)).collect();
        assert!(missing.is_empty(), "node {place} lost {missing:?}");
        assert!(!found.contains(&"kept-8".to_owned()));
        assert_eq!(admin.get("/tenants/kept-7/keys").await.expect(200).json, keys);
        let client = admin.get("/tenants/kept-7/clients/web").await.expect(200);
        assert_eq!(client.json["revision"], created.json["revision"]);
    }
    let revision = cluster.admin(leader).await.post("/tenants", &tenant("after")).await.expect(201).revision();
    assert!(revision > last, "revisions never go back: {revision} after {last}");
}

#[tokio::test]
async fn a_single_node_keeps_everything_through_kill_and_restart() {
    let mut cluster = Cluster::start_with(1, &["--snapshot-every", "10"]).await;
    let admin = cluster.admin(0).await;
    for number in 0..25 {
        let _ = admin.post("/tenants", &tenant(&format!("kept-{number}"))).await.expect(201);
    }
    for _ in 0..2 {
        cluster.kill_all();
        cluster.start_all().await;
        cluster.ready().await;
        assert_eq!(slugs(&cluster.admin(0).await).await.len(), 25);
    }
    let code = cluster.nodes[0].stop(PATIENCE).await;
    assert_eq!(code, Some(0), "an ordered shutdown");
}

#[tokio::test]
async fn without_a_quorum_writes_are_refused_with_retry_after_and_nothing_is_lost() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let admin = cluster.admin(leader).await;
    let _ = admin.post("/tenants", &tenant("before")).await.expect(201);
    for place in (0..3).filter(|place| *place != leader) {
        cluster.nodes[place].kill();
    }
    // The last one may still take itself for the leader at first: then the outcome is unknown, which is not "refused".
    let refused = until("a write is refused for want of a leader", PATIENCE, async || {
        let request = admin.request(Method::POST, "/tenants").header("idempotency-key", "create-lonely");
        let request = request.json(&tenant("lonely"));
        let answer = web::try_send(request).await.map_err(|error| error.to_string())?;
        assert!([503, 504].contains(&answer.status), "{answer:#?}");
        if answer.code() == "no_leader" { Ok(answer) } else { Err(format!("{answer:?}")) }
    })
    .await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some_and(|text| text.parse::<u32>().is_ok()), "{refused:#?}");
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    // Reads of what this node has go on; those that need a majority say so.
    let _ = admin.get("/tenants/before").await.expect(200);
    let _ = admin.get("/tenants/before?consistency=linearizable").await.expect_one_of(&[503, 504]);

    for place in (0..3).filter(|place| *place != leader) {
        cluster.nodes[place].start().await;
    }
    cluster.ready().await;
    let mut admins = Vec::new();
    for place in 0..3 {
        admins.push(cluster.admin(place).await);
    }
    create_surely(&admins, "lonely").await;
    let found = slugs(&admins[0]).await;
    assert!(found.contains(&"before".to_owned()), "{found:?}");
    assert_eq!(found.iter().filter(|slug| *slug == "lonely").count(), 1, "{found:?}");
}

#[tokio::test]
async fn a_retry_with_the_same_key_applies_once_and_answers_the_same_even_under_a_new_leader() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let admin = cluster.admin(follower).await;
    let _ = admin.post("/tenants", &tenant("acme")).await.expect(201);
    let body = json!({ "name": "Worker", "grant_types": ["client_credentials"] });
    let create = async |admin: &Admin, body: &serde_json::Value| -> Answer {
        let request = admin.request(Method::POST, "/tenants/acme/clients").header("idempotency-key", "one-worker");
        web::send(request.json(body)).await
    };
    let first = create(&admin, &body).await.expect(201);
    let again = create(&admin, &body).await.expect(201);
    cluster.nodes[leader].kill();
    let successor = cluster.leader().await;
    let admin = cluster.admin(successor).await;
    let after = create(&admin, &body).await.expect(201);
    for replay in [&again, &after] {
        for field in ["client_id", "client_secret", "secret_id"] {
            assert_eq!(replay.text_of(field), first.text_of(field), "{field}");
        }
        assert_eq!(replay.revision(), first.revision());
    }
    let clients = admin.get("/tenants/acme/clients").await.expect(200).json;
    assert_eq!(clients["items"].as_array().map(Vec::len), Some(1), "{clients:#}");

    let other = json!({ "name": "Another", "grant_types": ["client_credentials"] });
    let refused = create(&admin, &other).await.expect(422);
    assert_eq!(refused.code(), "idempotency_mismatch");
}

#[tokio::test]
async fn if_match_refuses_a_lost_update() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let created = admin.post("/tenants", &tenant("acme")).await.expect(201);
    let etag = created.header("etag").expect("a resource has an ETag").to_owned();
    let put = async |name: &str, etag: &str| {
        let request = admin.request(Method::PUT, "/tenants/acme").header("if-match", etag);
        web::send(request.json(&json!({ "display_name": name }))).await
    };
    let changed = put("First", &etag).await.expect(200);
    assert_ne!(changed.header("etag"), Some(etag.as_str()));
    let refused = put("Second", &etag).await.expect(412);
    assert_eq!(refused.code(), "precondition_failed");
    assert_eq!(admin.get("/tenants/acme").await.expect(200).text_of("display_name"), "First");
    let request = admin.request(Method::DELETE, "/tenants/acme").header("if-match", &etag);
    let _ = web::send(request).await.expect(412);
    let request =
        admin.request(Method::DELETE, "/tenants/acme").header("if-match", changed.header("etag").expect("an ETag"));
    let _ = web::send(request).await.expect(204);
}

/// A follower may hear of it late: this one stood still.
#[tokio::test]
async fn what_was_changed_at_the_leader_is_patched_at_a_follower_at_once() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let (at_leader, at_follower) = (cluster.admin(leader).await, cluster.admin(follower).await);
    let _ = at_leader.post("/tenants", &tenant("acme")).await.expect(201);
    for number in 0..30 {
        cluster.nodes[follower].process().pause();
        let changed = at_leader.put("/tenants/acme", &json!({ "display_name": number.to_string() })).await.expect(200);
        cluster.nodes[follower].process().resume();
        let etag = changed.header("etag").expect("a resource has an ETag");
        let name = format!("patched {number}");
        let patch = at_follower.request(Method::PATCH, "/tenants/acme").header("if-match", etag);
        let patched = web::send(patch.json(&json!({ "display_name": name }))).await.expect(200);
        assert_eq!(patched.text_of("display_name"), name);
    }
}

#[tokio::test]
async fn a_stopped_pod_is_named_as_the_laggard() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let control_plane = cluster.watch_urls();
    let plan = |name| Plan { name, control_plane: &control_plane, ..Plan::default() };
    let quick = Pod::start(&plan("pod-quick"), &cluster.secrets).await;
    let stopped = Pod::start(&plan("pod-stopped"), &cluster.secrets).await;
    let answer = admin.post("/tenants?wait=fleet&timeout=10s", &tenant("one")).await.expect(201);
    assert_eq!(answer.header("x-fleet"), Some("complete"), "{answer:#?}");

    stopped.process().pause();
    let write = async |query: &str| {
        let request = admin.request(Method::POST, &format!("/tenants{query}")).header("idempotency-key", "two");
        web::send(request.json(&tenant("two"))).await
    };
    // The other one has all the time it needs; then the same write asks again.
    let revision = write("").await.expect(201).revision();
    until("the pod that runs has acknowledged it", PATIENCE, async || {
        let fleet = admin.get("/fleet").await.expect(200).json;
        let pods = fleet["pods"].as_array().map(Vec::as_slice).unwrap_or_default();
        let quick = pods.iter().find(|pod| pod["pod_id"] == "pod-quick");
        let acknowledged = quick.and_then(|pod| pod["acknowledged_revision"].as_u64());
        if acknowledged >= Some(revision) { Ok(()) } else { Err(fleet.to_string()) }
    })
    .await;
    let answer = write("?wait=fleet&timeout=1s").await;
    stopped.process().resume();
    let answer = answer.expect(201);
    assert_eq!(answer.revision(), revision);
    assert_eq!(answer.header("x-fleet"), Some("timeout"), "{answer:#?}");
    assert_eq!(answer.header("x-fleet-laggards"), Some("pod-stopped"), "{answer:#?}");
    quick.has_revision(revision).await;

    // It catches up, and the fleet says so.
    stopped.has_revision(answer.revision()).await;
    until("the fleet has caught up", PATIENCE, async || {
        let fleet = admin.get("/fleet").await.expect(200).json;
        let pods = fleet["pods"].as_array().map(Vec::as_slice).unwrap_or_default();
        let behind = pods.iter().filter(|pod| pod["acknowledged_revision"].as_u64() < Some(answer.revision())).count();
        if pods.len() == 2 && behind == 0 { Ok(()) } else { Err(fleet.to_string()) }
    })
    .await;
}
