//! A connection and its streams as one task: a change wakes it once, its streams say what they have to say, HTTP/2 writes
//! it, and one system call sends it ([`crate::gather`]).
//!
//! The ordinary way is a task for each stream and one for the connection: a change wakes the first, which wakes the second,
//! which sends, stream by stream. Where a thousand connections wait for the same change, those wake-ups cost more than
//! what they are for.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;

use crate::gather::Outlet;

/// Streams and connection hand work to each other: how often before others get their turn.
const ROUNDS: usize = 8;

/// Of the connection, in whatever terms it has.
pub type Failure = Box<dyn Error + Send + Sync>;

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug)]
pub struct OneTask<T> {
    outlet: Outlet<T>,
    turn: Arc<Turn>,
    connection: Arc<Part>,
    streams: Arc<Streams>,
}

/// Adds streams, also as hyper's executor. Weak, since each stream that hyper begins holds one: they would keep each other.
#[derive(Clone, Debug)]
pub struct Begin(Weak<Streams>);

struct Streams {
    begun: Mutex<Vec<Stream>>,
    part: Arc<Part>,
}

/// The task. While it runs, it is told of work by the parts' marks alone, and not woken for what it is about to do.
#[derive(Debug, Default)]
struct Turn {
    runs: AtomicBool,
    waker: AtomicWaker,
}

/// What is woken on its own: the connection, or the streams.
#[derive(Debug)]
struct Part {
    due: AtomicBool,
    turn: Arc<Turn>,
}

impl Wake for Part {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The mark before the look at `runs`, which the task takes back before it looks at the marks for the last time:
        // one of the two sees the other.
        self.due.store(true, SeqCst);
        if !self.turn.runs.load(SeqCst) {
            self.turn.waker.wake();
        }
    }
}

impl<T: AsyncWrite + Unpin> OneTask<T> {
    /// `outlet`: of what the connection is spoken on.
    pub fn new(outlet: Outlet<T>) -> Self {
        let turn = Arc::new(Turn::default());
        let part = || Arc::new(Part { due: AtomicBool::new(true), turn: Arc::clone(&turn) });
        let (connection, part) = (part(), part());
        Self { outlet, turn, connection, streams: Arc::new(Streams { begun: Mutex::default(), part }) }
    }

    pub fn begin(&self) -> Begin {
        Begin(Arc::downgrade(&self.streams))
    }

    /// Runs until `connection` has ended; what is left of the streams is dropped then.
    pub async fn run<E: Into<Failure>>(self, connection: impl Future<Output = Result<(), E>>) -> Result<(), Failure> {
        let Self { mut outlet, turn, connection: part, streams } = self;
        let (connection_waker, streams_waker) =
            (Waker::from(Arc::clone(&part)), Waker::from(Arc::clone(&streams.part)));
        let mut connection = pin!(connection);
        let mut open = FuturesUnordered::new();
        poll_fn(|context| {
            turn.waker.register(context.waker());
            turn.runs.store(true, SeqCst);
            for _ in 0..ROUNDS {
                let spoke = streams.part.due.swap(false, SeqCst);
                if spoke {
                    open.extend(streams.begun.lock().drain(..));
                    let mut context = Context::from_waker(&streams_waker);
                    while let Poll::Ready(Some(())) = open.poll_next_unpin(&mut context) {}
                }
                let moved = part.due.swap(false, SeqCst);
                if moved && let Poll::Ready(end) = connection.as_mut().poll(&mut Context::from_waker(&connection_waker))
                {
                    // Its last words, if there is room for them.
                    let _ = outlet.poll_send(context);
                    return Poll::Ready(end.map_err(Into::into));
                }
                if !spoke && !moved {
                    break;
                }
            }
            // Once there is room again, the connection may go on.
            let sent = outlet.poll_send(&mut Context::from_waker(&connection_waker));
            turn.runs.store(false, SeqCst);
            if part.due.load(SeqCst) || streams.part.due.load(SeqCst) {
                context.waker().wake_by_ref();
            }
            match sent {
                Poll::Ready(Err(why)) => Poll::Ready(Err(why.into())),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

impl Begin {
    /// Lost when the connection has ended: nobody is there to hear it.
    pub fn stream(&self, stream: impl Future<Output = ()> + Send + 'static) {
        if let Some(streams) = self.0.upgrade() {
            streams.begun.lock().push(Box::pin(stream));
            streams.part.wake_by_ref();
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Begin {
    fn execute(&self, stream: F) {
        self.stream(stream);
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").field("part", &self.part).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::{mpsc, oneshot, watch};

    use super::*;
    use crate::gather::gather;

    #[tokio::test]
    async fn what_streams_say_of_one_change_leaves_together() {
        let (near, mut far) = tokio::io::duplex(1024);
        let (mut gathering, outlet) = gather(near);
        let (say, mut said) = mpsc::unbounded_channel::<&str>();
        let change = watch::Sender::new(());
        let task = OneTask::new(outlet);
        for word in ["one", "two", "three"] {
            let (say, mut changes) = (say.clone(), change.subscribe());
            task.begin().stream(async move {
                while changes.changed().await.is_ok() {
                    say.send(word).unwrap();
                }
            });
        }
        drop(say);
        let running = tokio::spawn(task.run(async move {
            while let Some(word) = said.recv().await {
                gathering.write_all(word.as_bytes()).await?;
                gathering.flush().await?;
            }
            Ok::<_, std::io::Error>(())
        }));
        let mut seen = [0; 64];
        for _ in 0..3 {
            change.send_replace(());
            assert_eq!(far.read(&mut seen).await.unwrap(), "onetwothree".len());
        }
        // The streams end with it, and the connection with them.
        drop(change);
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_stream_may_begin_at_any_time_and_is_dropped_with_the_connection() {
        let (near, _far) = tokio::io::duplex(1024);
        let task = OneTask::new(gather(near).1);
        let begin = task.begin();
        let (end, ended) = oneshot::channel::<()>();
        let running = tokio::spawn(task.run(async {
            ended.await.unwrap();
            Err::<(), _>("it is over")
        }));
        let (began, begun) = oneshot::channel();
        let (held, dropped) = oneshot::channel::<()>();
        begin.stream(async move {
            began.send(()).unwrap();
            let _held = held;
            std::future::pending::<()>().await;
        });
        begun.await.unwrap();
        end.send(()).unwrap();
        assert_eq!(running.await.unwrap().unwrap_err().to_string(), "it is over");
        assert!(dropped.await.is_err());
        // Nobody hears this one.
        begin.stream(std::future::pending());
    }
}
