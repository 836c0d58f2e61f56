//! HTTP itself, in raw bytes: what a polite client library would never send.

use tests::table::Table;
use tests::wait::PATIENCE;
use tests::web::{raw, raw_status};
use tests::world;

/// The bytes for a listener, and the statuses that refuse them there.
type Row = (&'static str, String, &'static [u16]);

/// `target` is of something that is there for everybody, so that nothing but the request's form can be what is refused.
fn malformed(address: &str, target: &str) -> Vec<Row> {
    let get = format!("GET {target} HTTP/1.1\r\n");
    let hosted = format!("{get}Host: {address}\r\n");
    let at = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let many = "X-Many: 1\r\n".repeat(1_000);
    let large = format!("X-Large: {}\r\n", "x".repeat(64 << 10));
    // RFC 9112 §6.3: one that cannot be framed. §6.1: 501 is for codings that are not known.
    let (bad, unknown, long, nowhere): (&[u16], &[u16], &[u16], &[u16]) =
        (&[400], &[400, 501], &[400, 414, 431], &[400, 404]);
    vec![
        ("two lengths", format!("{hosted}Content-Length: 5\r\nContent-Length: 6\r\n\r\na=b&c="), bad),
        ("a length that is none", format!("{hosted}Content-Length: five\r\n\r\na=b&c"), bad),
        ("a negative length", format!("{hosted}Content-Length: -1\r\n\r\n"), bad),
        ("xchunked", format!("{hosted}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), unknown),
        ("chunked, identity", format!("{hosted}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"), unknown),
        ("a blank before the colon", format!("{hosted}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), unknown),
        (
            "length and chunked",
            format!("{hosted}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            bad,
        ),
        ("no host", format!("{get}\r\n"), bad),
        ("two hosts", format!("{get}Host: a.example\r\nHost: b.example\r\n\r\n"), bad),
        ("a host with a path", format!("{get}Host: a.example/x\r\n\r\n"), bad),
        ("64 KiB of header", format!("{hosted}{large}\r\n"), long),
        ("1,000 headers", format!("{hosted}{many}\r\n"), long),
        ("a URL of 64 KiB", at(&format!("/{}", "x".repeat(64 << 10))), long),
        ("8,000 slashes", at(&"/".repeat(8_000)), nowhere),
        ("NUL in the path", at(&format!("{target}/%00")), nowhere),
        ("not UTF-8 in the path", at(&format!("{target}/%ff")), nowhere),
        ("dot segments", at(&format!("{target}/%2e%2e/x")), nowhere),
        ("a backslash", at(&format!("{target}\\x")), nowhere),
        ("no HTTP at all", "\x16\x03\x01 hello\r\n\r\n".to_owned(), bad),
    ]
}

#[tokio::test]
async fn ambiguous_or_malformed_requests_are_refused() {
    let world = world::shared().await;
    let tenant = world.tenant("raw").await;
    let (pod, admin) = (world.pods[0].address(), world.cluster.nodes[0].addresses().admin.as_str());
    let jwks = format!("/t/{}/.well-known/jwks.json", tenant.slug);
    let mut table = Table::new();
    for (listener, target) in [(pod, jwks.as_str()), (admin, "/api/v1/openapi.json")] {
        let good = format!("GET {target} HTTP/1.1\r\nHost: {listener}\r\n\r\n");
        let rows = malformed(listener, target).into_iter().chain([("a good one", good, &[200][..])]);
        for (what, bytes, statuses) in rows {
            let bytes = bytes.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
            let answer = raw(listener, bytes.as_bytes(), PATIENCE).await;
            let status = answer.as_deref().ok().and_then(raw_status);
            table.check(what, status.is_some_and(|status| statuses.contains(&status)), || {
                let answer = answer.map(|answer| answer.lines().next().unwrap_or_default().to_owned());
                format!("want {statuses:?} from {listener}: {answer:?}")
            });
        }
    }
    table.finish(&world).await;
}
