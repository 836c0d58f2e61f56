//! What TLS is spoken at each port, whatever is offered: 1.2 with AEAD suites, and 1.3 (RFC 9325 §3.1.1, §4.2.1).

use std::process::Stdio;

use rustls::ProtocolVersion;
use tests::cluster::Cluster;
use tests::counters::count;
use tests::hello::{Answer, CBC_SHA1, SSL_3, STRONG, TLS_1_0, TLS_1_1, TLS_1_2, answer_to, client_hello};
use tests::pki::{Authority, Certified, Wanted};
use tests::pod::{Plan, Pod};
use tests::tls;
use tests::tools;
use tests::wait::{PATIENCE, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

/// Alerts (RFC 8446 §6, RFC 6066 §3).
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;

/// By their numbers at IANA.
const WEAK: &[(&str, [u8; 2])] = &[
    ("no encryption", [0x00, 0x02]),
    ("export", [0x00, 0x03]),
    ("RC4", [0x00, 0x05]),
    ("single DES", [0x00, 0x09]),
    ("3DES", [0x00, 0x0a]),
    ("nobody's certificate", [0x00, 0x34]),
    ("CBC with SHA-1, RSA key exchange", [0x00, 0x2f]),
    ("GCM, RSA key exchange", [0x00, 0x9c]),
    ("ECDHE with RC4", [0xc0, 0x07]),
    ("ECDHE with 3DES", [0xc0, 0x08]),
    ("ECDHE with CBC and SHA-1", CBC_SHA1),
    ("ECDHE with CBC and SHA-256", [0xc0, 0x23]),
    ("DHE with GCM", [0x00, 0x9e]),
];

/// A node and a pod with TLS at every port that can have it.
struct Encrypted {
    certified: Certified,
    cluster: Cluster,
    pod: Pod,
}

impl Encrypted {
    async fn start(name: &str, wanted: &Wanted<'_>) -> Self {
        let authority = Authority::new(name);
        let certified = authority.certify_as("node", wanted);
        let for_watch = authority.certify_pod("pod");
        let [cert, key, _] = certified.files.each_ref().map(String::as_str);
        let admin = ["--admin-tls-cert-file", cert, "--admin-tls-key-file", key];
        let cluster = Cluster::start_with(1, &[&certified.flags()[..], &admin].concat()).await;
        let control_plane = cluster.watch_urls().replace("http://127.0.0.1", "https://localhost");
        let public = ["--tls-addr", "127.0.0.1:0", "--public-tls-cert-file", cert, "--public-tls-key-file", key];
        let flags = [&for_watch.flags()[..], &public].concat();
        let plan = Plan { name, control_plane: &control_plane, flags: &flags, ..Plan::default() };
        let pod = Pod::start(&plan, &cluster.secrets).await;
        Self { certified, cluster, pod }
    }

    fn ports(&self) -> [(&'static str, String); 4] {
        let at = self.cluster.nodes[0].addresses();
        let public = self.pod.tls_address().to_owned();
        [("peer", at.raft.clone()), ("watch", at.watch.clone()), ("admin", at.admin.clone()), ("public", public)]
    }

    /// How many were refused there for having nothing in common.
    async fn incompatible(&self, port: &'static str) -> u64 {
        let labels = [("port", port), ("end", "server"), ("outcome", "incompatible")];
        match port {
            "public" => count(&self.pod.ops_url(), "hj_dp_handshakes_total", &labels).await,
            _ => count(&self.cluster.nodes[0].ops_url(), "hj_cp_handshakes_total", &labels).await,
        }
    }
}

#[tokio::test]
async fn old_versions_and_weak_suites_are_refused_by_name_at_every_port() {
    let world = Encrypted::start("offers", &Wanted::default()).await;
    let own = &world.certified;
    for (port, address) in &world.ports() {
        let good = answer_to(address, &client_hello(TLS_1_2, STRONG)).await;
        assert_eq!(good, Answer::Handshake, "{port}: the hello is right but for its version and suite");
        let best = tls::connect(address, &own.ca, Some(own)).await.expect("the certificate is right");
        assert_eq!(best.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3), "{port}: 1.3 is preferred");
        let before = world.incompatible(port).await;
        for version in [TLS_1_1, TLS_1_0, SSL_3] {
            let answer = answer_to(address, &client_hello(version, STRONG)).await;
            assert_eq!(answer, Answer::Alert(PROTOCOL_VERSION), "{port}, {version:?}");
        }
        for (what, suite) in WEAK {
            let answer = answer_to(address, &client_hello(TLS_1_2, *suite)).await;
            assert_eq!(answer, Answer::Alert(HANDSHAKE_FAILURE), "{port}, {what}");
        }
        let refused = 3 + WEAK.len() as u64;
        until(&format!("they are counted at {port}"), PATIENCE, async || {
            let now = world.incompatible(port).await;
            if now == before + refused { Ok(()) } else { Err(format!("{before} before, {now} now")) }
        })
        .await;
    }
    openssl_is_refused_too(&world).await;
}

/// A library that still knows them, told to offer nothing else; and to begin anew on a connection that stands.
async fn openssl_is_refused_too(world: &Encrypted) {
    let [_, _, ca] = world.certified.files.each_ref().map(String::as_str);
    for (port, address) in world.ports().iter().filter(|(port, _)| ["admin", "public"].contains(port)) {
        let says = async |offer: &[&str], words: &str| {
            let mut client = Command::new(tools::program("openssl"));
            client.args(["s_client", "-connect", address, "-CAfile", ca, "-verify_return_error"]).args(offer);
            let mut client = client
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("openssl can be started");
            let mut stdin = client.stdin.take().expect("piped");
            stdin.write_all(words.as_bytes()).await.expect("it reads");
            let ended = tokio::time::timeout(PATIENCE, client.wait_with_output()).await;
            let output = ended.unwrap_or_else(|_| panic!("{port}, {offer:?}: it goes on")).expect("it ends");
            drop(stdin);
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        };
        // The last letter of s_client's own: to end in order.
        let (good, text) = says(&["-tls1_2"], "Q\n").await;
        assert!(good && text.contains("Verify return code: 0"), "{port}: {text}");
        for offer in [
            &["-tls1", "-cipher", "ALL:@SECLEVEL=0"][..],
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            &["-tls1_2", "-cipher", "AES128-SHA:AES256-SHA:@SECLEVEL=0"],
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"],
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384"],
            &["-tls1_2", "-cipher", "eNULL:aNULL:@SECLEVEL=0"],
        ] {
            let (good, text) = says(offer, "Q\n").await;
            assert!(!good && text.contains("alert"), "{port}, {offer:?}: {text}");
        }
        // RFC 5246 §7.2.2: the server may say no; whoever insists is not spoken to any more.
        let (good, text) = says(&["-tls1_2"], "R\n").await;
        assert!(!good && text.contains("RENEGOTIATING") && text.contains("no renegotiation"), "{port}: {text}");
    }
}

/// RFC 6066 §3. Literal addresses are no names, so who calls an address names nobody, and is served.
#[tokio::test]
async fn who_looks_for_another_host_is_not_shown_ours() {
    let names = &["127.0.0.1", "localhost", "*.id.example"];
    let world = Encrypted::start("names", &Wanted { names, ..Wanted::default() }).await;
    let ca = &world.certified.ca;
    let elsewhere = Authority::new("elsewhere");
    for (port, address) in world.ports().iter().filter(|(port, _)| ["admin", "public"].contains(port)) {
        for name in ["127.0.0.1", "localhost", "acme.id.example", "ACME.ID.EXAMPLE"] {
            let mut stream = tls::connect_to(name, address, ca, None).await.expect("the name is ours");
            assert_eq!(tls::ask(&mut stream, "/nowhere").await.expect("an answer"), 404, "{port}, {name}");
        }
        for name in ["evil.example", "id.example", "a.b.id.example", "localhost.evil.example", "localhost.localdomain"]
        {
            // It is the server that ends it: whom the client would trust does not come into it.
            for authorities in [ca, &elsewhere.pem()] {
                let refused =
                    tls::connect_to(name, address, authorities, None).await.expect_err("the name is not ours");
                assert!(refused.to_string().contains("fatal alert"), "{port}, {name}: {refused}");
            }
        }
    }
}

/// No proxy is asked for one, so whoever writes one wants to be somebody else
/// (<https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt>).
#[tokio::test]
async fn a_preamble_of_the_proxy_protocol_ends_the_connection() {
    let world = Encrypted::start("preamble", &Wanted::default()).await;
    let plain = world.pod.address().to_owned();
    let first = b"PROXY TCP4 203.0.113.1 127.0.0.1 40000 443\r\n".to_vec();
    let mut second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    second.extend([203, 0, 113, 1, 127, 0, 0, 1, 0x9c, 0x40, 1, 0xbb]);
    let unknown = b"PROXY UNKNOWN\r\n".to_vec();
    let ports = world.ports().map(|(_, address)| address);
    for address in ports.iter().chain([&plain]) {
        for preamble in [&first, &second, &unknown] {
            let mut stream = TcpStream::connect(address).await.expect("it is accepted");
            let request = b"GET /api/v1/tenants HTTP/1.1\r\nHost: localhost\r\n\r\n";
            stream.write_all(&[&preamble[..], request].concat()).await.expect("it listens");
            let mut said = Vec::new();
            // A reset is an end, too.
            let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it is closed");
            let said = String::from_utf8_lossy(&said);
            if *address == plain {
                assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
            }
            assert_eq!(said.matches("HTTP/1.1 ").count(), usize::from(*address == plain), "{address}: {said}");
        }
    }
}
