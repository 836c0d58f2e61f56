//! HTTP itself, in raw bytes: what a polite client library would never send.

use std::time::{Duration, Instant};

use tests::table::Table;
use tests::web::{raw, raw_status};
use tests::world;

const MOMENT: Duration = Duration::from_secs(3);

#[tokio::test]
async fn ambiguous_or_malformed_requests_are_refused() {
    let world = world::shared().await;
    let tenant = world.tenant("raw").await;
    let path = format!("/t/{}", tenant.slug);
    let address = world.pods[0].address().to_owned();
    let admin = world.cluster.nodes[0].addresses().admin.clone();
    let post = format!(
        "POST {path}/oauth2/token HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    );
    let get = format!("GET {path}/.well-known/jwks.json HTTP/1.1\r\n");
    let mut table = Table::new();
    let many = "X-Many: 1\r\n".repeat(1_000);
    let large = format!("X-Large: {}\r\n", "x".repeat(64 << 10));
    let slashes = "/".repeat(8_000);
    let rows = [
        ("two lengths", format!("{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\na=b&c="), vec![400]),
        ("a length that is none", format!("{post}Content-Length: five\r\n\r\na=b&c"), vec![400]),
        ("a negative length", format!("{post}Content-Length: -1\r\n\r\n"), vec![400]),
        ("xchunked", format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), vec![400, 501]),
        ("chunked, identity", format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"), vec![400, 501]),
        ("a blank before the colon", format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), vec![400, 501]),
        (
            "length and chunked",
            format!("{post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            vec![400, 401],
        ),
        ("no host", format!("{get}\r\n"), vec![400]),
        ("two hosts", format!("{get}Host: a.example\r\nHost: b.example\r\n\r\n"), vec![400]),
        ("a host with a path", format!("{get}Host: a.example/x\r\n\r\n"), vec![400]),
        ("64 KiB of header", format!("{get}Host: {address}\r\n{large}\r\n"), vec![400, 431]),
        ("1,000 headers", format!("{get}Host: {address}\r\n{many}\r\n"), vec![400, 431]),
        (
            "a URL of 64 KiB",
            format!("GET /{} HTTP/1.1\r\nHost: {address}\r\n\r\n", "x".repeat(64 << 10)),
            vec![400, 404, 414, 431],
        ),
        ("8,000 slashes", format!("GET {slashes} HTTP/1.1\r\nHost: {address}\r\n\r\n"), vec![400, 404, 414]),
        ("NUL in the path", format!("GET {path}/%00 HTTP/1.1\r\nHost: {address}\r\n\r\n"), vec![400, 404]),
        ("not UTF-8 in the path", format!("GET {path}/%ff HTTP/1.1\r\nHost: {address}\r\n\r\n"), vec![400, 404]),
        ("dot segments", format!("GET {path}/%2e%2e/x HTTP/1.1\r\nHost: {address}\r\n\r\n"), vec![400, 404]),
        ("a backslash", format!("GET {path}\\x HTTP/1.1\r\nHost: {address}\r\n\r\n"), vec![400, 404]),
        ("no HTTP at all", "\x16\x03\x01 hello\r\n\r\n".to_owned(), vec![400]),
    ];
    for (what, bytes, statuses) in &rows {
        let bytes = bytes.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        for listener in [&address, &admin] {
            let answer = raw(listener, bytes.as_bytes(), MOMENT).await;
            // Closing without a word is a refusal, too.
            let status = raw_status(&answer);
            let fine = match status {
                None => true,
                Some(status) => statuses.contains(&status) || (listener == &admin && [400, 401, 404].contains(&status)),
            };
            table.check(what, fine, || {
                format!("want {statuses:?} from {listener}: {}", answer.lines().next().unwrap_or_default())
            });
        }
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn a_compressed_body_is_not_inflated() {
    let world = world::shared().await;
    let tenant = world.tenant("gzip").await;
    let mut table = Table::new();
    let request = tenant.service.token_request(&[("grant_type", "client_credentials")]);
    let answer = table.row("token", request.header("content-encoding", "gzip"), &[400, 413, 415]).await;
    table.check("token", answer.json["access_token"].is_null(), || format!("{answer:?}"));
    let request = tenant.admin.request(reqwest::Method::POST, "/tenants").json(&serde_json::json!({}));
    table.row("admin", request.header("content-encoding", "gzip"), &[400, 413, 415, 422]).await;
    table.finish(&world).await;
}

/// Sends a little at a time until the server has enough; how long that took.
async fn drip(address: &str, start: &str) -> Option<Duration> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    const LIMIT: Duration = Duration::from_secs(35);
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the listener accepts");
    stream.write_all(start.as_bytes()).await.expect("the listener reads");
    let (mut reader, mut writer) = stream.split();
    let started = Instant::now();
    let mut buffer = [0; 1024];
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    while started.elapsed() < LIMIT {
        tokio::select! {
            read = reader.read(&mut buffer) => match read {
                // An answer (408) or the end.
                Ok(0) | Err(_) => return Some(started.elapsed()),
                Ok(_) => {}
            },
            _ = tick.tick() => {
                if writer.write_all(b"a").await.is_err() {
                    return Some(started.elapsed());
                }
            }
        }
    }
    None
}

#[tokio::test]
async fn who_speaks_too_slowly_is_cut_off() {
    let world = world::shared().await;
    let tenant = world.tenant("slow").await;
    let pod = world.pods[0].address().to_owned();
    let node = world.cluster.nodes[0].addresses().admin.clone();
    let token = format!("/t/{}/oauth2/token", tenant.slug);
    let headers = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    let body = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10000\r\n\r\n"
        )
    };
    let starts = [
        (&pod, headers("/")),
        (&pod, body(&token)),
        (&node, headers("/")),
        (&node, body("/api/v1/auth/token").replace("application/x-www-form-urlencoded", "application/json")),
    ];
    let ends = futures::future::join_all(starts.iter().map(|(address, start)| drip(address, start))).await;
    for (end, (address, start)) in ends.iter().zip(&starts) {
        assert!(end.is_some(), "{address} listens for ever to {start:?}");
    }
    Table::new().finish(&world).await;
}
