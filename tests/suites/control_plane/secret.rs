//! The peers' secret is replaced one node after the other, while writes go on: the old one counts in between, and not after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shared_proto::peer::DescribeRequest;
use tests::cluster::{Cluster, Secrets};
use tests::counters::count;
use tests::peer_call::{DESCRIBE, call, clock, framed, post, signer};
use tests::wait::PATIENCE;
use tests::web;
use tonic::Code;
use vocab::{ClusterId, NodeId};

use super::tenant;
use controlplane_daemon::signature::Receiver;

#[tokio::test]
async fn the_peers_secret_is_replaced_node_by_node_while_writes_go_on() {
    let mut cluster = Cluster::prepare(3, &[]);
    for node in &mut cluster.nodes {
        // The writer must find a node again after its restart.
        let address = format!("127.0.0.1:{}", tests::postgres::free_port());
        node.launch_mut().set("--admin-addr", &address);
    }
    cluster.start_all().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    let id: ClusterId =
        admin.get("/cluster/status").await.expect(200).text_of("cluster_id").parse().expect("an id is an id");
    let (old, new) = (cluster.secrets.cluster_hmac.clone(), Secrets::random().cluster_hmac);

    let stop = Arc::new(AtomicBool::new(false));
    let urls: Vec<String> = cluster.nodes.iter().map(tests::cluster::Node::admin_url).collect();
    let writer = tokio::spawn({
        let (admin, stop) = (admin.clone(), Arc::clone(&stop));
        async move {
            let (http, mut written, mut turn) = (web::client(), 0, 0);
            while !stop.load(Ordering::Relaxed) {
                let slug = format!("tenant-{written}");
                let request =
                    http.post(format!("{}/api/v1/tenants", urls[turn % urls.len()])).bearer_auth(admin.token());
                let request = request.header("idempotency-key", &slug).json(&tenant(&slug));
                match web::try_send(request).await {
                    Ok(answer) if answer.status == 201 => written += 1,
                    Ok(answer) => {
                        assert!([503, 504].contains(&answer.status), "{answer:#?}");
                        turn += 1;
                    }
                    // Its node is restarting.
                    Err(_) => turn += 1,
                }
            }
            written
        }
    });

    // A stranger with that secret, and how node 1 takes its call.
    let address = cluster.nodes[0].addresses().raft.clone();
    let receiver = Receiver::Node(NodeId(cluster.nodes[0].id));
    let knocks = async |secret: &str| {
        let body = framed(&DescribeRequest::default());
        let signature = signer(9, secret, Some(id), clock()).sign(receiver, post(DESCRIBE), &body);
        call(&address, DESCRIBE, signature.as_deref(), &body).await
    };
    assert_eq!((knocks(&old).await, knocks(&new).await), (Code::Ok, Code::Unauthenticated));
    for (secrets, by_old) in
        [(format!("{old},{new}"), Code::Ok), (format!("{new},{old}"), Code::Ok), (new.clone(), Code::Unauthenticated)]
    {
        for place in 0..3 {
            assert_eq!(cluster.nodes[place].stop(PATIENCE).await, Some(0));
            let env = &mut cluster.nodes[place].launch_mut().env;
            env.retain(|(name, _)| name != "CLUSTER_HMAC_SECRET");
            env.push(("CLUSTER_HMAC_SECRET".to_owned(), secrets.clone()));
            cluster.nodes[place].start().await;
            cluster.nodes[place].ready().await;
        }
        assert_eq!((knocks(&old).await, knocks(&new).await), (by_old, Code::Ok), "{by_old:?}");
    }
    let ops = cluster.nodes[0].ops_url();
    assert_eq!(count(&ops, "hj_cp_peer_rpc_refused_total", &[("reason", "mismatch")]).await, 1);
    stop.store(true, Ordering::Relaxed);
    let written = writer.await.expect("the writer did not panic");
    assert!(written > 0);
    for number in [0, written - 1] {
        let _ = admin.get(&format!("/tenants/tenant-{number}?consistency=linearizable")).await.expect(200);
    }
}
