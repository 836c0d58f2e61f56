//! Bodies that never end: refused by what they say of themselves or as they grow, never gathered first.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use tests::cluster::Cluster;
use tests::memory::peak_kib;
use tests::web::raw_status;

const MUCH: usize = 100 << 20;
/// What a node may grow by at its highest.
const GROWTH_KIB: u64 = 50 << 10;
const PIECE: usize = 64 << 10;

fn send(mut writer: TcpStream, head: &str, is_chunked: bool) -> io::Result<()> {
    let piece = "a".repeat(PIECE);
    let piece = if is_chunked { format!("{PIECE:x}\r\n{piece}\r\n") } else { piece };
    writer.write_all(head.as_bytes())?;
    (0..MUCH / PIECE).try_for_each(|_| writer.write_all(piece.as_bytes()))
}

/// The beginning of the answer to a hundred mebibytes.
fn answer_to(address: &str, path: &str, token: &str, is_chunked: bool) -> String {
    let mut reader = TcpStream::connect(address).expect("it listens");
    let writer = reader.try_clone().expect("a socket");
    let length = if is_chunked { "transfer-encoding: chunked".to_owned() } else { format!("content-length: {MUCH}") };
    let head = format!(
        "POST /api/v1{path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\n{length}\r\n\r\n"
    );
    // Nobody may be listening any more: that is what is wanted.
    let sending = thread::spawn(move || drop(send(writer, &head, is_chunked)));
    let mut answer = vec![0; 4_096];
    let read = reader.read(&mut answer).expect("it answers before it hangs up");
    drop(reader);
    sending.join().expect("no panic");
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_a_hundred_mebibytes_is_refused_and_not_gathered() {
    let cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let address = cluster.nodes[0].addresses().admin.clone();
    let before = peak_kib(cluster.nodes[0].process_id());
    for path in ["/tenants", "/apply", "/auth/token"] {
        for is_chunked in [false, true] {
            let answer = answer_to(&address, path, admin.token(), is_chunked);
            assert_eq!(raw_status(&answer), Some(413), "{path}, chunked: {is_chunked}: {answer}");
        }
    }
    let now = peak_kib(cluster.nodes[0].process_id());
    assert!(now < before + GROWTH_KIB, "from {before} to {now} KiB");
    let _ = admin.get("/cluster/status").await.expect(200);
}
