//! Streams that do not go on: the listener is too slow, or asks for what is not kept.

use std::time::Duration;

use serde_json::json;
use tests::cluster::Cluster;
use tests::counters::count;
use tests::memory::peak_kib;
use tests::wait::{PATIENCE, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::websocket::Socket;
use super::{Stream, rename};

/// More than the buffers of both ends of a connection hold (Linux gives 4 MiB to each), and the frames that wait.
const MUCH: usize = 10 << 20;
const URIS: usize = 12;
/// What a node may grow by for them: less than each of them was to be sent, and read by a third one meanwhile.
const GROWTH_KIB: u64 = 64 << 10;
const FLAGS: &[&str] = &["--events-heartbeat-secs", "1"];

/// Reads a byte a second until `enough`, then everything that comes until the other side has no more to say.
async fn sip(mut stream: TcpStream, mut enough: watch::Receiver<bool>) -> Vec<u8> {
    let (mut all, mut pace) = (Vec::new(), tokio::time::interval(Duration::from_secs(1)));
    while !*enough.borrow() {
        tokio::select! {
            _ = pace.tick() => all.push(stream.read_u8().await.expect("readable")),
            _ = enough.changed() => {}
        }
    }
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("it ends").expect("readable");
    all
}

#[tokio::test]
async fn who_takes_next_to_nothing_is_cut_off_and_told_why() {
    let mut cluster = Cluster::start_with(1, FLAGS).await;
    let owner = cluster.admin(0).await;
    let _ = owner.create_tenant("acme", json!({})).await;
    let start = rename(&owner, "acme", "Acme 0").await;
    let uri = |n: usize, k: usize| format!("https://a.example/{n}/{k}/{}", "x".repeat(1_900));
    let client = |n: usize| {
        let uris: Vec<String> = (0..URIS).map(|k| uri(n, k)).collect();
        json!({"client_id": "web", "name": "Web", "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code"], "redirect_uris": uris})
    };
    let _ = owner.create_client("acme", &client(0)).await;
    // Each record has the client before and after.
    for n in 1..=MUCH / (2 * URIS * 1_900) {
        let _ = owner.patch("/tenants/acme/clients/web", &json!({"redirect_uris": client(n)["redirect_uris"]})).await;
    }
    let last = rename(&owner, "acme", "Acme 1").await;

    // Two that ask and read a byte a second, with little room for what comes all the same.
    let address = cluster.nodes[0].addresses().admin.parse().expect("an address");
    let node = cluster.nodes[0].process_id();
    let (mut idle, before) = (Vec::new(), peak_kib(node));
    let (stop, enough) = watch::channel(false);
    for upgrade in
        ["connection: close\r\n", "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"]
    {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 << 10).expect("a size");
        let mut stream = socket.connect(address).await.expect("connected");
        let request = format!(
            "GET /api/v1/events?since={start} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n{upgrade}\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            owner.token()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        idle.push(tokio::spawn(sip(stream, enough.clone())));
    }
    // Whoever reads hears it all meanwhile.
    let mut stream = Stream::open(&owner, &format!("/events?since={start}")).await;
    while stream.change().await.data["revision"].as_u64() != Some(last) {}
    let closed = "an event stream is closed";
    until("both are given up", PATIENCE, async || {
        let log = cluster.logs();
        let count = log.lines().filter(|line| line.contains(closed) && line.contains("slow")).count();
        if count == 2 { Ok(()) } else { Err(format!("{count} are")) }
    })
    .await;
    // Each keeps its place until it has taken the last words, so that there is an end to how many may wait.
    let ops = cluster.nodes[0].ops_url();
    assert_eq!(count(&ops, "hj_cp_event_listeners", &[]).await, 3);
    let now = peak_kib(node);
    assert!(now < before + GROWTH_KIB, "from {before} to {now} KiB");
    // What was under way arrives, then the reason, and not what came last.
    stop.send_replace(true);
    for reader in idle {
        let all = reader.await.expect("it ends");
        let text = String::from_utf8_lossy(&all);
        let end: String = text.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
        assert!(text.contains("{\"reason\":\"slow\"}"), "{} bytes, in the end {end}", all.len());
        assert!(!text.contains("Acme 1"), "{} bytes", all.len());
    }
    until("their places are free", PATIENCE, async || match count(&ops, "hj_cp_event_listeners", &[]).await {
        1 => Ok(()),
        other => Err(format!("{other} are taken")),
    })
    .await;
    assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_a_reset_and_then_it_goes_on() {
    let cluster = Cluster::start_with(1, FLAGS).await;
    let owner = cluster.admin(0).await;
    let _ = owner.create_tenant("acme", json!({})).await;
    let start = rename(&owner, "acme", "Acme 0").await;
    for n in 1..5 {
        rename(&owner, "acme", &format!("Acme {n}")).await;
    }
    let _ = owner.patch("/settings", &json!({"audit": {"max_age_secs": 1}})).await.expect(200);
    until("the beginning is removed", PATIENCE, async || {
        let oldest = owner.get("/audit/logs?order=oldest&limit=1").await.expect(200).json;
        match oldest["items"][0]["revision"].as_u64() {
            Some(revision) if revision > start + 1 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let mut stream = Stream::open(&owner, &format!("/events?since={start}")).await;
    let mut socket = Socket::open(&owner, &format!("/events?since={start}")).await.expect("a socket");
    let reset = stream.next().await.expect("an event");
    assert_eq!(reset.name, "reset");
    let from = reset.data["revision"].as_u64().expect("a revision");
    assert!(from > start);
    assert!(socket.next("reset").await["data"]["revision"].as_u64() >= Some(from));
    let later = rename(&owner, "acme", "Later").await;
    assert_eq!(stream.change().await.data["revision"].as_u64(), Some(later));
    assert_eq!(socket.next("tenant.").await["data"]["revision"].as_u64(), Some(later));
}
