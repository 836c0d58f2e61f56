//! Nodes that find their cluster by themselves, and those that must not.

use std::net::SocketAddr;

use tests::cluster::Cluster;
use tests::name_server::{NameServer, nobody, one_node};
use tests::postgres::free_port;
use tests::wait::{PATIENCE, until};

use super::{is_written, member, member_is, metric, not_ready_because, voters_are};

/// A cluster of one that takes in whoever may, and where to ask it.
async fn hub(flags: &[&str]) -> (Cluster, String) {
    let mut cluster = Cluster::prepare(1, flags);
    cluster.nodes[0].start().await;
    cluster.ready().await;
    let seed = cluster.nodes[0].addresses().admin.clone();
    (cluster, seed)
}

#[tokio::test]
async fn nodes_join_by_seeds_become_voters_and_are_found_after_they_moved() {
    let (mut cluster, seed) = hub(&["--join-admission", "voter"]).await;
    let admin = cluster.admin(0).await;
    for id in [2, 3] {
        // The first seed is nobody.
        let seeds = format!("127.0.0.1:{},{seed}", free_port());
        let place = cluster.prepare_node(id, &["--join-admission", "voter", "--discovery-seeds", &seeds]);
        cluster.nodes[place].start().await;
        cluster.nodes[place].ready().await;
    }
    voters_are(&admin, &[1, 2, 3]).await;
    let joined = member_is(&admin, 3, "known", |it| it["promotion_pending"] == false).await;
    assert_eq!(joined["source"], "gossip");
    assert_eq!(joined["version"], env!("CARGO_PKG_VERSION"));
    assert!(joined["last_seen"].is_string() && joined["admin_url"].is_string(), "{joined:#}");

    // All but one are rescheduled, one after the other, the leader of the time included.
    for place in [2, 1, 0] {
        let address = moves(&mut cluster, place).await;
        let id = cluster.nodes[place].id;
        let asked = cluster.admin((place + 1) % 3).await;
        member_is(&asked, id, "where it is now", |it| it["peer_addr"] == address.as_str()).await;
        is_written(&asked, &format!("moved-{id}")).await;
    }
    // Even if all move at once, as long as they find each other: the seed is told anew.
    cluster.kill_all();
    let admin_port = free_port();
    cluster.nodes[0].launch_mut().set("--admin-addr", &format!("127.0.0.1:{admin_port}"));
    for place in 0..3 {
        somewhere_else(&mut cluster, place);
        if place > 0 {
            let launch = cluster.nodes[place].launch_mut();
            launch.set("--discovery-seeds", &format!("127.0.0.1:{admin_port}"));
        }
    }
    cluster.start_all().await;
    cluster.ready().await;
    is_written(&cluster.admin(1).await, "all-moved").await;
}

#[tokio::test]
async fn nodes_join_by_dns_whichever_records_it_has() {
    let (mut cluster, seed) = hub(&[]).await;
    let seed: SocketAddr = seed.parse().expect("an address");
    let names = NameServer::start("127.0.0.1:0", nobody()).await;
    let resolver = names.address().to_string();
    let by_address = format!("cp.test:{}", seed.port());
    let join = |name: &str| ["--join-only", "--discover-dns", name, "--dns-resolver", &resolver].map(str::to_owned);
    let admin = cluster.admin(0).await;
    let by_new_address = format!("cp6.test:{}", seed.port());
    for (id, name) in [(2, by_address.as_str()), (3, "_admin._tcp.cp.test"), (4, &by_new_address)] {
        let flags = join(name);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let place = cluster.prepare_node(id, &flags);
        cluster.nodes[place].start().await;
        // Nobody is listed yet: it goes on asking.
        until("the name was asked for", PATIENCE, async || {
            if names.questions() > 0 { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
        assert!(member(&admin, id).await.is_none());
        names.set(one_node(seed));
        let joined = member_is(&admin, id, "a learner", |it| it["role"] == "learner").await;
        assert_eq!(joined["source"], "dns");
        cluster.nodes[place].ready().await;
        names.set(nobody());
    }
}

/// The cluster has moved while it was away, and so has it: no address that it or anybody else knows is right any more.
#[tokio::test]
async fn a_member_finds_its_cluster_by_dns_and_is_found_by_its_id_wherever_both_have_moved() {
    let (mut cluster, seed) = hub(&["--join-admission", "voter"]).await;
    let names = NameServer::start("127.0.0.1:0", one_node(seed.parse().expect("an address"))).await;
    let resolver = names.address().to_string();
    for id in [2, 3] {
        let by_dns =
            ["--join-admission", "voter", "--discover-dns", "_admin._tcp.cp.test", "--dns-resolver", &resolver];
        let place = cluster.prepare_node(id, &by_dns);
        cluster.nodes[place].start().await;
        cluster.nodes[place].ready().await;
    }
    let (away, id) = (2, 3);
    voters_are(&cluster.admin(0).await, &[1, 2, 3]).await;
    let before = member_is(&cluster.admin(0).await, id, "known", |it| it["promotion_pending"] == false).await;
    cluster.nodes[away].kill();
    // One after the other, so that each learns of the other's new place: by the table, which also has where it is asked.
    // Who stops forgets what it only heard, and whether the newest entry was committed: there is one behind that.
    for place in [0, 1] {
        moves(&mut cluster, place).await;
        let (asked, admin_url) = (cluster.admin(1 - place).await, cluster.nodes[place].admin_url());
        let moved = cluster.nodes[place].id;
        member_is(&asked, moved, "where it is now", |it| it["admin_url"] == admin_url.as_str()).await;
        is_written(&asked, &format!("moved-{moved}")).await;
    }
    let admin = cluster.admin(1).await;
    is_written(&admin, "meanwhile").await;

    // DNS still has what was right once.
    names.set(one_node(([127, 0, 0, 1], free_port()).into()));
    let address = somewhere_else(&mut cluster, away);
    cluster.nodes[away].start().await;
    let asked_before = names.questions();
    until("the name was asked for again and again", PATIENCE, async || {
        // Of each name the service and the address.
        let questions = names.questions() - asked_before;
        if questions > 6 { Ok(()) } else { Err(format!("{questions} questions")) }
    })
    .await;
    not_ready_because(&cluster, away, "no leader has answered yet").await;
    let stale = member(&admin, id).await.expect("it is a member");
    assert_eq!(stale["peer_addr"], before["peer_addr"], "nobody knows better");

    names.set(one_node(cluster.nodes[1].addresses().admin.parse().expect("an address")));
    let leader = cluster.leader().await;
    let found = member_is(&cluster.admin(leader).await, id, "found and filled", |it| {
        it["peer_addr"] == address.as_str() && it["answers"] == true && it["lag"] == 0
    })
    .await;
    assert_eq!((&found["source"], &found["role"]), (&"dns".into(), &"voter".into()));
    assert_eq!(found["joined_at"], before["joined_at"], "the same member as before");
    assert!(found["last_seen"].as_str() > stale["last_seen"].as_str(), "{found:#}");
    cluster.nodes[away].ready().await;
    let _ = cluster.admin(away).await.get("/tenants/meanwhile").await.expect(200);
    voters_are(&admin, &[1, 2, 3]).await;
}

/// As a pod that is rescheduled; where it is to be now.
fn somewhere_else(cluster: &mut Cluster, place: usize) -> String {
    let address = format!("127.0.0.1:{}", free_port());
    for flag in ["--raft-addr", "--advertise-addr"] {
        cluster.nodes[place].launch_mut().set(flag, &address);
    }
    address
}

async fn moves(cluster: &mut Cluster, place: usize) -> String {
    cluster.nodes[place].kill();
    let address = somewhere_else(cluster, place);
    cluster.nodes[place].start().await;
    cluster.nodes[place].ready().await;
    address
}

#[tokio::test]
async fn a_preferred_node_makes_a_cluster_and_joins_one_that_is_there() {
    let mut cluster = Cluster::prepare(0, &[]);
    let ports = [free_port(), free_port()];
    for id in [1_u64, 2] {
        let other = format!("127.0.0.1:{}", ports[usize::from(id == 1)]);
        let own = format!("127.0.0.1:{}", ports[usize::from(id == 2)]);
        let flags = ["--bootstrap-preferred=cp-2", "--join-admission", "voter", "--discovery-seeds", &other];
        let place = cluster.prepare_node(id, &flags);
        cluster.nodes[place].launch_mut().set("--admin-addr", &own);
    }
    cluster.start_all().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    voters_are(&admin, &[1, 2]).await;
    assert!(cluster.nodes[1].process_mut().log().contains("initialising a cluster"));
    assert!(!cluster.nodes[0].process_mut().log().contains("initialising a cluster"));
    // The preferred one loses its disk: it must not begin another cluster.
    let id = admin.get("/cluster/status").await.expect(200).text_of("cluster_id");
    let _ = admin.post("/cluster/transfer-leader", &serde_json::json!({ "to": 1 })).await.expect(200);
    cluster.nodes[1].kill();
    std::fs::remove_dir_all(cluster.nodes[1].data_dir()).expect("the folder can be removed");
    cluster.nodes[1].start().await;
    cluster.nodes[1].ready().await;
    assert_eq!(cluster.admin(1).await.get("/cluster/status").await.expect(200).text_of("cluster_id"), id);
}

#[tokio::test]
async fn a_stranger_is_refused_on_both_sides_and_counted() {
    let (mut cluster, seed) = hub(&[]).await;
    // Another installation with the very same secrets, whose node is told to join ours.
    let stranger = cluster.prepare_node(2, &[]);
    cluster.nodes[stranger].start().await;
    cluster.nodes[stranger].ready().await;
    cluster.nodes[stranger].kill();
    cluster.nodes[stranger].launch_mut().args.extend(["--discovery-seeds".to_owned(), seed.clone()]);
    // It has a log of its own, so it must find nobody who follows: its cluster of one would lead itself.
    cluster.nodes[stranger].start().await;
    until("it says that it is not taken in", PATIENCE, async || {
        let log = cluster.nodes[stranger].process().log();
        let says = log.lines().any(|line| line.contains("not taken in") && line.contains("another cluster"));
        if says { Ok(()) } else { Err(log) }
    })
    .await;
    let admin = cluster.admin(0).await;
    let before = admin.get("/cluster/status").await.expect(200).json["term"].clone();
    let ours = super::signature::signer(7, &cluster.secrets.cluster_hmac, Some(super::signature::OTHER));
    let answer = super::signature::join(&seed, &ours, 7).await;
    assert_eq!(answer.status, 401, "{answer:#?}");
    assert!(answer.text_of("detail").contains("another cluster"), "{answer:#?}");
    assert!(cluster.nodes[0].process_mut().log().contains("another cluster"));
    assert!(metric(&cluster, 0, "hj_cp_joins_refused_total").await >= 1.0);
    assert!(metric(&cluster, 0, "hj_cp_peer_rpc_refused_total").await >= 1.0);

    // Unsigned, with another secret, and replayed.
    let good = super::signature::signer(7, &cluster.secrets.cluster_hmac, None);
    let wrong = super::signature::signer(7, "another-secret-of-quite-enough-bytes", None);
    assert_eq!(super::signature::join(&seed, &wrong, 7).await.status, 401);
    assert_eq!(super::signature::send(&seed, None, &super::signature::body(7)).await.status, 401);
    assert_eq!(super::signature::join(&seed, &good, 8).await.status, 403, "for itself only");
    let body = super::signature::body(7);
    let signed = super::signature::sign(&good, &body);
    assert_eq!(super::signature::send(&seed, Some(&signed), &body).await.status, 200);
    assert_eq!(super::signature::send(&seed, Some(&signed), &body).await.status, 401, "a replay");
    assert_eq!(admin.get("/cluster/status").await.expect(200).json["term"], before);
    assert_eq!(member(&admin, 7).await.expect("it was taken in")["role"], "learner");
}

#[tokio::test]
async fn only_who_was_added_joins_where_nobody_else_may() {
    let (mut cluster, seed) = hub(&["--join-admission", "nobody"]).await;
    let admin = cluster.admin(0).await;
    let place = cluster.prepare_node(2, &["--join-only", "--discovery-seeds", &seed]);
    cluster.nodes[place].start().await;
    until("it says why it is not taken in", PATIENCE, async || {
        let log = cluster.nodes[place].process_mut().log();
        if log.contains("only nodes that an administrator has added") { Ok(()) } else { Err("it does not".to_owned()) }
    })
    .await;
    assert!(member(&admin, 2).await.is_none());
    // Signed as it must be, by a node that nobody has added: about itself, and about the one that knocks.
    let nobody = super::signature::signer(7, &cluster.secrets.cluster_hmac, None);
    for about in [7, 2] {
        let refused = super::signature::join(&seed, &nobody, about).await.expect(403);
        assert_eq!(refused.code(), "forbidden");
        assert!(member(&admin, about).await.is_none());
    }
    // By what pods have: known, and no node.
    let pod = super::signature::signer(7, &cluster.secrets.watch_token, None);
    let _ = super::signature::join(&seed, &pod, 7).await.expect(403);
    let address = cluster.nodes[place].raft_addr();
    let body = serde_json::json!({ "id": 2, "peer_addr": address, "role": "voter" });
    let _ = admin.post("/cluster/members", &body).await.expect(201);
    voters_are(&admin, &[1, 2]).await;
    cluster.nodes[place].ready().await;
}

/// What a StatefulSet does: the same settings for every ordinal, from 0 on, more of them later, fewer again.
#[tokio::test]
async fn nodes_of_one_template_make_a_cluster_and_more_of_them_join_it() {
    let names = NameServer::start("127.0.0.1:0", nobody()).await;
    let resolver = names.address().to_string();
    let ports: Vec<u16> = (0..4).map(|_| free_port()).collect();
    let peers = ports.iter().take(3).enumerate().map(|(id, port)| format!("{id}=127.0.0.1:{port}"));
    let peers = peers.collect::<Vec<_>>().join(",");
    let template = [
        "--peers",
        &peers,
        "--discover-dns",
        "_admin._tcp.cp.test",
        "--dns-resolver",
        &resolver,
        "--join-admission",
        "voter",
    ];
    let mut cluster = Cluster::prepare(0, &[]);
    for (id, port) in (0_u64..4).zip(&ports) {
        let place = cluster.prepare_node(id, &template);
        let launch = cluster.nodes[place].launch_mut();
        launch.set("--node-id", &format!("controlplane-{id}"));
        for flag in ["--raft-addr", "--advertise-addr"] {
            launch.set(flag, &format!("127.0.0.1:{port}"));
        }
    }
    // All of the first size at once, as with parallel pod management.
    for place in 0..3 {
        cluster.nodes[place].start().await;
    }
    for place in 0..3 {
        cluster.nodes[place].ready().await;
    }
    let admin = cluster.admin(0).await;
    voters_are(&admin, &[0, 1, 2]).await;
    names.set(one_node(cluster.nodes[0].addresses().admin.parse().expect("an address")));
    cluster.nodes[3].start().await;
    cluster.nodes[3].ready().await;
    voters_are(&admin, &[0, 1, 2, 3]).await;
    assert!(!cluster.nodes[3].process_mut().log().contains("initialising a cluster"));

    // Scaled down: removed first, stopped after.
    let _ = admin.delete("/cluster/members/3").await.expect(204);
    voters_are(&admin, &[0, 1, 2]).await;
    cluster.nodes[3].kill();
    is_written(&admin, "after-scaling").await;

    // The lowest founder comes back with an empty disk: it makes no second cluster.
    let id = admin.get("/cluster/status").await.expect(200).text_of("cluster_id");
    let _ = admin.post("/cluster/transfer-leader", &serde_json::json!({ "to": 1 })).await.expect(200);
    cluster.nodes[0].kill();
    std::fs::remove_dir_all(cluster.nodes[0].data_dir()).expect("the folder can be removed");
    cluster.nodes[0].start().await;
    cluster.nodes[0].ready().await;
    assert_eq!(cluster.admin(0).await.get("/cluster/status").await.expect(200).text_of("cluster_id"), id);
}
