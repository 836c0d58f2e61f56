//! The first words of TLS in raw bytes: offers that no library makes any more.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub const SSL_3: [u8; 2] = [3, 0];
pub const TLS_1_0: [u8; 2] = [3, 1];
pub const TLS_1_1: [u8; 2] = [3, 2];
pub const TLS_1_2: [u8; 2] = [3, 3];

/// ECDHE, ECDSA, AES-128-GCM: one that is spoken here.
pub const STRONG: [u8; 2] = [0xc0, 0x2b];
/// The same with CBC and SHA-1.
pub const CBC_SHA1: [u8; 2] = [0xc0, 0x09];

/// Content types and alerts (RFC 8446 §5.1, §6).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// What a TLS 1.2 server needs: the groups P-256 (RFC 8422 §5.1.1) and uncompressed points (§5.1.2), and signatures by
/// ECDSA and RSA-PSS with SHA-256 (RFC 8446 §4.2.3). No `supported_versions`: the version is the hello's own.
const EXTENSIONS: [u8; 26] = [0, 24, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4];

/// A ClientHello of that version, with one cipher suite; nothing else is wrong with it.
pub fn client_hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
    let mut hello = vec![version[0], version[1]];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, suite[0], suite[1], 1, 0]);
    hello.extend(EXTENSIONS);
    let length = u8::try_from(hello.len()).expect("a short message");
    let mut message = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    message.extend(hello);
    message
}

/// How a server goes on after a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Handshake,
    /// With the description of the alert.
    Alert(u8),
}

pub async fn answer_to(address: &str, hello: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("the port is open");
    stream.write_all(hello).await.expect("it listens");
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.expect("an answer");
    let mut content = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut content).await.expect("a whole record");
    match head[0] {
        HANDSHAKE => Answer::Handshake,
        ALERT => Answer::Alert(content[1]),
        other => panic!("a record of type {other}: {content:?}"),
    }
}
