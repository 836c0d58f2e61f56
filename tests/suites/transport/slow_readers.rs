//! Subscribers that read a byte a second: what waits for them is bounded, they are cut off, and nobody else notices.

use std::time::Duration;

use serde_json::json;
use shared_proto::watch::event::Kind;
use shared_proto::watch::{Hello, PodMessage, pod_message};
use tests::cluster::Cluster;
use tests::counters::count;
use tests::memory::{open_files, resident_kib};
use tests::peer_call::framed;
use tests::tls::HTTP2_PREFACE;
use tests::wait::{PATIENCE, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{interval, timeout};
use tonic::transport::Endpoint;

use super::frames::{DATA, END_HEADERS, HEADERS, SETTINGS, frame, request};
use super::watcher::Watcher;

const WINDOW_UPDATE: u8 = 8;
const PING: u8 = 6;
/// RFC 9113 §6.5.2: how much may be sent on a stream before it says that there is room for more; and the most.
const INITIAL_WINDOW_SIZE: u16 = 4;
const MOST: u32 = (1 << 31) - 1;

const READERS: usize = 20;
const CLIENTS: usize = 40;
/// Each would hold the whole configuration, four megabytes, twice over.
const GROWTH_KIB: u64 = 50 << 10;

/// A subscription of one who says that there is room for everything, and has little.
async fn subscribe(address: &str, token: &str, name: String) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("a size");
    let mut stream = socket.connect(address.parse().expect("an address")).await.expect("it is accepted");
    let hello = Hello { pod_id: name, ..Hello::default() };
    let hello = framed(&PodMessage { kind: Some(pod_message::Kind::Hello(hello)) });
    let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &MOST.to_be_bytes()].concat();
    let words = [
        HTTP2_PREFACE,
        &frame(SETTINGS, 0, 0, &setting),
        &frame(WINDOW_UPDATE, 0, 0, &(MOST - 65_535).to_be_bytes()),
        &frame(HEADERS, END_HEADERS, 1, &request("/hellojohn.watch.v1.Watch/Subscribe", &format!("Bearer {token}"))),
        &frame(DATA, 0, 1, &hello),
    ];
    stream.write_all(&words.concat()).await.expect("it is heard");
    stream
}

/// Reads a byte a second, and every other one of them talks all the while, until `enough`; then all that is left.
async fn sip(mut stream: TcpStream, talks: bool, mut enough: watch::Receiver<bool>) {
    let mut pace = interval(Duration::from_secs(1));
    while !*enough.borrow() {
        tokio::select! {
            _ = pace.tick() => {
                // It may have been cut off by now, which is only found out with the last byte.
                let _ = stream.read(&mut [0]).await;
                if talks {
                    let _ = stream.write_all(&frame(PING, 0, 0, b"I listen")).await;
                }
            }
            _ = enough.changed() => {}
        }
    }
    let end = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    assert!(end.is_ok(), "the connection has an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_that_read_a_byte_a_second_are_cut_off_and_nobody_else_notices() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let _ = admin.post("/tenants", &json!({ "slug": "acme", "display_name": "Acme" })).await.expect(201);
    for number in 0..CLIENTS {
        let uri = |place: usize| format!("https://app.example/{number}/{place}/{}", "x".repeat(1950));
        let uris: Vec<String> = (0..50).map(uri).collect();
        let client = json!({ "name": format!("client {number}"), "redirect_uris": uris });
        let _ = admin.post("/tenants/acme/clients", &client).await.expect(201);
    }
    let (watch, ops) = (cluster.nodes[0].addresses().watch.clone(), cluster.nodes[0].ops_url());
    let (node, token) = (cluster.nodes[0].process_id(), cluster.secrets.watch_token.as_str());
    let endpoint = Endpoint::from_shared(format!("http://{watch}")).expect("an address is a URI's authority");
    let mut quick = Watcher::open(endpoint, "quick", Some(token), None).await.expect("it is let in");
    let _ = quick.snapshot().await;
    let subscribers = async || count(&ops, "hj_cp_watch_subscribers", &[]).await;
    assert_eq!(subscribers().await, 1);
    let (resident, open) = (resident_kib(node), open_files(node));

    let (stop, enough) = watch::channel(false);
    let mut readers = Vec::new();
    for number in 0..READERS {
        let stream = subscribe(&watch, token, format!("slow-{number}")).await;
        readers.push(tokio::spawn(sip(stream, number % 2 == 0, enough.clone())));
    }
    until("they are served", PATIENCE, async || match subscribers().await {
        1 => Err("nobody is".to_owned()),
        _ => Ok(()),
    })
    .await;
    for number in 0..10 {
        let patch = json!({ "display_name": format!("Acme {number}") });
        let revision = admin.patch("/tenants/acme", &patch).await.expect(200).revision();
        loop {
            let event = timeout(PATIENCE, quick.next()).await.expect("who reads is told");
            if matches!(event, Kind::Delta(delta) if delta.revision == revision) {
                break;
            }
        }
    }
    until("they are cut off, also those that talk", 2 * PATIENCE, async || {
        let (left, files) = (subscribers().await, open_files(node));
        if left == 1 && files < open + READERS / 2 { Ok(()) } else { Err(format!("{left}, {files} files open")) }
    })
    .await;
    let now = resident_kib(node);
    assert!(now < resident + GROWTH_KIB, "from {resident} to {now} KiB");
    stop.send_replace(true);
    for reader in readers {
        reader.await.expect("its connection has ended");
    }
    let fleet = admin.get("/fleet").await.expect(200).json;
    let connected = fleet["pods"].as_array().expect("a list").iter().filter(|pod| pod["state"] != "gone").count();
    assert_eq!(connected, 1, "{fleet:#}");
}
