//! Callers that open connections and say nothing, or nothing whole: many more than a port takes. Nobody else notices.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::counters::count;
use tests::pki::Authority;
use tests::pod::{Plan, Pod};
use tests::tls;
use tests::wait::{PATIENCE, until};
use tests::web;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// The beginning of a TLS record that announces more.
const HALF_A_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1];

/// A port that has so many who have not shown themselves yet has closed the oldest.
const SHED_FROM: usize = 1_100;

/// Half of them say nothing, the others begin and stop.
async fn open(address: &str, many: usize) -> Vec<TcpStream> {
    let mut held = Vec::with_capacity(many);
    for number in 0..many {
        // The port may close old ones meanwhile, but it must go on to accept.
        let mut stream = TcpStream::connect(address).await.expect("the port accepts");
        if number % 2 == 0 {
            let _ = stream.write_all(HALF_A_HELLO).await;
        }
        held.push(stream);
    }
    held
}

#[tokio::test]
async fn ten_thousand_connections_that_say_nothing_harm_nobody_else() {
    let authority = Authority::new("authority");
    let (node, own) = (authority.certify("node"), authority.certify_pod("pod"));
    let [cert, key, _] = node.files.each_ref().map(String::as_str);
    let flags = [&node.flags()[..], &["--admin-tls-cert-file", cert, "--admin-tls-key-file", key]].concat();
    let mut cluster = Cluster::prepare(3, &flags);
    cluster.be_patient();
    cluster.start_all().await;
    cluster.ready().await;
    let control_plane = cluster.watch_urls().replace("http://", "https://");
    let public = ["--tls-addr", "127.0.0.1:0", "--public-tls-cert-file", cert, "--public-tls-key-file", key];
    let flags = [&own.flags()[..], &public].concat();
    let plan = Plan { name: "pod", control_plane: &control_plane, flags: &flags, ..Plan::default() };
    let pod = Pod::start(&plan, &cluster.secrets).await;
    let authorities = reqwest::Certificate::from_pem_bundle(node.ca.as_bytes()).expect("PEM");
    let http = web::builder().tls_certs_only(authorities).build().expect("an HTTP client can be made");
    let owner = async |place: usize| {
        let url = format!("https://{}", cluster.nodes[place].addresses().admin);
        until("the owner signs in", PATIENCE, async || {
            Admin::sign_in_with(http.clone(), &url, &cluster.secrets.owner).await
        })
        .await
    };
    let admin = owner(0).await;
    let before = admin.get("/cluster/status").await.expect(200).json;

    // This process holds the other ends of all of them.
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).expect("as many as are allowed");
    let many = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(1_000).min(10_000) / 10;
    let at = cluster.nodes[0].addresses().clone();
    let mut held = open(&at.raft, 3 * many).await;
    held.extend(open(&at.watch, 3 * many).await);
    held.extend(open(&at.admin, 2 * many).await);
    held.extend(open(pod.tls_address(), 2 * many).await);
    println!("{} connections that say nothing, of {limit} files that this process may open", held.len());
    // More than a port holds of them. Whether it is ten thousand, the machine's limit tells.
    assert!(3 * many > SHED_FROM, "`ulimit -Hn` is {limit}: too few files for this test");

    // At the very ports: an operator who comes now, a write, a pod's stream, a peer's certificate, a person.
    let newcomer = owner(0).await;
    let revision = newcomer.create_tenant("meanwhile", json!({})).await.revision();
    pod.has_revision(revision).await;
    let mut late = Plan { name: "late-pod", ..plan };
    late.flags = &flags;
    Pod::start(&late, &cluster.secrets).await.has_revision(revision).await;
    let mut stream = tls::connect(pod.tls_address(), &node.ca, None).await.expect("it is accepted");
    assert_eq!(tls::ask(&mut stream, "/login").await.expect("it is answered"), 404);
    let after = admin.get("/cluster/status").await.expect(200).json;
    assert_eq!((&after["term"], &after["leader_id"]), (&before["term"], &before["leader_id"]));

    let ops = cluster.nodes[0].ops_url();
    for port in ["peer", "watch"] {
        let gone = async |outcome| {
            count(&ops, "hj_cp_handshakes_total", &[("port", port), ("end", "server"), ("outcome", outcome)]).await
        };
        assert!(gone("shed").await > 0, "{port}: the oldest made room");
        until("all of them are gone, though their other ends are still held", PATIENCE, async || {
            let all = gone("shed").await + gone("timed_out").await;
            if all >= 3 * many as u64 { Ok(()) } else { Err(format!("{all} of {}", 3 * many)) }
        })
        .await;
    }
    drop(held);
}
