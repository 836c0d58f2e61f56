//! Leadership given away, followers that send writers to the leader.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::web;

use super::tenant;

async fn patient_cluster() -> Cluster {
    let mut cluster = Cluster::prepare(3, &[]);
    cluster.be_patient();
    cluster.start_all().await;
    cluster.ready().await;
    cluster
}

/// Of all tenants, as they are at a majority.
async fn slugs(admin: &Admin) -> BTreeSet<String> {
    let (mut slugs, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = admin.get(&format!("/tenants?limit=500&consistency=linearizable{cursor}")).await.expect(200).json;
        let items = page["items"].as_array().expect("a list").iter();
        slugs.extend(items.filter_map(|tenant| tenant["slug"].as_str()).map(ToOwned::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return slugs,
        }
    }
}

#[tokio::test]
async fn a_rolling_restart_refuses_no_write_and_loses_none() {
    let mut cluster = patient_cluster().await;
    let leader = cluster.leader().await;
    // The leader last but one, so that leadership moves at least twice.
    let order = [leader, (leader + 1) % 3, (leader + 2) % 3];
    for (turn, place) in order.into_iter().enumerate() {
        let writer = cluster.admin((place + 1) % 3).await;
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writes = tokio::spawn({
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            async move {
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    let began = Instant::now();
                    let _ = writer.post("/tenants", &tenant(&format!("turn-{turn}-{number}"))).await.expect(201);
                    longest = longest.max(began.elapsed());
                }
                longest
            }
        });
        let reach = async |wanted: u64| {
            until("writes go on", PATIENCE, async || {
                let now = count.load(Ordering::Relaxed);
                if now >= wanted { Ok(()) } else { Err(now.to_string()) }
            })
            .await;
        };
        reach(5).await;
        assert_eq!(cluster.nodes[place].stop(PATIENCE).await, Some(0));
        reach(count.load(Ordering::Relaxed) + 5).await;
        cluster.nodes[place].start().await;
        cluster.nodes[place].ready().await;
        stop.store(true, Ordering::Relaxed);
        let longest = writes.await.expect("no write was refused");
        // What was acknowledged meanwhile is at the one that was away, too.
        let last = count.load(Ordering::Relaxed);
        let back = cluster.admin(place).await;
        let wanted: BTreeSet<String> = (0..last).map(|number| format!("turn-{turn}-{number}")).collect();
        let there = slugs(&back).await;
        assert!(wanted.is_subset(&there), "missing: {:?}", wanted.difference(&there).collect::<Vec<_>>());
        // Nobody stands for election before.
        assert!(longest < Duration::from_secs(8), "the longest write took {longest:?}");
    }
}

#[tokio::test]
async fn a_leader_that_was_paused_answers_no_stale_read() {
    let mut cluster = Cluster::start(3).await;
    let paused = cluster.leader().await;
    let there = cluster.admin(paused).await;
    let created = there.post("/tenants", &tenant("acme")).await.expect(201);
    let elsewhere = cluster.admin((paused + 1) % 3).await;
    cluster.nodes[paused].process_mut().pause();
    let mut longest = Duration::ZERO;
    until("the others have another leader and write", PATIENCE, async || {
        let began = Instant::now();
        let request = elsewhere.request(Method::PUT, "/tenants/acme").header("idempotency-key", "rename");
        let request = request.json(&serde_json::json!({ "display_name": "New" }));
        let answer = web::try_send(request).await.map_err(|error| error.to_string())?;
        longest = longest.max(began.elapsed());
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    assert!(longest < PATIENCE, "a writer hung on the paused leader for {longest:?}");
    cluster.nodes[paused].process_mut().resume();
    // It still takes itself for the leader. What it says must be the truth or nothing.
    // A fresh connection: the old one may have been closed for its silence.
    let read = web::client().get(there.url("/tenants/acme?consistency=linearizable")).bearer_auth(there.token());
    let answer = web::send(read).await.expect_one_of(&[200, 503, 504]);
    if answer.status == 200 {
        assert_eq!(answer.text_of("display_name"), "New");
        assert!(answer.revision() > created.revision());
    }
    // Nor does it acknowledge what the others do not know of.
    let written = there.post("/tenants", &tenant("after")).await.expect_one_of(&[201, 503, 504]);
    if written.status == 201 {
        let _ = elsewhere.get("/tenants/after?consistency=linearizable").await.expect(200);
    }
}

#[tokio::test]
async fn a_follower_told_to_redirect_sends_writers_to_the_leader() {
    let cluster = Cluster::start_with(3, &["--follower-writes", "redirect"]).await;
    let leader = cluster.leader().await;
    for place in (0..3).filter(|place| *place != leader) {
        let admin = cluster.admin(place).await;
        let path = "/tenants?wait=fleet&timeout=1s";
        let answer = admin.post(path, &tenant("acme")).await.expect(307);
        let location = format!("{}/api/v1{path}", cluster.nodes[leader].admin_url());
        assert_eq!(answer.header("location"), Some(location.as_str()));
        // Nothing was written, and reads stay here.
        let _ = admin.get("/tenants/acme").await.expect(404);
        // Strangers are not told where the leader is.
        let request = admin.anonymous_request(Method::POST, path).json(&tenant("acme"));
        let _ = web::send(request).await.expect(401);
    }
    let _ = cluster.admin(leader).await.post("/tenants", &tenant("acme")).await.expect(201);
    // The same token is good at the leader.
    let follower = cluster.admin((leader + 1) % 3).await;
    let answer = follower.post("/tenants", &tenant("globex")).await.expect(307);
    let there = answer.header("location").expect("a place to go").to_owned();
    let request = web::client().post(there).bearer_auth(follower.token()).json(&tenant("globex"));
    let _ = web::send(request).await.expect(201);
}
