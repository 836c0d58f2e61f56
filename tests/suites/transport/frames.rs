//! HTTP/2 as an attacker speaks it (RFC 9113 §10.5): frames that lie about their length, and floods of frames that cost the
//! sender nothing. The connection ends or the flood is digested; the process stays small, and nobody else notices.

use serde_json::json;
use tests::cluster::Cluster;
use tests::memory::resident_kib;
use tests::pki::Authority;
use tests::pod::{Plan, Pod};
use tests::tls::{self, HTTP2_PREFACE};
use tests::wait::PATIENCE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 0xb;
const FRAME_SIZE_ERROR: u32 = 6;
/// What a process may grow by, whatever comes: the figures of the attacks are many times that.
const GROWTH_KIB: u64 = 50 << 10;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header as HPACK's literal: 0x00 leaves the dynamic table as it is, 0x40 puts it there (RFC 7541 §6.2).
fn literal(kind: u8, name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![kind];
    for text in [name, value] {
        match text.len() {
            // RFC 7541 §5.1: what does not fit seven bits follows in groups of seven.
            long @ 127.. => {
                let mut rest = long - 127;
                bytes.push(127);
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128 + 128).expect("eight bits"));
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).expect("seven bits"));
            }
            short => bytes.push(u8::try_from(short).expect("seven bits")),
        }
        bytes.extend(text.bytes());
    }
    bytes
}

pub(super) fn request(path: &str, token: &str) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", token),
    ];
    headers.into_iter().flat_map(|(name, value)| literal(0, name, value)).collect()
}

/// How it ended for the attacker.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The connection was closed, with the code of the last GOAWAY.
    Closed(Option<u32>),
    /// The stream that was asked about was answered to its end, or reset.
    StreamEnded,
    /// Everything was taken.
    Taken,
}

/// Sends it all, with a ping after it, and reads what comes until the connection ends, stream 1 does, or the ping is answered.
async fn attack(stream: TcpStream, frames: Vec<u8>) -> End {
    send(stream, [frames, frame(PING, 0, 0, b"the last")].concat()).await
}

/// The same without the ping: the stream or the connection must end.
async fn send(stream: TcpStream, frames: Vec<u8>) -> End {
    let (mut read, mut write) = stream.into_split();
    let writer = tokio::spawn(async move {
        let begin = [HTTP2_PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        for part in [&begin, &frames] {
            // The other side may have had enough.
            if write.write_all(part).await.is_err() {
                break;
            }
        }
        let _ = write.flush().await;
        // Not closed by us.
        std::future::pending::<()>().await;
    });
    let reading = async {
        let mut code = None;
        loop {
            let mut head = [0; 9];
            if read.read_exact(&mut head).await.is_err() {
                return End::Closed(code);
            }
            let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
            if read.read_exact(&mut payload).await.is_err() {
                return End::Closed(code);
            }
            match (head[3], head[4], head[8]) {
                (GOAWAY, ..) => code = payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().expect("four"))),
                (HEADERS | DATA, flags, 1) if flags & END_STREAM != 0 => return End::StreamEnded,
                (RST_STREAM, _, 1) => return End::StreamEnded,
                (PING, ..) if payload == b"the last" => return End::Taken,
                _ => {}
            }
        }
    };
    let end = tokio::time::timeout(PATIENCE, reading).await.expect("it comes to an end");
    writer.abort();
    end
}

/// What it is, the frames, and how it may end.
type Flood = (&'static str, Vec<u8>, fn(&End) -> bool);

/// One that means no stream: what ends is the connection, or nothing.
fn floods(path: &str) -> Vec<Flood> {
    let open = |stream: u32| frame(HEADERS, END_HEADERS, stream, &request(path, "-"));
    let rapid_reset = (0..10_000).map(|number| 3 + 2 * number);
    let rapid_reset = rapid_reset.flat_map(|id| [open(id), frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())].concat());
    let more = frame(CONTINUATION, 0, 3, &literal(0, "x-more", &"x".repeat(8_000)));
    let without_end = [frame(HEADERS, 0, 3, &request(path, "-")), more.repeat(8_000)].concat();
    // One entry of the dynamic table, named again and again in a byte each.
    let bomb = [request(path, "-"), literal(0x40, "x-bomb", &"x".repeat(3_900)), vec![0xbe; 12_000]].concat();
    let bomb = frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
    let calmed = |end: &End| *end == End::Closed(Some(ENHANCE_YOUR_CALM));
    let empty = |stream| frame(DATA, 0, stream, &[]).repeat(1_000_000);
    let ended = |end: &End| matches!(end, End::Closed(Some(_)));
    vec![
        ("a frame of 16 MiB", vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1], |end| {
            *end == End::Closed(Some(FRAME_SIZE_ERROR))
        }),
        ("rapid reset", rapid_reset.collect(), calmed),
        ("headers without an end", without_end, calmed),
        ("headers that unfold to 47 MB", bomb, calmed),
        ("settings", frame(SETTINGS, 0, 0, &[]).repeat(200_000), calmed),
        ("settings that say something", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(100_000), calmed),
        ("pings", frame(PING, 0, 0, b"........").repeat(200_000), calmed),
        ("priorities", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 7]).repeat(100_000), calmed),
        ("frames of no known type", frame(0xaa, 0, 3, &[]).repeat(200_000), calmed),
        ("a million empty frames of a stream that there is", [open(3), empty(3)].concat(), ended),
        ("a million empty frames of a stream that there is not", empty(3), |end| {
            *end == End::Closed(Some(PROTOCOL_ERROR))
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_lie_and_floods_of_frames_harm_nobody() {
    let authority = Authority::new("frames");
    let certified = authority.certify("pod");
    let [cert, key, _] = certified.files.each_ref().map(String::as_str);
    let mut cluster = Cluster::prepare(3, &[]);
    cluster.be_patient();
    cluster.start_all().await;
    cluster.ready().await;
    let admin = cluster.admin(0).await;
    let control_plane = cluster.watch_urls();
    let flags = ["--tls-addr", "127.0.0.1:0", "--public-tls-cert-file", cert, "--public-tls-key-file", key];
    let plan = Plan { name: "pod", control_plane: &control_plane, flags: &flags, ..Plan::default() };
    let pod = Pod::start(&plan, &cluster.secrets).await;
    let before = admin.get("/cluster/status").await.expect(200).json;
    let at = cluster.nodes[0].addresses().clone();
    let node = cluster.nodes[0].process_id();

    let ports = [
        (at.raft.as_str(), "/hellojohn.peer.v1.Peer/Append"),
        (at.watch.as_str(), "/hellojohn.watch.v1.Watch/Subscribe"),
    ];
    let connect = async |address: &str| TcpStream::connect(address).await.expect("it is accepted");
    for (address, path) in ports {
        for (what, frames, expected) in floods(path) {
            let resident = resident_kib(node);
            let end = attack(connect(address).await, frames).await;
            assert!(expected(&end), "{path}: {what}: {end:?}");
            let now = resident_kib(node);
            assert!(now < resident + GROWTH_KIB, "{path}: {what}: from {resident} to {now} KiB");
        }
    }
    // A message that says it has 4 GiB, of one who may speak, and of a stranger.
    let message = frame(DATA, 0, 1, &[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
    let bearer = format!("Bearer {}", cluster.secrets.watch_token);
    for ((address, path), token) in ports.into_iter().zip(["-", &bearer]) {
        let resident = resident_kib(node);
        let frames = [frame(HEADERS, END_HEADERS, 1, &request(path, token)), message.clone()].concat();
        let end = send(connect(address).await, frames).await;
        assert_eq!(end, End::StreamEnded, "{path}");
        assert!(resident_kib(node) < resident + GROWTH_KIB, "{path}");
    }

    // A pod's public port speaks no HTTP/2 at all.
    let refused = tls::connect_for_http2("127.0.0.1", pod.tls_address(), &certified.ca).await;
    assert!(refused.is_err_and(|why| why.to_string().contains("NoApplicationProtocol")));

    let revision = admin.create_tenant("meanwhile", json!({})).await.revision();
    pod.has_revision(revision).await;
    let after = admin.get("/cluster/status").await.expect(200).json;
    assert_eq!((&after["term"], &after["leader_id"]), (&before["term"], &before["leader_id"]));
}
