//! A stream of writes through every node while leaders are killed: what was acknowledged is there, once, and in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::web;

use super::tenant;

const WRITERS: usize = 6;

/// One acknowledged write.
struct Written {
    slug: String,
    revision: u64,
    began: Instant,
    ended: Instant,
}

/// Sends the same request with the same key, at one node after the other, until it is acknowledged.
async fn write(urls: &[String], tokens: &Admin, first: usize, slug: String) -> Written {
    let (began, http) = (Instant::now(), web::client());
    for turn in first.. {
        let request = http.request(Method::POST, format!("{}/api/v1/tenants", urls[turn % urls.len()]));
        let request = request.bearer_auth(tokens.token()).header("idempotency-key", format!("create-{slug}"));
        let answer = web::try_send(request.json(&tenant(&slug)).timeout(Duration::from_secs(15))).await;
        match answer {
            Ok(answer) if answer.status == 201 => {
                return Written { slug, revision: answer.revision(), began, ended: Instant::now() };
            }
            Ok(answer) => assert!([503, 504].contains(&answer.status), "{answer:#?}"),
            // Its node is dead just now: the next one is asked.
            Err(_) => {}
        }
        assert!(began.elapsed() < 2 * PATIENCE, "{slug} is never acknowledged");
    }
    unreachable!("the turns do not end")
}

#[tokio::test]
async fn every_acknowledged_write_is_there_once_and_in_order_though_leaders_are_killed() {
    let mut cluster = Cluster::prepare(3, &["--snapshot-every", "50"]);
    for node in &mut cluster.nodes {
        // The writers must find a node again after its restart.
        let address = format!("127.0.0.1:{}", tests::postgres::free_port());
        node.launch_mut().set("--admin-addr", &address);
    }
    cluster.start_all().await;
    cluster.ready().await;
    let owner = cluster.admin(0).await;
    let urls: Vec<String> = cluster.nodes.iter().map(tests::cluster::Node::admin_url).collect();
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (urls, owner, stop, count) = (urls.clone(), owner.clone(), Arc::clone(&stop), Arc::clone(&count));
        writers.push(tokio::spawn(async move {
            let mut written = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                written.push(write(&urls, &owner, writer, format!("w{writer}-{}", written.len())).await);
                count.fetch_add(1, Ordering::Relaxed);
            }
            written
        }));
    }
    let more = async |more: u64| {
        let wanted = count.load(Ordering::Relaxed) + more;
        until("writes go on", 2 * PATIENCE, async || {
            let now = count.load(Ordering::Relaxed);
            if now >= wanted { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    };
    for _ in 0..3 {
        more(40).await;
        let leader = cluster.leader().await;
        cluster.nodes[leader].kill();
        more(40).await;
        cluster.nodes[leader].start().await;
        cluster.ready().await;
    }
    more(20).await;
    stop.store(true, Ordering::Relaxed);

    let mut written = Vec::new();
    for writer in writers {
        let own = writer.await.expect("the writer did not panic");
        assert!(own.is_sorted_by(|a, b| a.revision < b.revision), "one writer's revisions rise");
        written.extend(own);
    }
    written.sort_unstable_by_key(|write| write.revision);
    assert!(written.is_sorted_by(|a, b| a.revision < b.revision), "a revision is one change's");
    // Linearizable: what began after another had ended has the greater revision.
    let mut latest_begin = written.first().map(|write| write.began);
    for write in &written {
        assert!(latest_begin <= Some(write.ended), "{} is out of order", write.slug);
        latest_begin = latest_begin.max(Some(write.began));
    }
    for place in 0..3 {
        let admin = cluster.admin(place).await;
        let mut found = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let page =
                admin.get(&format!("/tenants?limit=500&consistency=linearizable{cursor}")).await.expect(200).json;
            for item in page["items"].as_array().expect("a list has items") {
                let slug = item["slug"].as_str().unwrap_or_default().to_owned();
                assert_eq!(found.insert(slug, item["revision"].as_u64()), None, "each once: {item:#}");
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        for write in &written {
            assert_eq!(found.get(&write.slug), Some(&Some(write.revision)), "node {place}: {}", write.slug);
        }
    }
}
