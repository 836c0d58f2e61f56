//! An accepted connection on which HTTP/2 has begun, and what is known of the other end.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::flood::{CALM, Flood, Watcher};
use crate::names;
use crate::outcome::Outcome;

/// What a client sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug)]
pub struct Connection {
    io: Io,
    /// The part of the preface that was read to know it, and is to be read again.
    unread: &'static [u8],
    /// Once HTTP/2 has begun.
    frames: Option<Watcher>,
    /// What was to be written last was taken whole: what is written next begins a frame.
    is_between_frames: bool,
    caller: Caller,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Io {
    fn stream(&mut self) -> Pin<&mut dyn Stream> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

/// The other end; in the extensions of every request of the connection.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub address: Option<SocketAddr>,
    /// `None`: it presented none. One that is here was verified.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// What logs and lists show of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    pub subject: String,
    /// Its DNS names, IP addresses and URIs.
    pub names: Vec<String>,
}

impl Connection {
    fn of(io: Io, caller: Caller) -> Self {
        Self { io, unread: &[], frames: None, is_between_frames: true, caller }
    }

    pub(crate) fn plain(stream: TcpStream) -> Self {
        let caller = Caller { address: stream.peer_addr().ok(), certificate: None };
        Self::of(Io::Plain(stream), caller)
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        let (tcp, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first).map(|certificate| {
            // It was parsed when it was verified.
            let (subject, names) = names::describe(certificate).unwrap_or_default();
            Arc::new(PeerCertificate { subject, names })
        });
        let caller = Caller { address: tcp.peer_addr().ok(), certificate };
        Self::of(Io::Tls(Box::new(stream)), caller)
    }

    /// Waits for the client's first words: until then a connection costs nobody else anything but its place in line.
    pub(crate) async fn begin_http2(mut self) -> Result<Self, Outcome> {
        let mut seen = [0; PREFACE.len()];
        let mut length = 0;
        while length < PREFACE.len() {
            let room = seen.get_mut(length..).unwrap_or_default();
            let read = self.read(room).await.map_err(|error| Outcome::of(&error))?;
            if read == 0 {
                return Err(Outcome::Closed);
            }
            length += read;
            if seen.get(..length) != PREFACE.get(..length) {
                return Err(Outcome::NotHttp2);
            }
        }
        self.unread = PREFACE;
        self.frames = Some(Watcher::new());
        Ok(self)
    }

    /// Takes leave as h2 does of floods that it counts itself.
    fn end_flood(&mut self, context: &mut Context<'_>) -> io::Error {
        tracing::warn!(address = ?self.caller.address, "a flood of frames that carry nothing: the connection is closed");
        // Behind half a frame it would not be read as one; and whoever leaves no room for it reads nothing.
        if self.is_between_frames {
            let _ = self.io.stream().poll_write(context, CALM);
            let _ = self.io.stream().poll_flush(context);
        }
        io::ErrorKind::ConnectionAborted.into()
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let (now, later) = self.unread.split_at(self.unread.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.unread = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(self.io.stream().poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        match self.frames.as_mut().map(|frames| frames.read(read)) {
            Some(Err(Flood)) => Poll::Ready(Err(self.end_flood(context))),
            None | Some(Ok(())) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.io.stream().poll_write_vectored(context, slices);
        self.is_between_frames = match &written {
            Poll::Ready(Ok(written)) => *written == slices.iter().map(|slice| slice.len()).sum::<usize>(),
            Poll::Ready(Err(_)) | Poll::Pending => false,
        };
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.stream().poll_shutdown(context)
    }
}
