//! Holds what is written until its owner says that this was all: what a task says in one go leaves as one TLS record and by
//! one system call.
//!
//! h2 writes and flushes every DATA frame of 256 bytes and more by itself. With several streams on a connection, and with
//! a PING or an acknowledged SETTINGS between them, each would be sealed, sent, and wake the other end on its own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is held at most, give or take one write. It is what one TLS record takes (RFC 8446 §5.1).
const MOST: usize = 16 << 10;

/// The half that HTTP/2 is spoken on. Flushing it does nothing: that is for [`Outlet::poll_send`].
#[derive(Debug)]
pub struct Gathering<T>(Arc<Mutex<Held<T>>>);

/// The half that sends. Whoever polls the user of [`Gathering`] polls this afterwards, each time.
#[derive(Debug)]
pub struct Outlet<T>(Arc<Mutex<Held<T>>>);

#[derive(Debug)]
struct Held<T> {
    io: T,
    /// Given back once it is sent: most connections are silent most of the time.
    written: Vec<u8>,
    sent: usize,
    /// Bytes, ever.
    taken: u64,
    /// `io` has taken everything, and may have some of it still.
    unflushed: bool,
}

pub fn gather<T>(io: T) -> (Gathering<T>, Outlet<T>) {
    let held = Arc::new(Mutex::new(Held { io, written: Vec::new(), sent: 0, taken: 0, unflushed: false }));
    (Gathering(Arc::clone(&held)), Outlet(held))
}

impl<T: AsyncWrite + Unpin> Outlet<T> {
    /// Sends what was written; pending while the other end does not read.
    pub fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_send(context)
    }

    /// How much the other end has taken so far: whether it takes anything shows by this.
    pub fn taken(&self) -> u64 {
        self.0.lock().taken
    }
}

impl<T: AsyncWrite + Unpin> Held<T> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.written.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let taken = ready!(Pin::new(&mut self.io).poll_write(context, rest))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += taken;
            self.taken += taken as u64;
            self.unflushed = true;
        }
        (self.written, self.sent) = (Vec::new(), 0);
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when something may be added.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.written.len() < MOST { Poll::Ready(Ok(())) } else { self.poll_send(context) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gathering<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gathering<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut held = self.0.lock();
        ready!(held.poll_room(context))?;
        let length = slices.iter().map(|slice| slice.len()).sum();
        held.written.reserve(length);
        for slice in slices {
            held.written.extend_from_slice(slice);
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.0.lock();
        ready!(held.poll_send(context))?;
        Pin::new(&mut held.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::poll;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_was_written_leaves_together_when_it_is_told_to() {
        let (near, mut far) = tokio::io::duplex(MOST);
        let (mut writer, mut outlet) = gather(near);
        for word in ["one", "two", "three"] {
            writer.write_all(word.as_bytes()).await.unwrap();
            writer.flush().await.unwrap();
        }
        let mut seen = [0; 64];
        assert!(poll!(std::pin::pin!(far.read(&mut seen))).is_pending());
        poll_fn(|context| outlet.poll_send(context)).await.unwrap();
        let read = far.read(&mut seen).await.unwrap();
        assert_eq!(&seen[..read], b"onetwothree");
        far.write_all(b"answer").await.unwrap();
        let read = writer.read(&mut seen).await.unwrap();
        assert_eq!(&seen[..read], b"answer");
    }

    #[tokio::test]
    async fn no_more_is_held_than_its_limit_while_nobody_reads() {
        let (near, mut far) = tokio::io::duplex(100);
        let (mut writer, mut outlet) = gather(near);
        writer.write_all(&[7; MOST]).await.unwrap();
        assert!(poll!(std::pin::pin!(writer.write(&[8]))).is_pending());
        assert!(poll!(poll_fn(|context| outlet.poll_send(context))).is_pending());
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            all
        });
        writer.write_all(&[8]).await.unwrap();
        writer.shutdown().await.unwrap();
        let all = reading.await.unwrap();
        assert_eq!((all.len(), all.last()), (MOST + 1, Some(&8)));
    }
}
