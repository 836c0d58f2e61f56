//! Nodes that do not hear each other, in network namespaces: a packet that is dropped, not a connection that is refused.

use reqwest::Method;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::counters::count;
use tests::network::Network;
use tests::wait::{PATIENCE, until};
use tests::web;

use super::{all_agree, is_uncertain_or_refused, leader_among, slugs, status, tenant};

struct Scene {
    cluster: Cluster,
    admins: Vec<Admin>,
    leader: usize,
    // Last: the namespaces go after the processes in them.
    network: Network,
}

async fn scene() -> Option<Scene> {
    let network = Network::new(3)?;
    let mut cluster = Cluster::prepare_in(&network, 3, &[]);
    cluster.start_all().await;
    cluster.ready().await;
    let leader = cluster.leader().await;
    let mut admins = Vec::new();
    for place in 0..3 {
        admins.push(cluster.admin(place).await);
    }
    Some(Scene { cluster, admins, leader, network })
}

impl Scene {
    fn id(&self, place: usize) -> u64 {
        self.cluster.nodes[place].id
    }

    const fn others(place: usize) -> [usize; 2] {
        [(place + 1) % 3, (place + 2) % 3]
    }

    /// Writes at `place` until it is acknowledged.
    async fn write(&self, place: usize, slug: &str) {
        until(&format!("{slug} is written"), PATIENCE, async || {
            let request = self.admins[place].request(Method::POST, "/tenants").json(&tenant(slug));
            let request = request.header("idempotency-key", format!("create-{slug}"));
            let answer = web::try_send(request).await.map_err(|error| error.to_string())?;
            if answer.status == 201 { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn an_isolated_leader_steps_down_and_what_it_could_not_commit_is_never_called_done() {
    let Some(scene) = scene().await else { return };
    let (old, [a, b]) = (scene.leader, Scene::others(scene.leader));
    scene.write(old, "before").await;
    scene.network.isolate(scene.id(old));

    // Under way at the moment of the cut: in the old leader's log, on no other disk.
    let request = scene.admins[old].request(Method::POST, "/tenants").header("idempotency-key", "lonely");
    let lonely = web::try_send(request.json(&tenant("lonely"))).await.expect("an isolated node still answers");
    assert!(is_uncertain_or_refused(&lonely), "{lonely:#?}");

    let new = leader_among(&scene.admins, &scene.cluster, &[a, b]).await;
    scene.write(a, "meanwhile-a").await;
    scene.write(b, "meanwhile-b").await;
    until("the isolated node stops calling itself the leader", PATIENCE, async || {
        let seen = status(&scene.admins[old]).await?;
        if seen["leader_id"].as_u64() == Some(scene.id(old)) { Err(seen.to_string()) } else { Ok(()) }
    })
    .await;
    // It says what it knows and no more than that.
    let _ = scene.admins[old].get("/tenants/before").await.expect(200);
    let read = scene.admins[old].get("/tenants/before?consistency=linearizable").await.expect(503);
    assert_eq!(read.code(), "no_leader");
    let refused = scene.admins[old].post("/tenants", &tenant("refused")).await.expect(503);
    assert_eq!(refused.code(), "no_leader");

    scene.network.heal();
    assert_eq!(leader_among(&scene.admins, &scene.cluster, &[0, 1, 2]).await, new, "the healthy leader stays");
    let seen = all_agree(&scene.admins).await;
    let found = slugs(&seen);
    for slug in ["before", "meanwhile-a", "meanwhile-b"] {
        assert!(found.contains(&slug), "{slug} is missing: {found:?}");
    }
    assert!(!found.contains(&"refused"), "{found:?}");
    // The client that was told "unknown" finds out by asking again with its key, and gets exactly one tenant.
    let request = scene.admins[old].request(Method::POST, "/tenants").header("idempotency-key", "lonely");
    let _ = web::send(request.json(&tenant("lonely"))).await.expect(201);
    assert_eq!(slugs(&all_agree(&scene.admins).await).iter().filter(|slug| **slug == "lonely").count(), 1);
}

#[tokio::test]
async fn a_follower_that_comes_back_does_not_depose_the_leader() {
    let Some(scene) = scene().await else { return };
    let follower = (scene.leader + 1) % 3;
    let term = status(&scene.admins[scene.leader]).await.expect("the leader answers")["term"].as_u64();
    assert!(term.is_some());
    scene.network.isolate(scene.id(follower));
    until("the follower misses its leader", PATIENCE, async || {
        let seen = status(&scene.admins[follower]).await?;
        if seen["leader_id"].is_null() { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    scene.write(scene.leader, "meanwhile").await;
    scene.network.heal();
    assert_eq!(leader_among(&scene.admins, &scene.cluster, &[0, 1, 2]).await, scene.leader);
    let _ = all_agree(&scene.admins).await;
    // It is counted and on record that it was without one.
    let ops = scene.cluster.nodes[follower].ops_url();
    assert!(count(&ops, "hj_cp_role_transitions_total", &[("to", "lost_leader")]).await >= 1);
    until("it is on record", PATIENCE, async || {
        let found = scene.admins[scene.leader].get("/audit/logs?action=node.role_transition").await.expect(200).json;
        let notes = found["items"].as_array().expect("items").iter().map(|record| &record["note"]);
        let mut of_follower = notes.filter(|note| note["node"].as_u64() == Some(scene.id(follower)));
        let is_there = of_follower.any(|note| note["to"] == "lost_leader");
        if is_there { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
    for admin in &scene.admins {
        let seen = status(admin).await.expect("every node answers");
        assert_eq!(seen["term"].as_u64(), term, "no election was held: {seen:#}");
    }
}

#[tokio::test]
async fn writes_go_on_though_the_leader_is_deaf_to_one_node_or_mute() {
    let Some(scene) = scene().await else { return };
    // The leader hears nobody, but everybody hears it: no answer of theirs counts.
    let [a, b] = Scene::others(scene.leader);
    for other in [a, b] {
        scene.network.silence(scene.id(other), scene.id(scene.leader));
    }
    scene.write(a, "leader-is-deaf").await;
    scene.network.heal();
    let leader = leader_among(&scene.admins, &scene.cluster, &[0, 1, 2]).await;
    // One follower hears nothing of the leader, yet the leader hears it.
    let [a, b] = Scene::others(leader);
    scene.network.silence(scene.id(leader), scene.id(a));
    scene.write(b, "one-is-deaf").await;
    scene.network.heal();
    // Two followers that do not hear each other have the leader in common.
    let leader = leader_among(&scene.admins, &scene.cluster, &[0, 1, 2]).await;
    let [a, b] = Scene::others(leader);
    scene.network.silence(scene.id(a), scene.id(b));
    scene.network.silence(scene.id(b), scene.id(a));
    scene.write(a, "followers-apart-a").await;
    scene.write(b, "followers-apart-b").await;
    scene.network.heal();
    let seen = all_agree(&scene.admins).await;
    let found = slugs(&seen);
    for slug in ["leader-is-deaf", "one-is-deaf", "followers-apart-a", "followers-apart-b"] {
        assert_eq!(found.iter().filter(|other| **other == slug).count(), 1, "{slug}: {found:?}");
    }
}
