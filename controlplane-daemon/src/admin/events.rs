//! `/events`: what changes, as it changes, as server-sent events (WHATWG HTML §9.2) or over a WebSocket (RFC 6455).
//!
//! ```text
//!   audit records ──▶ listener: cursor, role ──▶ a few frames ──▶ text/event-stream | messages
//! ```
//!
//! Nothing is queued per listener but a few frames: each walks the records behind a cursor of its own, so one that is slow
//! delays nobody. One that takes nothing for a while is told so and closed; it comes back with `?since=` and misses nothing.

mod frame;
mod listener;
mod websocket;

use std::future::Ready;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HeaderName, UPGRADE};
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, web};
use futures::StreamExt as _;
use telemetry::held::Held;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use vocab::{ErrorCode, Revision};

use self::frame::Frame;
use self::listener::Listener;
use super::Api;
use super::auth::Principal;
use super::problem::Problem;
use super::query;

/// Streams at a time on one node.
const LISTENERS: usize = 1_000;
/// Frames that wait for one listener.
const QUEUE: usize = 64;

/// One of the places, until the connection is over: who does not take the last words does not make room by that.
#[derive(Debug)]
struct Seat {
    _place: OwnedSemaphorePermit,
    _counted: Held,
}

/// What all streams share.
#[derive(Clone, Debug)]
pub struct Listeners {
    places: Arc<Semaphore>,
    stopping: CancellationToken,
    heartbeat: Duration,
}

impl Listeners {
    /// Something is sent at least every `heartbeat`; who takes nothing for two of them is closed.
    pub fn new(heartbeat: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(LISTENERS)), stopping: CancellationToken::new(), heartbeat }
    }

    /// Ends every stream; their listeners come back elsewhere.
    pub fn close(&self) {
        self.stopping.cancel();
    }

    fn patience(&self) -> Duration {
        self.heartbeat * 2
    }
}

/// The browser's `Last-Event-ID`, or `?since=REVISION`: who comes back as WHATWG HTML §9.2.3 has it sends both, the
/// address that it began with and how far it has come since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since(Option<Place>);

/// After this revision, or after this record of it.
#[derive(Clone, Copy, Debug)]
enum Place {
    Revision(Revision),
    Record(u64),
}

impl FromRequest for Since {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        query::extract(request, |query| {
            let last = request.headers().get(HeaderName::from_static("last-event-id"));
            let last = last.and_then(|last| last.to_str().ok()).filter(|last| !last.is_empty());
            let begin = query.take("since");
            let Some(since) = last.or(begin.as_deref()) else { return Ok(Self(None)) };
            let place = match since.split_once('-') {
                Some((_, seq)) => seq.parse().map(Place::Record),
                None => since.parse().map(|revision| Place::Revision(Revision(revision))),
            };
            place
                .map(|place| Self(Some(place)))
                .map_err(|_| Problem::bad_request("since must be a revision, Last-Event-ID an event's id"))
        })
    }
}

/// `GET /events`
pub(super) async fn events(
    api: web::Data<Api>,
    who: Principal,
    since: Since,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let place = Arc::clone(&api.listeners.places).try_acquire_owned().map_err(|_| {
        Problem::too_many_requests(Duration::from_secs(5), format!("{LISTENERS} listen already; ask another node"))
    })?;
    let applied = api.control.applied_revision();
    if let Some(Place::Revision(wanted)) = since.0
        && wanted > applied
    {
        let detail = format!("revision {wanted} was not reached; this node is at {applied}");
        return Err(Problem::new(ErrorCode::RevisionNotReached, detail));
    }
    // Before it counts as listening: whatever changes from then on, it is told or finds when it comes back.
    let begin = since.0.unwrap_or_else(|| Place::Record(api.control.records().extent().newest));
    let seat = Seat { _place: place, _counted: Held::of(&metrics::gauge!("hj_cp_event_listeners")) };
    let (sender, frames) = mpsc::channel(QUEUE);
    let answer = if request.headers().contains_key(UPGRADE) {
        websocket::answer(&request, body, frames, seat)?
    } else {
        let frames = tokio_stream::wrappers::ReceiverStream::new(frames);
        HttpResponse::Ok().content_type("text/event-stream").insert_header(("x-accel-buffering", "no")).streaming(
            frames.map(move |frame: Frame| {
                let _ = &seat;
                Ok::<_, actix_web::Error>(frame.as_server_sent_event())
            }),
        )
    };
    let listener = Listener { api, who, sender };
    actix_web::rt::spawn(listener.run(begin));
    Ok(answer)
}
