//! Clients that speak so slowly that a connection would be theirs for hours.

use std::time::Duration;

use tests::table::Table;
use tests::web::raw_status;
use tests::world;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// By then they are told, and their connection is closed.
const AT_MOST: Duration = Duration::from_secs(30);

/// Sends a little at a time until the server closes the connection; what it said.
async fn drip(address: &str, start: &str) -> String {
    let stream = TcpStream::connect(address).await.expect("the listener accepts");
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(start.as_bytes()).await.expect("the listener reads");
    let dripping = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        // Until nobody listens any more.
        while writer.write_all(b"a").await.is_ok() {
            tick.tick().await;
        }
    });
    let mut said = Vec::new();
    // A reset is an end, too.
    let _ = reader.read_to_end(&mut said).await;
    dripping.abort();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn who_speaks_too_slowly_is_told_and_cut_off() {
    let world = world::shared().await;
    let tenant = world.tenant("slow").await;
    let token = tenant.service.client_credentials("hj:users.write").await;
    let pod = world.pods[0].address();
    let node = &world.cluster.nodes[0];
    let (admin, issuer) = (node.addresses().admin.as_str(), format!("/t/{}", tenant.slug));
    let (pod_ops, node_ops) = (world.pods[0].ops_url(), node.ops_url());
    let head = "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    let body = |path: &str, kind: &str, authorization: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/{kind}\r\nContent-Length: 10000\r\n\
             Authorization: {authorization}\r\n\r\n"
        )
    };
    let (form, json) = ("x-www-form-urlencoded", "json");
    let (user, owner) = (format!("Bearer {token}"), format!("Bearer {}", tenant.admin.token()));
    let rows = [
        (pod, "GET / HTTP/1.1\r\n".to_owned()),
        (pod, head.to_owned()),
        (pod, body(&format!("{issuer}/oauth2/token"), form, "Basic eDp5")),
        (pod, body(&format!("{issuer}/login"), form, "-")),
        (pod, body(&format!("{issuer}/api/v1/users"), json, &user)),
        (pod_ops.trim_start_matches("http://"), head.to_owned()),
        (admin, head.to_owned()),
        (admin, body("/api/v1/auth/token", json, "-")),
        (admin, body("/api/v1/tenants", json, &owner)),
        (admin, body("/api/v1/apply", json, &owner)),
        (admin, body("/api/v1/cluster/join", json, "-")),
        (node_ops.trim_start_matches("http://"), head.to_owned()),
    ];
    let all = futures::future::join_all(rows.iter().map(async |(address, start)| {
        let said = tokio::time::timeout(AT_MOST, drip(address, start)).await;
        let said = said.unwrap_or_else(|_| panic!("{address} listens for ever to {start:?}"));
        assert_eq!(raw_status(&said), Some(408), "{address} answers to {start:?}: {said}");
    }));
    all.await;
    Table::new().finish(&world).await;
}
