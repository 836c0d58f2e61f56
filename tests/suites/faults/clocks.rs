//! Clocks that jump while nodes run: wall-clock time decides nothing that safety rests on.

use reqwest::Method;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::wall_clock::WallClock;
use tests::web;

use super::{all_agree, leader_among, slugs, status, tenant};

#[tokio::test]
async fn a_leader_whose_clock_jumps_is_replaced_and_time_never_goes_back_in_the_log() {
    let mut cluster = Cluster::prepare(3, &[]);
    let clocks: Vec<WallClock> = cluster.nodes.iter_mut().map(|node| WallClock::of(node.launch_mut())).collect();
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
    clocks[leader].set("+1h");
    let new = leader_among(&admins, &cluster, &[a, b]).await;
    let second = write(a, "second").await;
    assert!(second >= first, "{second} after {first}");
    let metrics = web::send(web::client().get(format!("{}/metrics", cluster.nodes[new].ops_url()))).await.expect(200);
    let refused =
        metrics.text.lines().find(|line| line.starts_with("hj_cp_peer_rpc_refused_total") && line.contains("stale"));
    assert!(refused.is_some(), "{}", metrics.text);

    // Right again: it follows.
    clocks[leader].set("+0s");
    let now = leader_among(&admins, &cluster, &[0, 1, 2]).await;
    // Half a minute back is within what signatures allow: whoever leads stamps no earlier than before.
    clocks[now].set("-20s");
    let third = write(now, "third").await;
    assert!(third >= second, "{third} after {second}");
    clocks[now].set("+0s");
    let seen = all_agree(&admins).await;
    assert_eq!(slugs(&seen).len(), 3, "{seen:#}");
    for admin in &admins {
        assert!(status(admin).await.is_ok());
    }
}
