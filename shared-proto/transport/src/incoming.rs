//! Accepts connections for tonic: TLS and the beginning of HTTP/2 come first, each on a task of its own, in a bounded time
//! and number. Whoever opens connections and says nothing takes the place of his own older ones, not of anybody's who
//! speaks: a handshake that is meant takes milliseconds.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::Connection;
use crate::observer::{End, Observer};
use crate::outcome::Outcome;
use crate::server::MutualTls;

/// From the connection to the first words of HTTP/2.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes under way at once. An unfinished one holds a few KiB and a file descriptor.
const MAX_UNFINISHED: usize = 1024;
/// Finished ones that tonic has not taken yet.
const READY: usize = 64;
/// Before trying again when there is no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A port, as metrics name it, and how it is secured.
#[derive(Clone, Debug)]
pub struct Port {
    pub name: &'static str,
    /// `None`: plain TCP.
    pub tls: Option<Arc<MutualTls>>,
    pub observer: Arc<dyn Observer>,
}

/// Connections on which HTTP/2 has begun. Dropping it closes the listener.
#[derive(Debug)]
pub struct Incoming {
    ready: mpsc::Receiver<Connection>,
    _acceptor: AbortOnDropHandle<()>,
}

impl Incoming {
    pub fn new(listener: TcpListener, port: Port) -> Self {
        let (sender, ready) = mpsc::channel(READY);
        Self { ready, _acceptor: AbortOnDropHandle::new(tokio::spawn(accept(listener, port, sender))) }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context).map(|connection| connection.map(Ok))
    }
}

async fn accept(listener: TcpListener, port: Port, ready: mpsc::Sender<Connection>) {
    let mut handshakes = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            // Joined as they end; what they came to they have said themselves.
            Some(_) = handshakes.join_next() => continue,
        };
        while oldest_first.front().is_some_and(AbortHandle::is_finished) {
            oldest_first.pop_front();
        }
        let no_room = stream.is_err() || handshakes.len() >= MAX_UNFINISHED;
        if let Some(oldest) = no_room.then(|| oldest_first.pop_front()).flatten() {
            oldest.abort();
            port.observer.handshake(End::Server, port.name, Outcome::Shed);
        }
        match stream {
            Ok((stream, _)) => {
                oldest_first.push_back(handshakes.spawn(establish(stream, port.clone(), ready.clone())));
            }
            Err(error) => {
                tracing::warn!(%error, port = port.name, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn establish(stream: TcpStream, port: Port, ready: mpsc::Sender<Connection>) {
    let address = stream.peer_addr().ok();
    let outcome = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(stream, &port)).await {
        Ok(Ok(connection)) => {
            port.observer.handshake(End::Server, port.name, Outcome::Established);
            // Gone when the server is stopping.
            let _ = ready.send(connection).await;
            return;
        }
        Ok(Err(outcome)) => outcome,
        Err(_) => Outcome::TimedOut,
    };
    tracing::debug!(port = port.name, ?address, outcome = outcome.as_str(), "no connection came about");
    port.observer.handshake(End::Server, port.name, outcome);
}

async fn handshake(stream: TcpStream, port: &Port) -> Result<Connection, Outcome> {
    stream.set_nodelay(true).map_err(|error| Outcome::of(&error))?;
    let connection = match &port.tls {
        Some(tls) => {
            let accepted = TlsAcceptor::from(tls.current()).accept(stream).await;
            Connection::tls(accepted.map_err(|error| Outcome::of(&error))?)
        }
        None => Connection::plain(stream),
    };
    connection.begin_http2().await
}
