//! Certificates, keys and authorities are replaced while writes and watches go on: nothing is dropped, and newcomers see
//! the new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use shared_proto::watch::event::Kind;
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::counters::count;
use tests::pki::{Authority, Certified, Mount};
use tests::pod::{Plan, Pod};
use tests::tls;
use tests::wait::{PATIENCE, until};
use tests::web;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::watcher::Watcher;

/// An admin client that trusts exactly these authorities.
fn trusting(ca: &str) -> reqwest::Client {
    let authorities = reqwest::Certificate::from_pem_bundle(ca.as_bytes()).expect("PEM");
    web::builder().tls_certs_only(authorities).build().expect("an HTTP client can be made")
}

async fn owner(cluster: &Cluster, place: usize, ca: &str) -> Admin {
    let url = format!("https://{}", cluster.nodes[place].addresses().admin);
    until("the owner signs in", PATIENCE, async || {
        Admin::sign_in_with(trusting(ca), &url, &cluster.secrets.owner).await
    })
    .await
}

/// Creates tenants one after the other until told to stop; every one must be acknowledged. The last one's revision.
fn write(admins: Vec<Admin>, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<(usize, u64)> {
    tokio::spawn(async move {
        let (mut written, mut revision) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            let admin = &admins[written % admins.len()];
            revision = admin.create_tenant(&format!("tenant-{written}"), json!({})).await.revision();
            written += 1;
        }
        (written, revision)
    })
}

/// Reads the watch to that revision; it must not end, nor skip anything.
async fn follow(mut watcher: Watcher, target: tokio::sync::watch::Receiver<Option<u64>>) -> u64 {
    let mut seen = watcher.snapshot().await.0.revision;
    while target.borrow().is_none_or(|target| seen < target) {
        match watcher.next().await {
            Kind::Delta(delta) => {
                assert_eq!(delta.revision, seen + 1, "nothing is skipped");
                seen = delta.revision;
            }
            other => panic!("{other:?}"),
        }
    }
    seen
}

async fn shown_by_all(addresses: &[String], certified: &Certified) {
    for address in addresses {
        until("newcomers are shown the new certificate", PATIENCE, async || tls::is_shown(address, certified).await)
            .await;
    }
}

async fn still_answer(open: &mut [(TlsStream<TcpStream>, &str, u16)]) {
    for (stream, path, status) in open {
        assert_eq!(tls::ask(stream, path).await.expect("the connection lives on"), *status, "{path}");
    }
}

#[tokio::test]
async fn certificates_and_authorities_are_replaced_under_way_and_nobody_is_cut_off() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (first, second, third) = (old.certify("first"), old.certify("second"), new.certify("third"));
    let (old_pod, new_pod) = (old.certify_pod("pod-old"), new.certify_pod("pod-new"));
    let nodes = Mount::new("nodes", &first, &old.pem());
    let pods = Mount::new("pods", &old_pod, &old.pem());
    let both = [old.pem(), new.pem()].concat();

    let mut flags = nodes.flags();
    flags.extend(["--admin-tls-cert-file".to_owned(), nodes.file("tls.crt")]);
    flags.extend(["--admin-tls-key-file".to_owned(), nodes.file("tls.key")]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut cluster = Cluster::prepare(3, &flags);
    cluster.be_patient();
    for node in &mut cluster.nodes {
        // By certificate alone.
        node.launch_mut().env.retain(|(name, _)| name != "HJ_WATCH_TOKEN");
    }
    cluster.start_all().await;
    cluster.ready().await;
    let control_plane = cluster.watch_urls().replace("http://", "https://");
    let mut flags = pods.flags();
    flags.extend(["--tls-addr", "127.0.0.1:0"].map(ToOwned::to_owned));
    flags.extend(["--public-tls-cert-file".to_owned(), nodes.file("tls.crt")]);
    flags.extend(["--public-tls-key-file".to_owned(), nodes.file("tls.key")]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let plan = Plan { name: "pod", control_plane: &control_plane, flags: &flags, ..Plan::default() };
    let pod = Pod::start(&plan, &cluster.secrets).await;

    let admin = owner(&cluster, 0, &old.pem()).await;
    let status = admin.get("/cluster/status").await.expect(200).json;
    let leader = cluster.nodes.iter().position(|node| Some(node.id) == status["leader_id"].as_u64()).expect("a leader");
    let (restarted, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let stop = Arc::new(AtomicBool::new(false));
    let writers = vec![owner(&cluster, leader, &old.pem()).await, owner(&cluster, other, &old.pem()).await];
    let writer = write(writers, Arc::clone(&stop));
    let endpoint = {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(old.pem()));
        let tls = tls.identity(Identity::from_pem(&old_pod.cert, &old_pod.key));
        let endpoint = Endpoint::from_shared(format!("https://{}", cluster.nodes[other].addresses().watch));
        endpoint.expect("a URL").tls_config(tls).expect("the certificates are readable")
    };
    let watcher = Watcher::open(endpoint, "by-hand", None, None).await.expect("it is let in");
    let (target, targets) = tokio::sync::watch::channel(None);
    let watching = tokio::spawn(follow(watcher, targets));

    // Every port, and a connection that stays open at those that speak HTTP/1.1.
    let mut ports = vec![pod.tls_address().to_owned()];
    for node in &cluster.nodes {
        let at = node.addresses();
        ports.extend([at.raft.clone(), at.watch.clone(), at.admin.clone()]);
    }
    shown_by_all(&ports, &first).await;
    let (mut open, public) = (Vec::new(), pod.tls_address().to_owned());
    for (address, path, status) in
        [(&cluster.nodes[other].addresses().admin, "/api/v1/tenants", 401), (&public, "/login", 404)]
    {
        open.push((tls::connect(address, &old.pem(), None).await.expect("it is trusted"), path, status));
    }
    still_answer(&mut open).await;

    // A new certificate of the same authority.
    nodes.put(&second, &old.pem());
    shown_by_all(&ports, &second).await;
    still_answer(&mut open).await;

    // Of no use: the key is another's. Counted, and nothing changes.
    nodes.put_texts(&third.cert, &second.key, &old.pem());
    let ops = cluster.nodes[leader].ops_url();
    until("the bad files are counted", PATIENCE, async || {
        // Of the cluster's certificates and of the admin API's.
        match count(&ops, "hj_cp_tls_reloads_total", &[("outcome", "refused")]).await {
            2 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    shown_by_all(&ports, &second).await;

    // A new authority: beside the old one, then its certificates, then alone.
    let replaced = count(&ops, "hj_cp_tls_reloads_total", &[("outcome", "replaced")]).await;
    nodes.put(&second, &both);
    pods.put(&old_pod, &both);
    for node in &cluster.nodes {
        let ops = node.ops_url();
        until("both authorities are trusted", PATIENCE, async || {
            let now = count(&ops, "hj_cp_tls_reloads_total", &[("outcome", "replaced")]).await;
            if now > replaced { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    }
    nodes.put(&third, &both);
    pods.put(&new_pod, &both);
    shown_by_all(&ports, &third).await;
    nodes.put(&third, &new.pem());
    pods.put(&new_pod, &new.pem());
    for (port, address, own) in [
        ("peer", &cluster.nodes[leader].addresses().raft, &second),
        ("watch", &cluster.nodes[leader].addresses().watch, &old_pod),
    ] {
        let labels = [("port", port), ("end", "server"), ("outcome", "unknown_authority")];
        let before = count(&ops, "hj_cp_handshakes_total", &labels).await;
        until("the old authority is forgotten", PATIENCE, async || {
            let shown = tls::connect(address, &new.pem(), Some(own)).await;
            drop(shown);
            let now = count(&ops, "hj_cp_handshakes_total", &labels).await;
            if now > before { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    }
    still_answer(&mut open).await;
    assert!(!pod.process().log().contains("no watch from there"), "the pod's stream was not cut");
    let after = admin.get("/cluster/status").await.expect(200).json;
    assert_eq!(
        (&after["term"], &after["leader_id"]),
        (&status["term"], &status["leader_id"]),
        "nobody missed the leader"
    );

    // A node that starts anew connects to everybody with the new ones alone.
    cluster.nodes[restarted].kill();
    cluster.nodes[restarted].start().await;
    cluster.nodes[restarted].ready().await;
    stop.store(true, Ordering::Relaxed);
    let (written, revision) = writer.await.expect("every write was acknowledged");
    assert!(written > 20, "{written} writes");
    target.send_replace(Some(revision));
    let admin = owner(&cluster, restarted, &new.pem()).await;
    // One more: the watch may have seen all of them before it was told which is the last.
    let _ = admin.create_tenant("one-more", json!({})).await;
    assert!(watching.await.expect("the watch went on") >= revision);
    pod.has_revision(revision).await;
    let _ = admin.get(&format!("/tenants/tenant-{}?consistency=linearizable", written - 1)).await.expect(200);
}

/// The admin API over TLS as operators use it: trusted by the file that is named, and by no other.
#[tokio::test]
async fn the_command_line_trusts_the_authority_it_is_given() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let node = authority.certify("node");
    let [cert, key, ca] = node.files.each_ref().map(String::as_str);
    let mut cluster = Cluster::prepare(1, &["--admin-tls-cert-file", cert, "--admin-tls-key-file", key]);
    cluster.start_all().await;
    cluster.ready().await;
    let server = format!("https://{}", cluster.nodes[0].addresses().admin);
    let home = tests::scratch::folder("home");
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(tests::programs::hellojohn());
        command.env_clear().env("HOME", &home).env("NO_COLOR", "1").args(args);
        command.output().expect("hellojohn runs")
    };
    let login = ["login", "--server", &server, "--credential", &cluster.secrets.owner];
    assert!(!run(&login).status.success(), "the system's authorities do not know it");
    let foreign = stranger.certify("other");
    assert!(!run(&[&login[..], &["--ca-file", &foreign.files[2]]].concat()).status.success());
    let output = run(&[&login[..], &["--ca-file", ca]].concat());
    assert!(output.status.success(), "{output:?}");
    // The profile remembers it.
    let output = run(&["tenant", "list"]);
    assert!(output.status.success(), "{output:?}");
}
