//! HTTP itself, in raw bytes: what a polite client library would never send.

use std::time::Duration;

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
