//! What programs tell of themselves is told at the port for that, and at no other; and it names no secret and nobody.

use h2::client;
use reqwest::Method;
use serde_json::json;
use tests::pki::Authority;
use tests::table::Table;
use tests::tenant::Tenant;
use tests::web;
use tests::world::World;
use tokio::net::TcpStream;

/// Where this or other software has such things.
const PATHS: [&str; 30] = [
    "/metrics",
    "/livez",
    "/readyz",
    "/health",
    "/healthz",
    "/hand-over",
    "/debug",
    "/debug/",
    "/debug/config",
    "/debug/log",
    "/debug/pprof",
    "/debug/pprof/",
    "/debug/pprof/heap",
    "/debug/pprof/profile",
    "/debug/pprof/cmdline",
    "/debug/vars",
    "/debug/requests",
    "/pprof",
    "/pprof/heap",
    "/status",
    "/server-status",
    "/stats",
    "/info",
    "/env",
    "/heap",
    "/trace",
    "/actuator",
    "/actuator/env",
    "/.env",
    "/.git/config",
];

/// At the port for it.
const OF_NODES: [&str; 4] = ["/metrics", "/livez", "/readyz", "/debug/log"];
const OF_PODS: [&str; 5] = ["/metrics", "/livez", "/readyz", "/debug/config", "/debug/log"];

/// What gRPC's own port answers: its status and the body (RFC 9113, HTTP/2 over cleartext TCP).
async fn ask_grpc(address: &str, method: &Method, path: &str) -> Result<(Option<String>, usize), h2::Error> {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (requests, connection) = client::handshake(stream).await?;
    let driving = tokio::spawn(connection);
    let request = http::Request::builder().method(method.as_str()).uri(format!("http://{address}{path}"));
    let request = request.body(()).expect("a valid request");
    let (answer, _) = requests.ready().await?.send_request(request, true)?;
    let answer = answer.await?;
    let status = answer.headers().get("grpc-status").and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let (mut body, mut length) = (answer.into_body(), 0);
    while let Some(piece) = body.data().await {
        length += piece?.len();
    }
    driving.abort();
    Ok((status, length))
}

#[tokio::test]
async fn what_programs_tell_of_themselves_is_told_at_one_port_and_names_nobody() {
    let authority = Authority::new("ports");
    let own = authority.certify("pod");
    let [cert, key, _] = own.files.each_ref().map(String::as_str);
    let flags = ["--tls-addr", "127.0.0.1:0", "--public-tls-cert-file", cert, "--public-tls-key-file", key];
    let mut world = World::start(1, 0).await;
    world.add_pod_with("pod", "", &flags).await;
    let tenant = Tenant::create(&world, "ports").await;
    let alice = tenant.user("alice").await;
    let tokens = tenant.backend.sign_in(&alice).await;
    let trusted = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("PEM");
    let http = web::builder().tls_certs_only([trusted]).build().expect("a client");
    let (node, pod) = (&world.cluster.nodes[0], &world.pods[0]);
    let at = node.addresses().clone();
    let mut table = Table::new();

    // To the world: at the root, as a tenant's, and as a part of an API.
    let secure = format!("https://{}", pod.tls_address());
    for base in [node.admin_url(), pod.url(), secure] {
        for prefix in ["", "/api/v1", &format!("/t/{}", tenant.slug)] {
            for path in PATHS {
                let what = format!("{base}{prefix}{path}");
                let bearer = http.get(&what).bearer_auth(tenant.admin.token());
                table.row(&what, bearer, &[404]).await;
            }
        }
        for (method, path) in [(Method::PUT, "/debug/log"), (Method::POST, "/hand-over")] {
            let what = format!("{method} {base}{path}");
            table.row(&what, http.request(method, format!("{base}{path}")).body("debug"), &[404]).await;
        }
    }
    // Between programs: there are no pages at all, and no HTTP/1.1.
    for (port, address) in [("peer", &at.raft), ("watch", &at.watch)] {
        for path in PATHS {
            for method in [Method::GET, Method::POST] {
                let answer = ask_grpc(address, &method, path).await;
                let nothing = match &answer {
                    Ok((status, 0)) => status.as_deref().is_some_and(|status| status != "0"),
                    Ok(_) => false,
                    Err(_) => true,
                };
                table.check(port, nothing, || format!("{method} {path}: {answer:?}"));
            }
            let words = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
            let answer = web::raw(address, words.as_bytes(), tests::wait::PATIENCE).await;
            let nothing = answer.as_ref().is_ok_and(|answer| web::raw_status(answer).is_none());
            table.check(port, nothing, || format!("{path} by HTTP/1.1: {answer:?}"));
        }
    }
    // To the machine's operators.
    let secrets = &world.cluster.secrets;
    let names = [
        ("the master key", secrets.master_key.as_str()),
        ("the peers' secret", &secrets.cluster_hmac),
        ("the watch's token", &secrets.watch_token),
        ("the owner's credential", &secrets.owner),
        ("an administrator's token", tenant.admin.token()),
        ("the database's password", &tenant.database.password),
        ("a client's secret", tenant.backend.secret.as_deref().expect("confidential")),
        ("a user's id", &alice.id),
        ("a user's address", &alice.email),
        ("a user's password", &alice.password),
        ("a user's token", &tokens.access),
        ("a redirect URI", tests::tenant::BACKEND_REDIRECT),
    ];
    for (base, told) in [(node.ops_url(), &OF_NODES[..]), (pod.ops_url(), &OF_PODS)] {
        for path in PATHS {
            let what = format!("{base}{path}");
            // What is only done, and not shown, has another method.
            let status = if told.contains(&path) { 200 } else { 404 };
            let answer = table.row(&what, http.get(&what), &[status]).await;
            for (name, secret) in names {
                table.check(&what, !answer.text.contains(secret), || format!("it shows {name}"));
            }
        }
        let refused = http.put(format!("{base}/debug/log")).json(&json!({}));
        table.row(&format!("{base}: no level"), refused, &[400, 422]).await;
    }
    table.finish(&world).await;
}
