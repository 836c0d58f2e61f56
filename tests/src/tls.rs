//! TLS by hand: connections that show and trust what a test wants, and tell what they were shown.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::pki::Certified;

/// Takes connections and shows them this certificate.
pub fn acceptor(own: &Certified) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(own.cert.as_bytes()).collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("PEM");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider has suites").with_no_client_auth();
    let config = builder.with_single_cert(chain, key).expect("the key is the certificate's");
    TlsAcceptor::from(Arc::new(config))
}

/// What every HTTP/2 client sends first (RFC 9113 §3.4).
pub const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection to 127.0.0.1. With TLS 1.3 a certificate that the server does not like is found out after this.
pub async fn connect(address: &str, ca: &str, shows: Option<&Certified>) -> io::Result<TlsStream<TcpStream>> {
    connect_to("127.0.0.1", address, ca, shows).await
}

/// The same to a server that is called `name`.
pub async fn connect_to(
    name: &str,
    address: &str,
    ca: &str,
    shows: Option<&Certified>,
) -> io::Result<TlsStream<TcpStream>> {
    open(name, address, ca, shows, &[]).await
}

/// One that will speak HTTP/2 (RFC 7301).
pub async fn connect_for_http2(name: &str, address: &str, ca: &str) -> io::Result<TlsStream<TcpStream>> {
    open(name, address, ca, None, &[b"h2".to_vec()]).await
}

async fn open(
    name: &str,
    address: &str,
    ca: &str,
    shows: Option<&Certified>,
    protocols: &[Vec<u8>],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(authority.expect("PEM")).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider has suites").with_root_certificates(roots);
    let mut config = match shows {
        Some(own) => {
            let chain = CertificateDer::pem_slice_iter(own.cert.as_bytes()).collect::<Result<_, _>>().expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(chain, key).expect("the key is the certificate's")
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.to_vec();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Whether the server at that address shows this certificate to newcomers.
pub async fn is_shown(address: &str, certified: &Certified) -> Result<(), String> {
    let stream = connect(address, &certified.ca, None).await.map_err(|error| error.to_string())?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).expect("a server has a certificate");
    let wanted = CertificateDer::from_pem_slice(certified.cert.as_bytes()).expect("PEM");
    if *shown == wanted { Ok(()) } else { Err(format!("{address} shows another certificate")) }
}

/// Says something and reads until the other side has had enough; what it said.
pub async fn talk(stream: &mut TlsStream<TcpStream>, words: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(words).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// One request on a connection that stays open (HTTP/1.1); the answer's status.
pub async fn ask(stream: &mut TlsStream<TcpStream>, path: &str) -> io::Result<u16> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|text| text.parse().ok()).expect("the answers have a length");
            if body.len() >= length {
                let status = head.strip_prefix("http/1.1 ").and_then(|rest| rest.get(..3));
                return Ok(status.and_then(|text| text.parse().ok()).expect("an answer has a status"));
            }
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
