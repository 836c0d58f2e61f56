//! Subscribers that note when each revision arrives, as light as subscribers can be: they share the machine
//! with the node that is measured, and what they cost is in every figure of time.
//!
//! TLS, HTTP/2 and protobuf are a pod's; every change is decoded and acknowledged. What is left out is tonic: h2 is used
//! directly, a connection and its streams are one task, and there are as many threads as processors.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::SendRequest;
use tests::tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use transport::gather::gather;
use transport::one_task::OneTask;

use crate::dialect::{Dialect, Heard};

/// Where changes follow each other, a pod acknowledges once in about so many times what the node gives it for one.
const REST: f64 = 4.0;
/// As tonic's default.
const WINDOW: u32 = 1 << 20;

/// When each revision came, at every subscriber.
pub(crate) type Arrivals = Arc<Mutex<BTreeMap<u64, Vec<Instant>>>>;

/// Where to subscribe.
#[derive(Clone)]
pub(crate) struct Door {
    pub address: String,
    pub dialect: Dialect,
    /// The authority's certificate; `None`: no TLS.
    pub ca: Option<String>,
}

/// They leave when this is dropped.
pub(crate) struct Subscribers {
    threads: Vec<Thread>,
    /// How many connections there are.
    connected: AtomicUsize,
}

struct Thread {
    runtime: Handle,
    _stay: oneshot::Sender<()>,
}

/// A subscriber's part of what they share.
#[derive(Clone)]
struct Place {
    dialect: Dialect,
    name: String,
    arrivals: Arrivals,
    /// When in the time that the node gives for it this one acknowledges; all streams of a connection alike, since only
    /// here do several share one.
    moment: f64,
    synced: mpsc::UnboundedSender<()>,
}

impl Subscribers {
    pub(crate) fn none() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { threads: (0..processors).map(|_| Thread::start()).collect(), connected: AtomicUsize::new(0) }
    }

    /// One more connection with that many streams; returns once each has its snapshot.
    pub(crate) async fn connect(&self, door: &Door, name: &str, streams: usize, arrivals: &Arrivals) {
        let (synced, mut done) = mpsc::unbounded_channel();
        let moment = rand::random();
        let place = |number: usize| Place {
            dialect: door.dialect.clone(),
            name: format!("{name}-{number}"),
            arrivals: Arc::clone(arrivals),
            moment,
            synced: synced.clone(),
        };
        let places: Vec<_> = (0..streams).map(place).collect();
        drop(synced);
        let (address, ca) = (door.address.clone(), door.ca.clone());
        let number = self.connected.fetch_add(1, Ordering::Relaxed);
        let thread = self.threads.get(number % self.threads.len()).expect("there is one per processor");
        thread.runtime.spawn(async move {
            match ca {
                Some(ca) => {
                    let stream = tls::connect_for_http2("127.0.0.1", &address, &ca).await.expect("the node is there");
                    stream.get_ref().0.set_nodelay(true).expect("TCP");
                    speak(stream, places).await;
                }
                None => speak(TcpStream::connect(address).await.expect("the node is there"), places).await,
            }
        });
        for _ in 0..streams {
            done.recv().await.expect("the node takes a subscriber");
        }
    }
}

impl Thread {
    fn start() -> Self {
        let (stay, leave) = oneshot::channel::<()>();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let handle = runtime.handle().clone();
        std::thread::spawn(move || {
            let _ = runtime.block_on(leave);
        });
        Self { runtime: handle, _stay: stay }
    }
}

async fn speak<T: AsyncRead + AsyncWrite + Unpin + Send>(stream: T, places: Vec<Place>) {
    let (gathering, outlet) = gather(stream);
    let (requests, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake::<_, Bytes>(gathering)
        .await
        .expect("nothing is waited for");
    let task = OneTask::new(outlet, Duration::from_mins(1));
    for place in places {
        let requests = requests.clone();
        task.begin().stream(async move {
            // Ends with the connection.
            let _ = subscribe(requests, place).await;
        });
    }
    let _ = task.run(connection).await;
}

async fn subscribe(requests: SendRequest<Bytes>, place: Place) -> Result<(), h2::Error> {
    let Place { dialect, name, arrivals, moment, synced } = place;
    let (response, mut out) = requests.ready().await?.send_request(dialect.request(), false)?;
    out.send_data(dialect.hello(&name), false)?;
    let mut body = response.await?.into_body();
    let (mut unread, mut synced) = (BytesMut::new(), Some(synced));
    let (mut spread, mut owed, mut earliest) = (Duration::ZERO, None, Instant::now());
    let mut due = pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = body.data() => chunk,
            () = &mut due, if owed.is_some() => {
                if let Some(acknowledgement) = owed.take() {
                    out.send_data(acknowledgement, false)?;
                    earliest = due.deadline().into_std() + spread.mul_f64(REST * (0.5 + moment));
                }
                continue;
            }
        };
        let Some(chunk) = chunk else { return Ok(()) };
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        unread.extend_from_slice(&chunk);
        let mut upto = None;
        while let Some(message) = next(&mut unread) {
            match dialect.read(&message) {
                Heard::Change(revision) => {
                    let now = Instant::now();
                    arrivals.lock().expect("no holder panics").entry(revision).or_default().push(now);
                    upto = Some(revision);
                }
                Heard::Synced(revision) => {
                    if let Some(synced) = synced.take() {
                        let _ = synced.send(());
                    }
                    upto = Some(revision);
                }
                Heard::Spread(within) => spread = within,
                Heard::Nothing => {}
            }
        }
        let Some(acknowledgement) = upto.and_then(|revision| dialect.acknowledgement(revision)) else { continue };
        if spread.is_zero() {
            // Those whose change is there already read it first, as they would on machines of their own.
            tokio::task::yield_now().await;
            out.send_data(acknowledgement, false)?;
        } else if owed.replace(acknowledgement).is_none() {
            due.as_mut().reset(earliest.max(Instant::now() + spread.mul_f64(moment)).into());
        }
    }
}

/// The next whole gRPC message, without its head.
fn next(unread: &mut BytesMut) -> Option<BytesMut> {
    let mut length = unread.get(1..5)?;
    let end = 5 + length.get_u32() as usize;
    if unread.len() < end {
        return None;
    }
    let mut message = unread.split_to(end);
    message.advance(5);
    Some(message)
}
