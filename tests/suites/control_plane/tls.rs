//! Mutual TLS on the peer and watch ports.

use shared_proto::peer::DescribeRequest;
use shared_proto::peer::peer_client::PeerClient;
use tests::cluster::Cluster;
use tests::pod::{Plan, Pod};
use tests::wait::{PATIENCE, until};
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::tenant;
use super::watcher::Watcher;
use tests::pki::{Authority, Certified};

fn endpoint(address: &str, trusts: &Certified, shows: Option<&Certified>) -> Endpoint {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&trusts.ca));
    if let Some(own) = shows {
        tls = tls.identity(Identity::from_pem(&own.cert, &own.key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address is a URI's authority");
    endpoint.tls_config(tls).expect("the certificates are readable")
}

fn plaintext(address: &str) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}")).expect("an address is a URI's authority")
}

/// What an unsigned call comes to: the connection may be refused, or the call.
async fn describe(endpoint: Endpoint) -> Code {
    match endpoint.connect().await {
        Ok(channel) => match PeerClient::new(channel).describe(DescribeRequest::default()).await {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        },
        Err(_) => Code::Unavailable,
    }
}

#[tokio::test]
async fn three_nodes_with_certificates_replicate_serve_pods_and_refuse_everybody_else() {
    let authority = Authority::new("authority");
    let node = authority.certify("node");
    let mut cluster = Cluster::start_with(3, &node.flags()).await;
    let leader = cluster.leader().await;
    let mut revision = 0;
    for place in 0..3 {
        let admin = cluster.admin(place).await;
        revision = admin.post("/tenants", &tenant(&format!("from-{place}"))).await.expect(201).revision();
    }

    // Pods: by token over TLS, and with a certificate too.
    let control_plane = cluster.watch_urls().replace("http://", "https://");
    let own = authority.certify("pod");
    let [_, _, ca] = &own.files;
    for (name, flags) in [("pod-token", vec!["--tls-ca-file", ca]), ("pod-certificate", own.flags())] {
        let plan = Plan { name, control_plane: &control_plane, flags: &flags, ..Plan::default() };
        Pod::start(&plan, &cluster.secrets).await.has_revision(revision).await;
    }

    let other = Authority::new("stranger").certify("stranger");
    let (watch, raft) =
        (cluster.nodes[leader].addresses().watch.clone(), cluster.nodes[leader].addresses().raft.clone());
    // A certificate stands for the token; nothing stands for nothing.
    let mut by_certificate =
        Watcher::open(endpoint(&watch, &own, Some(&own)), "by-certificate", None, None).await.expect("it is let in");
    by_certificate.snapshot().await;
    let token = Some(cluster.secrets.watch_token.as_str());
    for (what, endpoint, token) in [
        ("no certificate, no token", endpoint(&watch, &own, None), None),
        ("no certificate, wrong token", endpoint(&watch, &own, None), Some("not-the-token-at-all")),
        ("another authority's certificate", endpoint(&watch, &own, Some(&other)), None),
        ("another authority's certificate and the token", endpoint(&watch, &own, Some(&other)), token),
        ("plaintext with the token", plaintext(&watch), token),
    ] {
        assert!(Watcher::open(endpoint, "stranger", token, None).await.is_err(), "{what}");
    }
    // Who trusts another authority does not talk to us.
    assert!(endpoint(&watch, &other, Some(&own)).connect().await.is_err());

    // With a certificate the call gets as far as the signature; without, not even there.
    assert_eq!(describe(endpoint(&raft, &own, Some(&own))).await, Code::Unauthenticated);
    for endpoint in [endpoint(&raft, &own, None), endpoint(&raft, &own, Some(&other)), plaintext(&raft)] {
        let code = describe(endpoint).await;
        assert!(![Code::Ok, Code::Unauthenticated].contains(&code), "{code:?}");
    }

    // A leader's death under TLS.
    cluster.nodes[leader].kill();
    let successor = cluster.leader().await;
    let _ = cluster.admin(successor).await.post("/tenants", &tenant("after")).await.expect(201);
}

#[tokio::test]
async fn a_node_with_another_authoritys_certificate_stays_outside() {
    let (ours, theirs) = (Authority::new("ours").certify("node"), Authority::new("theirs").certify("node"));
    let mut cluster = Cluster::prepare(3, &ours.flags());
    cluster.be_patient();
    let outsider = cluster.nodes[2].launch_mut();
    for (ours, theirs) in ours.files.iter().zip(&theirs.files) {
        for arg in outsider.args.iter_mut().filter(|arg| *arg == ours) {
            arg.clone_from(theirs);
        }
    }
    cluster.start_all().await;
    cluster.nodes[0].ready().await;
    cluster.nodes[1].ready().await;
    let admin = cluster.admin(0).await;
    let before = admin.get("/cluster/status").await.expect(200).json;
    for number in 0..20 {
        let _ = admin.post("/tenants", &tenant(&format!("without-it-{number}"))).await.expect(201);
    }
    let ready = tests::web::send(tests::web::client().get(format!("{}/readyz", cluster.nodes[2].ops_url()))).await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let after = admin.get("/cluster/status").await.expect(200).json;
    assert_eq!((&after["term"], &after["leader_id"]), (&before["term"], &before["leader_id"]));

    // With the right one it is taken in.
    cluster.nodes[2].kill();
    let outsider = cluster.nodes[2].launch_mut();
    for (ours, theirs) in ours.files.iter().zip(&theirs.files) {
        for arg in outsider.args.iter_mut().filter(|arg| *arg == theirs) {
            arg.clone_from(ours);
        }
    }
    cluster.nodes[2].start().await;
    cluster.nodes[2].ready().await;
    until("it has caught up", PATIENCE, async || {
        let status = cluster.admin(2).await.get("/cluster/status").await.expect(200).json;
        if status["applied_revision"] == status["commit_revision"] { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let _ = cluster.admin(2).await.get("/tenants/without-it-19").await.expect(200);
}

#[tokio::test]
async fn files_that_hold_no_certificates_are_a_bad_setting() {
    let certified = Authority::new("authority").certify("node");
    std::fs::write(&certified.files[0], "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n")
        .expect("a scratch file can be written");
    let cluster = Cluster::prepare(1, &certified.flags());
    let refused = cluster.nodes[0].run_with_env(&[]).await;
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    assert!(refused.output.contains(&certified.files[0]), "{}", refused.output);
    assert!(!cluster.nodes[0].data_dir().exists(), "nothing is touched");
}
