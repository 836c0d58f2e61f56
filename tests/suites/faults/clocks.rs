//! Clocks that jump while nodes run: wall-clock time decides nothing that safety rests on.

use std::path::{Path, PathBuf};

use reqwest::Method;
use tests::cluster::Cluster;
use tests::scratch;
use tests::wait::{PATIENCE, until};
use tests::web;

use super::{all_agree, leader_among, slugs, status, tenant};

/// Debian's `faketime`, built for every architecture's own folder.
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let libraries = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    libraries.into_iter().find(|path| path.exists()).expect("libfaketime is installed (Debian: libfaketime)")
}

/// Sets a node's wall clock; it looks at the file whenever it looks at the clock.
fn set(clock: &Path, offset: &str) {
    let next = clock.with_extension("next");
    std::fs::write(&next, offset).expect("the scratch folder is writable");
    std::fs::rename(&next, clock).expect("the scratch folder is writable");
}

#[tokio::test]
async fn a_leader_whose_clock_jumps_is_replaced_and_time_never_goes_back_in_the_log() {
    let folder = scratch::folder("clocks");
    let mut cluster = Cluster::prepare(3, &[]);
    let clocks: Vec<PathBuf> = (0..3).map(|place| folder.join(format!("clock-{place}"))).collect();
    for (node, clock) in cluster.nodes.iter_mut().zip(&clocks) {
        set(clock, "+0s");
        let env = [
            ("LD_PRELOAD", faketime().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // As with NTP or an operator's `date`: the monotonic clock is not touched.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        node.launch_mut().env.extend(env.map(|(name, value)| (name.to_owned(), value)));
    }
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let mut admins = Vec::new();
    for place in 0..3 {
        admins.push(cluster.admin(place).await);
    }
    let write = async |place: usize, slug: &str| {
        until(&format!("{slug} is written"), PATIENCE, async || {
            let request = admins[place].request(Method::POST, "/tenants").json(&tenant(slug));
            let request = request.header("idempotency-key", format!("create-{slug}"));
            let answer = web::try_send(request).await.map_err(|error| error.to_string())?;
            if answer.status == 201 { Ok(answer.text_of("created_at")) } else { Err(format!("{answer:?}")) }
        })
        .await
    };
    let [a, b] = [(leader + 1) % 3, (leader + 2) % 3];
    let first = write(leader, "first").await;

    // An hour ahead its signatures are from the future: the others refuse them, and do without it.
    set(&clocks[leader], "+1h");
    let new = leader_among(&admins, &cluster, &[a, b]).await;
    let second = write(a, "second").await;
    assert!(second >= first, "{second} after {first}");
    let metrics = web::send(web::client().get(format!("{}/metrics", cluster.nodes[new].ops_url()))).await.expect(200);
    let refused =
        metrics.text.lines().find(|line| line.starts_with("hj_cp_peer_rpc_refused_total") && line.contains("stale"));
    assert!(refused.is_some(), "{}", metrics.text);

    // Right again: it follows.
    set(&clocks[leader], "+0s");
    let now = leader_among(&admins, &cluster, &[0, 1, 2]).await;
    // Half a minute back is within what signatures allow: whoever leads stamps no earlier than before.
    set(&clocks[now], "-20s");
    let third = write(now, "third").await;
    assert!(third >= second, "{third} after {second}");
    set(&clocks[now], "+0s");
    let seen = all_agree(&admins).await;
    assert_eq!(slugs(&seen).len(), 3, "{seen:#}");
    for admin in &admins {
        assert!(status(admin).await.is_ok());
    }
}
