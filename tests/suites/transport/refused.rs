//! Certificates that are wrong in every way, and callers that speak something else: refused, and counted by the reason.

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use tests::cluster::{Cluster, Secrets};
use tests::counters::count;
use tests::hello::{CBC_SHA1, STRONG, TLS_1_1, TLS_1_2, client_hello};
use tests::pki::{Authority, Certified, Validity, Wanted};
use tests::pod::{Plan, Pod};
use tests::tls::{self, HTTP2_PREFACE};
use tests::wait::{PATIENCE, until};
use tests::web;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a caller does once TCP is there.
enum Caller<'a> {
    /// Shows that and speaks HTTP/2.
    Shows(Option<&'a Certified>),
    /// TLS as it should be, then these words.
    Says(&'a Certified, &'a [u8]),
    /// Knows the authorities of this one, not the server's.
    Distrusts(&'a Certified),
    /// These bytes, without TLS of its own.
    Raw(&'a [u8]),
}

async fn call(address: &str, ca: &str, caller: &Caller<'_>) {
    match caller {
        Caller::Raw(bytes) => {
            let mut stream = TcpStream::connect(address).await.expect("the port is open");
            let _ = stream.write_all(bytes).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        Caller::Distrusts(own) => {
            let refused = tls::connect(address, &own.ca, None).await;
            assert!(refused.is_err(), "the server is a stranger");
        }
        Caller::Shows(certificate) => {
            let Ok(mut stream) = tls::connect(address, ca, *certificate).await else { return };
            // SETTINGS, empty: a whole beginning. The answer begins with theirs, unless the certificate was not liked.
            let words = [HTTP2_PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
            if stream.write_all(&words).await.is_ok() {
                let _ = stream.read(&mut [0; 64]).await;
            }
        }
        Caller::Says(certificate, words) => {
            let mut stream = tls::connect(address, ca, Some(certificate)).await.expect("the certificate is right");
            let _ = tls::talk(&mut stream, words).await;
        }
    }
}

#[tokio::test]
async fn who_must_not_connect_is_refused_and_counted_by_the_reason() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let node = authority.certify("node");
    let pod = authority.certify_pod("pods.example");
    let other_pod = authority.certify_pod("others.example");
    let by_uri = authority.certify_as(
        "by-uri",
        &Wanted { names: &["spiffe://example.org/hellojohn/pod"], purposes: &[ClientAuth], ..Wanted::default() },
    );
    let expired = authority.certify_as("expired", &Wanted { validity: Validity::Past, ..Wanted::default() });
    let early = authority.certify_as("early", &Wanted { validity: Validity::Future, ..Wanted::default() });
    let server_only = authority.certify_as("server", &Wanted { purposes: &[ServerAuth], ..Wanted::default() });
    let foreign = stranger.certify("node");

    let names = ["--tls-watch-names", "pods.example,spiffe://example.org/hellojohn/pod"];
    let [certificate, key, _] = &node.files;
    let admin = ["--admin-tls-cert-file", certificate, "--admin-tls-key-file", key];
    let mut cluster = Cluster::prepare(1, &[&node.flags()[..], &names, &admin].concat());
    // By certificate alone.
    cluster.nodes[0].launch_mut().env.retain(|(name, _)| name != "HJ_WATCH_TOKEN");
    cluster.start_all().await;
    cluster.ready().await;
    let (addresses, ops) = (cluster.nodes[0].addresses().clone(), cluster.nodes[0].ops_url());

    let old = client_hello(TLS_1_1, STRONG);
    let weak = client_hello(TLS_1_2, CBC_SHA1);
    let (peer, watch) = (("peer", &addresses.raft), ("watch", &addresses.watch));
    let admin = ("admin", &addresses.admin);
    let mut rows = vec![
        (peer, Caller::Shows(Some(&node)), "established"),
        (watch, Caller::Shows(Some(&pod)), "established"),
        (watch, Caller::Shows(Some(&by_uri)), "established"),
        // The same authority's, but a pod's: nothing for it at the peer port.
        (peer, Caller::Shows(Some(&pod)), "wrong_purpose"),
        (watch, Caller::Shows(Some(&other_pod)), "wrong_name"),
        (watch, Caller::Shows(Some(&node)), "wrong_name"),
    ];
    for port in [peer, watch] {
        rows.extend([
            (port, Caller::Shows(None), "no_certificate"),
            (port, Caller::Shows(Some(&expired)), "expired"),
            (port, Caller::Shows(Some(&early)), "not_yet_valid"),
            (port, Caller::Shows(Some(&foreign)), "unknown_authority"),
            (port, Caller::Shows(Some(&server_only)), "wrong_purpose"),
            (port, Caller::Raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "not_tls"),
            (port, Caller::Raw(HTTP2_PREFACE), "not_tls"),
            (port, Caller::Raw(&old), "incompatible"),
            (port, Caller::Raw(&weak), "incompatible"),
        ]);
    }
    rows.extend([
        (peer, Caller::Says(&node, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "not_http2"),
        (watch, Caller::Says(&pod, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "not_http2"),
        (peer, Caller::Says(&node, b""), "timed_out"),
        (watch, Caller::Raw(b""), "timed_out"),
    ]);
    // Callers of the admin API show no certificate, and need not speak HTTP/2.
    rows.extend([
        (admin, Caller::Shows(None), "established"),
        (admin, Caller::Distrusts(&foreign), "refused_by_other"),
        (admin, Caller::Raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "not_tls"),
        (admin, Caller::Raw(&old), "incompatible"),
        (admin, Caller::Raw(&weak), "incompatible"),
        (admin, Caller::Raw(b""), "timed_out"),
    ]);
    for ((port, address), caller, outcome) in &rows {
        let labels = [("port", *port), ("end", "server"), ("outcome", *outcome)];
        let before = count(&ops, "hj_cp_handshakes_total", &labels).await;
        call(address, &node.ca, caller).await;
        until(&format!("{outcome} is counted at {port}"), PATIENCE, async || {
            let now = count(&ops, "hj_cp_handshakes_total", &labels).await;
            if now == before + 1 { Ok(()) } else { Err(format!("{before} before, {now} now")) }
        })
        .await;
    }
    let end = count(&ops, "hj_cp_tls_certificate_not_after_seconds", &[("file", &node.files[0])]).await;
    assert!(end > 1_900_000_000, "the certificate's end is shown: {end}");
}

/// RFC 6797 §7.2: who came by TLS is told to come by it again, and nobody else.
#[tokio::test]
async fn only_an_answer_by_tls_demands_tls() {
    let authority = Authority::new("strict");
    let own = authority.certify("pod");
    let [cert, key, _] = own.files.each_ref().map(String::as_str);
    let cluster = Cluster::start(1).await;
    let control_plane = cluster.watch_urls();
    let flags = ["--tls-addr", "127.0.0.1:0", "--public-tls-cert-file", cert, "--public-tls-key-file", key];
    let plan = Plan { name: "pod", control_plane: &control_plane, flags: &flags, ..Plan::default() };
    let pod = Pod::start(&plan, &cluster.secrets).await;
    let trusted = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("PEM");
    let http = web::builder().tls_certs_only([trusted]).build().expect("a client");
    for (url, told) in [(format!("https://{}", pod.tls_address()), Some("max-age=31536000")), (pod.url(), None)] {
        let answer = web::send(http.get(format!("{url}/t/nobody/oauth2/jwks"))).await;
        assert_eq!(answer.header("strict-transport-security"), told, "{url}: {answer:?}");
    }
}

/// Applications that call a pod by TLS. Whose certificate is asked for may show any: it is judged with the request.
#[tokio::test]
async fn who_does_not_get_to_a_pod_is_counted_by_the_reason() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let (own, foreign) = (authority.certify("pod"), stranger.certify("client"));
    let expired = stranger.certify_as("expired", &Wanted { validity: Validity::Past, ..Wanted::default() });
    let [cert, key, ca] = own.files.each_ref().map(String::as_str);
    let cluster = Cluster::start(1).await;
    let control_plane = cluster.watch_urls();
    let flags = ["--tls-addr", "127.0.0.1:0", "--public-tls-cert-file", cert, "--public-tls-key-file", key];
    let asking = ["--tls-client-certificates", "request", "--client-ca-file", ca];
    let flags = [&flags[..], &asking].concat();
    let plan = Plan { name: "pod", control_plane: &control_plane, flags: &flags, ..Plan::default() };
    let pod = Pod::start(&plan, &cluster.secrets).await;
    let (old, weak) = (client_hello(TLS_1_1, STRONG), client_hello(TLS_1_2, CBC_SHA1));
    for (caller, outcome) in [
        (Caller::Shows(None), "established"),
        (Caller::Shows(Some(&foreign)), "established"),
        (Caller::Shows(Some(&expired)), "established"),
        (Caller::Distrusts(&foreign), "refused_by_other"),
        (Caller::Raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "not_tls"),
        (Caller::Raw(&old), "incompatible"),
        (Caller::Raw(&weak), "incompatible"),
        (Caller::Raw(b""), "timed_out"),
    ] {
        let (ops, labels) = (pod.ops_url(), [("port", "public"), ("end", "server"), ("outcome", outcome)]);
        let before = count(&ops, "hj_dp_handshakes_total", &labels).await;
        call(pod.tls_address(), &own.ca, &caller).await;
        until(&format!("{outcome} is counted"), PATIENCE, async || {
            let now = count(&ops, "hj_dp_handshakes_total", &labels).await;
            if now == before + 1 { Ok(()) } else { Err(format!("{before} before, {now} now")) }
        })
        .await;
    }
}

/// Addresses change, names do not: with names the host that was called does not matter, and no other name is let in.
#[tokio::test]
async fn peers_are_known_by_name_wherever_they_are() {
    let authority = Authority::new("authority");
    let named = Wanted { names: &["peer.hellojohn.internal"], ..Wanted::default() };
    let node = authority.certify_as("node", &named);
    let flags = [&node.flags()[..], &["--tls-peer-names", "peer.hellojohn.internal"]].concat();
    let cluster = Cluster::start_with(3, &flags).await;
    let leader = cluster.leader().await;
    let admin = cluster.admin((leader + 1) % 3).await;
    admin.create_tenant("by-name", serde_json::json!({})).await;

    // Good for servers, too, but not called so.
    let other = authority.certify("other");
    let labels = [("port", "peer"), ("end", "server"), ("outcome", "wrong_name")];
    let ops = cluster.nodes[0].ops_url();
    assert_eq!(count(&ops, "hj_cp_handshakes_total", &labels).await, 0);
    let address = &cluster.nodes[0].addresses().raft;
    let refused = tls::connect_to("peer.hellojohn.internal", address, &node.ca, Some(&other)).await;
    drop(refused);
    until("the stranger is counted", PATIENCE, async || match count(&ops, "hj_cp_handshakes_total", &labels).await {
        0 => Err("it is not".to_owned()),
        _ => Ok(()),
    })
    .await;
}

/// The other way round: a pod does not talk to a node whose certificate is not its host's, or whose authority is unknown.
#[tokio::test]
async fn a_pod_talks_to_no_node_that_it_does_not_know() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let elsewhere = Wanted { names: &["elsewhere.example"], ..Wanted::default() };
    let node = authority.certify_as("node", &elsewhere);
    let cluster = Cluster::start_with(1, &node.flags()).await;
    let control_plane = cluster.watch_urls().replace("http://", "https://");
    for (name, authority, outcome) in
        [("wrong-name", &authority, "wrong_name"), ("unknown", &stranger, "unknown_authority")]
    {
        let own = authority.certify_pod(name);
        let plan = Plan { name, control_plane: &control_plane, flags: &own.flags(), ..Plan::default() };
        let mut pod = Pod::prepare(&plan, &cluster.secrets);
        pod.start_again().await;
        let labels = [("port", "watch"), ("end", "client"), ("outcome", outcome)];
        until(&format!("{outcome} is counted by the pod"), PATIENCE, async || {
            match count(&pod.ops_url(), "hj_dp_handshakes_total", &labels).await {
                0 => Err(pod.process().log()),
                _ => Ok(()),
            }
        })
        .await;
    }
}

/// Each bad file is named, with what is wrong with it, and nothing is started.
#[tokio::test]
async fn a_program_does_not_start_with_files_that_are_of_no_use() {
    let authority = Authority::new("authority");
    let (good, other) = (authority.certify("good"), authority.certify("other"));
    let expired = authority.certify_as("expired", &Wanted { validity: Validity::Past, ..Wanted::default() });
    let [cert, key, ca] = good.files.each_ref().map(String::as_str);
    let rows = [
        ([&*expired.files[0], &*expired.files[1], ca], &*expired.files[0], "expired"),
        ([cert, &*other.files[1], ca], &*other.files[1], "not the key"),
        ([key, key, ca], key, "no certificate"),
        ([cert, cert, ca], cert, "no private key"),
        ([cert, key, key], key, "no certificate"),
    ];
    for ([cert, key, ca], culprit, why) in rows {
        let flags = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-file", ca];
        let finished = Cluster::prepare(1, &flags).nodes[0].run_with_env(&[]).await;
        assert_eq!(finished.code, Some(78), "{}", finished.output);
        assert!(finished.output.contains(culprit) && finished.output.contains(why), "{why}: {}", finished.output);

        let plan = Plan { name: "pod", control_plane: "https://127.0.0.1:1", flags: &flags, ..Plan::default() };
        let finished = Pod::prepare(&plan, &Secrets::random()).run_with_env(&[]).await;
        assert_eq!(finished.code, Some(78), "{}", finished.output);
        assert!(finished.output.contains(culprit) && finished.output.contains(why), "{why}: {}", finished.output);
    }
}
