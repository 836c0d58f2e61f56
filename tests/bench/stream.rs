//! Subscribers of the watch that note when each revision arrives, as light as subscribers can be: they share the machine
//! with the node that is measured, and what they cost is in every figure of time.
//!
//! TLS, HTTP/2 and protobuf are a pod's; every change is decoded and acknowledged. What is left out is tonic: h2 is used
//! directly, a connection and its streams are one task, and there are as many threads as processors. Whoever has a
//! change lets the others read theirs before it acknowledges: pods have machines of their own, where one's
//! acknowledgement does not keep another one waiting.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use prost::Message as _;
use shared_proto::watch::{Ack, Event, Hello, PodMessage, event, pod_message};
use tests::tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use transport::gather::gather;
use transport::one_task::OneTask;

/// As tonic's default.
const WINDOW: u32 = 1 << 20;

/// When each revision came, at every subscriber.
pub(crate) type Arrivals = Arc<Mutex<BTreeMap<u64, Vec<Instant>>>>;

/// Where to subscribe.
#[derive(Clone)]
pub(crate) struct Door {
    pub address: String,
    pub token: String,
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
    authorization: String,
    name: String,
    arrivals: Arrivals,
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
        let place = |number: usize| Place {
            authorization: format!("Bearer {}", door.token),
            name: format!("{name}-{number}"),
            arrivals: Arc::clone(arrivals),
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
    let Place { authorization, name, arrivals, synced } = place;
    let request = Request::post("https://node/hellojohn.watch.v1.Watch/Subscribe")
        .header("authorization", authorization)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a valid request");
    let (response, mut out) = requests.ready().await?.send_request(request, false)?;
    let mut say = |kind| out.send_data(frame(kind), false);
    say(pod_message::Kind::Hello(Hello { pod_id: name, version: "bench".to_owned(), ..Hello::default() }))?;
    let mut body = response.await?.into_body();
    let (mut unread, mut synced) = (BytesMut::new(), Some(synced));
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        unread.extend_from_slice(&chunk);
        let mut upto = None;
        while let Some(event) = next(&mut unread) {
            let acknowledged = match event.kind {
                Some(event::Kind::Delta(delta)) => {
                    let now = Instant::now();
                    arrivals.lock().expect("no holder panics").entry(delta.revision).or_default().push(now);
                    delta.revision
                }
                Some(event::Kind::SnapshotEnd(end)) => {
                    if let Some(synced) = synced.take() {
                        let _ = synced.send(());
                    }
                    end.at.map_or(0, |at| at.revision)
                }
                _ => continue,
            };
            upto = Some(acknowledged);
        }
        if let Some(revision) = upto {
            // Those whose change is there already read it first, as they would on machines of their own.
            tokio::task::yield_now().await;
            say(pod_message::Kind::Ack(Ack { revision, ..Ack::default() }))?;
        }
    }
    Ok(())
}

/// A gRPC message: flag, length, protobuf.
fn frame(kind: pod_message::Kind) -> Bytes {
    let message = PodMessage { kind: Some(kind) };
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("a small message"));
    message.encode(&mut frame).expect("a BytesMut grows as needed");
    frame.freeze()
}

fn next(unread: &mut BytesMut) -> Option<Event> {
    let mut length = unread.get(1..5)?;
    let end = 5 + length.get_u32() as usize;
    if unread.len() < end {
        return None;
    }
    let message = unread.split_to(end);
    Some(Event::decode(message.get(5..)?).expect("a node sends events"))
}
