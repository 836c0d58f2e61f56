//! The client's end: tonic's way to another node, with whatever certificate and authorities are current.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, Error, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::{BoxError, Service};

use crate::credentials::{Credentials, Derived};
use crate::handshake_signatures::handshake_signatures;
use crate::material::Material;
use crate::names::Names;
use crate::observer::{End, Observer};
use crate::outcome::Outcome;
use crate::suites::{self, provider};

/// A server that has accepted the connection answers soon, unless it is none.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whose certificate the server must show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServerIdentity {
    /// The called host's.
    #[default]
    Host,
    /// One with one of these names, wherever it is: addresses change, and are not in certificates.
    Named(Names),
}

/// TLS to servers of our own authorities.
#[derive(Debug)]
pub struct ClientTls {
    /// As metrics name the called port.
    port: &'static str,
    config: Derived<ClientConfig>,
    observer: Arc<dyn Observer>,
}

impl ClientTls {
    /// Shows the credentials' certificate, if they have one, to whoever asks for it.
    pub fn new(
        port: &'static str,
        credentials: Credentials,
        server: ServerIdentity,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let config = Derived::new(credentials, move |material| config(material, &server));
        Self { port, config, observer }
    }
}

fn config(material: &Material, server: &ServerIdentity) -> ClientConfig {
    let builder = suites::client();
    let authorities = material.authorities.clone().unwrap_or_else(|| Arc::new(RootCertStore::empty()));
    let builder = match server {
        ServerIdentity::Host => builder.with_root_certificates(authorities),
        ServerIdentity::Named(names) => {
            let verifier = ByName { authorities, names: names.clone(), provider: provider() };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let mut config = match &material.identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(Arc::clone(identity))))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// The chain as ever; then a name that the operator has set aside instead of the host's.
#[derive(Debug)]
struct ByName {
    authorities: Arc<RootCertStore>,
    names: Names,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.authorities, intermediates, now, algorithms)?;
        self.names.check(end_entity).map_err(Error::InvalidCertificate)?;
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!(provider);
}

/// For `Endpoint::connect_with_connector`. The endpoint's scheme is `http`: TLS is this connector's affair, not tonic's.
#[derive(Clone, Debug)]
pub struct Connector {
    tcp: HttpConnector,
    /// `None`: plain TCP.
    tls: Option<Arc<ClientTls>>,
}

/// A connection to a server.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Connector {
    /// `connect_timeout` is for TCP alone.
    pub fn new(tls: Option<Arc<ClientTls>>, connect_timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        Self { tcp, tls }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.tcp.call(uri.clone());
        let tls = self.tls.clone();
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            let Some(tls) = tls else { return Ok(TokioIo::new(Box::new(stream) as Box<dyn Stream>)) };
            let connected = tls.connect(&uri, stream).await;
            let outcome = connected.as_ref().map_or_else(Outcome::of, |_| Outcome::Established);
            tls.observer.handshake(End::Client, tls.port, outcome);
            Ok(TokioIo::new(Box::new(connected?) as Box<dyn Stream>))
        })
    }
}

impl ClientTls {
    async fn connect(
        &self,
        uri: &Uri,
        stream: TcpStream,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        let handshake = TlsConnector::from(self.config.current()).connect(name, stream);
        let timed_out = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
        tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(timed_out)?
    }
}
