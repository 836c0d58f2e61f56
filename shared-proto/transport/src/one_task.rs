//! A connection and its streams as one task: a change wakes it once, its streams say what they have to say, HTTP/2 writes
//! it, and one system call sends it ([`crate::gather`]).
//!
//! The ordinary way is a task for each stream and one for the connection: a change wakes the first, which wakes the second,
//! which sends, stream by stream. Where a thousand connections wait for the same change, those wake-ups cost more than
//! what they are for.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::gather::Outlet;

/// Streams and connection hand work to each other: how often before others get their turn.
const ROUNDS: usize = 8;

/// Of the connection, in whatever terms it has.
pub type Failure = Box<dyn Error + Send + Sync>;

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug)]
pub struct OneTask<T> {
    outlet: Outlet<T>,
    patience: Duration,
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
    /// `outlet`: of what the connection is spoken on. An other end that takes nothing of it for so long as `patience` is
    /// given up, whatever it says meanwhile.
    pub fn new(outlet: Outlet<T>, patience: Duration) -> Self {
        let turn = Arc::new(Turn::default());
        let part = || Arc::new(Part { due: AtomicBool::new(true), turn: Arc::clone(&turn) });
        let (connection, part) = (part(), part());
        Self { outlet, patience, turn, connection, streams: Arc::new(Streams { begun: Mutex::default(), part }) }
    }

    pub fn begin(&self) -> Begin {
        Begin(Arc::downgrade(&self.streams))
    }

    /// Runs until `connection` has ended; what is left of the streams is dropped then.
    pub async fn run<E: Into<Failure>>(self, connection: impl Future<Output = Result<(), E>>) -> Result<(), Failure> {
        let Self { mut outlet, patience, turn, connection: part, streams } = self;
        let (connection_waker, streams_waker) =
            (Waker::from(Arc::clone(&part)), Waker::from(Arc::clone(&streams.part)));
        let mut connection = pin!(connection);
        let mut open = FuturesUnordered::new();
        let mut untaken = Untaken { patience, stands: None };
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
                Poll::Ready(Ok(())) => {
                    untaken.stands = None;
                    Poll::Pending
                }
                Poll::Pending => untaken.poll(outlet.taken(), context).map(Err),
            }
        })
        .await
    }
}

/// What is to be sent and cannot.
struct Untaken {
    patience: Duration,
    /// Since the other end had taken so many bytes, until it is given up. Made when it is needed: most connections are idle.
    stands: Option<(u64, Pin<Box<Sleep>>)>,
}

impl Untaken {
    fn poll(&mut self, taken: u64, context: &mut Context<'_>) -> Poll<Failure> {
        let end = match &mut self.stands {
            Some((before, end)) if *before == taken => end,
            _ => &mut self.stands.insert((taken, Box::pin(sleep_until(Instant::now() + self.patience)))).1,
        };
        let why = "what is sent is not taken";
        end.as_mut().poll(context).map(|()| io::Error::new(io::ErrorKind::TimedOut, why).into())
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

    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn what_streams_say_of_one_change_leaves_together() {
        let (near, mut far) = tokio::io::duplex(1024);
        let (mut gathering, outlet) = gather(near);
        let (say, mut said) = mpsc::unbounded_channel::<&str>();
        let change = watch::Sender::new(());
        let task = OneTask::new(outlet, PATIENCE);
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
    async fn who_takes_nothing_is_given_up_and_who_takes_a_little_is_not() {
        for takes in [0, 1] {
            let (near, mut far) = tokio::io::duplex(8);
            let (mut gathering, outlet) = gather(near);
            let task = OneTask::new(outlet, Duration::from_millis(if takes == 0 { 5 } else { 60_000 }));
            let running = tokio::spawn(task.run(async move {
                gathering.write_all(&[7; 64]).await?;
                gathering.shutdown().await
            }));
            let mut seen = Vec::new();
            while takes == 1 && seen.len() < 64 {
                seen.push(far.read_u8().await.unwrap());
            }
            let end = running.await.unwrap().map_err(|why| why.to_string());
            assert_eq!(end.is_ok(), takes == 1, "{end:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_may_begin_at_any_time_and_is_dropped_with_the_connection() {
        let (near, _far) = tokio::io::duplex(1024);
        let task = OneTask::new(gather(near).1, PATIENCE);
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
