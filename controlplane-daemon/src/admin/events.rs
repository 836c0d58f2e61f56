//! `/events`: what changes, as it changes, as server-sent events (WHATWG HTML §9.2).
//!
//! Nothing is queued per listener but a few frames: each walks the records behind a cursor of its own, so one that is slow
//! delays nobody. One that takes nothing for a while is told so and closed; it comes back with `?since=` and misses nothing.

use std::time::Duration;

use actix_web::http::header::HeaderName;
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, web};
use bytes::Bytes;
use controlplane_core::Role;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::future::Ready;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use vocab::{ErrorCode, Revision};

use super::Api;
use super::auth::Principal;
use super::problem::Problem;
use super::query;
use crate::audit::{self, Filter, Order};
use crate::control_plane::StorageError;

/// Streams at a time on one node.
const LISTENERS: usize = 1_000;
/// Frames that wait for one listener.
const QUEUE: usize = 64;
const PIECE: usize = 256;
/// Comments in between keep proxies from closing what is quiet, and find out who is gone.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Who takes nothing for so long is closed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What all streams share.
#[derive(Clone, Debug)]
pub struct Listeners {
    places: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl Default for Listeners {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(LISTENERS)), stopping: CancellationToken::new() }
    }
}

impl Listeners {
    /// Ends every stream; their listeners come back elsewhere.
    pub fn close(&self) {
        self.stopping.cancel();
    }
}

/// `?since=REVISION`, or the browser's `Last-Event-ID`.
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
            let since = query.take("since").or_else(|| Some(last?.to_str().ok()?.to_owned()));
            let Some(since) = since else { return Ok(Self(None)) };
            let place = match since.split_once('-') {
                Some((_, seq)) => seq.parse().map(Place::Record),
                None => since.parse().map(|revision| Place::Revision(Revision(revision))),
            };
            place.map(|place| Self(Some(place))).map_err(|_| Problem::bad_request("since must be a revision"))
        })
    }
}

/// `GET /events`
pub(super) async fn events(api: web::Data<Api>, who: Principal, since: Since) -> Result<HttpResponse, Problem> {
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
    let (sender, frames) = mpsc::channel(QUEUE);
    let listener = Listener { api, who, sender };
    actix_web::rt::spawn(async move {
        listener.run(since).await;
        drop(place);
    });
    let body = tokio_stream::wrappers::ReceiverStream::new(frames).map(Ok::<_, actix_web::Error>);
    Ok(HttpResponse::Ok().content_type("text/event-stream").insert_header(("x-accel-buffering", "no")).streaming(body))
}

struct Listener {
    api: web::Data<Api>,
    who: Principal,
    sender: mpsc::Sender<Bytes>,
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Nobody listens any more.
    Gone,
    Slow,
    Revoked,
    Stopping,
    Unreadable,
}

impl End {
    const fn why(self) -> Option<&'static str> {
        match self {
            Self::Gone => None,
            Self::Slow => Some("slow"),
            Self::Revoked => Some("revoked"),
            Self::Stopping => Some("stopping"),
            Self::Unreadable => Some("unreadable"),
        }
    }
}

impl Listener {
    async fn run(self, since: Since) {
        // Kept free, so that there is room to say why the stream ends.
        let Ok(farewell) = self.sender.clone().reserve_owned().await else { return };
        let end = match self.walk(since).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if let Some(why) = end.why() {
            tracing::info!(actor = self.who.name(), why, "an event stream is closed");
            drop(farewell.send(frame("closed", None, &json!({"reason": why}))));
        }
    }

    async fn walk(&self, since: Since) -> Result<std::convert::Infallible, End> {
        let store = self.api.control.records().clone();
        let mut extents = store.extents();
        let stopping = self.api.listeners.stopping.clone();
        let mut cursor = match since.0 {
            None => extents.borrow().newest,
            Some(place) => {
                let looking = store.clone();
                let found = web::block(move || position(&looking, place)).await.map_err(|_| End::Unreadable)?;
                match found.map_err(|_| End::Unreadable)? {
                    Some(seq) => seq,
                    None => self.reset(&extents.borrow().clone()).await?,
                }
            }
        };
        self.send(Bytes::from(format!("retry: 1000\n: revision {}\n\n", self.api.control.applied_revision()))).await?;
        loop {
            let extent = *extents.borrow_and_update();
            while cursor < extent.newest {
                if extent.complete_from > cursor + 1 {
                    cursor = self.reset(&extent).await?;
                    continue;
                }
                cursor = self.piece(cursor, extent.newest).await?;
            }
            tokio::select! {
                changed = extents.changed() => changed.map_err(|_| End::Stopping)?,
                () = tokio::time::sleep(HEARTBEAT) => {
                    let revision = self.api.control.applied_revision();
                    self.send(Bytes::from(format!(": revision {revision}\n\n"))).await?;
                }
                () = stopping.cancelled() => return Err(End::Stopping),
                () = self.sender.closed() => return Err(End::Gone),
            }
        }
    }

    /// Sends some of the records after `cursor`; the last that was looked at.
    async fn piece(&self, cursor: u64, newest: u64) -> Result<u64, End> {
        self.check_credential()?;
        let filter = Filter { until_seq: Some(newest), ..Filter::default() };
        let query = audit::Query { filter, order: Order::OldestFirst, after: Some(cursor), limit: PIECE };
        let store = self.api.control.records().clone();
        let page = web::block(move || audit::page(&store, &query)).await.map_err(|_| End::Unreadable)?;
        let page = page.map_err(|_| End::Unreadable)?;
        for line in &page.lines {
            let Ok(record) = serde_json::from_str::<Value>(line) else { return Err(End::Unreadable) };
            if let Some(shown) = show(&self.who.role, &record) {
                self.send(shown).await?;
            }
        }
        Ok(page.go_on_after.unwrap_or(newest))
    }

    /// What was asked for is no longer there: the listener must read the configuration anew, and goes on from here.
    async fn reset(&self, extent: &audit::Extent) -> Result<u64, End> {
        let revision = self.api.control.applied_revision();
        self.send(frame("reset", None, &json!({"revision": revision}))).await?;
        Ok(extent.newest)
    }

    /// At each piece and each heartbeat: a credential that is gone, or has another role, hears no more.
    fn check_credential(&self) -> Result<(), End> {
        let role = self.who.role_now(&self.api);
        if role.as_ref() == Some(&self.who.role) { Ok(()) } else { Err(End::Revoked) }
    }

    async fn send(&self, frame: Bytes) -> Result<(), End> {
        self.check_credential()?;
        match tokio::time::timeout(PATIENCE, self.sender.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Slow),
        }
    }
}

/// The record to go on after; `None` when what follows the place is not all here. Reads the disk.
fn position(store: &audit::Store, place: Place) -> Result<Option<u64>, StorageError> {
    let extent = store.extent();
    let revision_of = |seq: u64| -> Result<u64, StorageError> {
        let line = store.record(seq)?.unwrap_or_default();
        Ok(serde_json::from_str::<Value>(&line).ok().and_then(|record| record["revision"].as_u64()).unwrap_or(0))
    };
    match place {
        Place::Record(seq) => Ok((seq + 1 >= extent.complete_from).then_some(seq.min(extent.newest))),
        Place::Revision(Revision(wanted)) => {
            if extent.complete_from > 1
                && (extent.complete_from > extent.newest || revision_of(extent.complete_from)? > wanted)
            {
                return Ok(None);
            }
            // Revisions never fall: the first record of a later one.
            let (mut low, mut high) = (extent.complete_from, extent.newest + 1);
            while low < high {
                let middle = low + (high - low) / 2;
                if revision_of(middle)? > wanted {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            Ok(Some(low - 1))
        }
    }
}

/// What `role` is shown of a record: where requests came from is for those who read the audit.
fn show(role: &Role, record: &Value) -> Option<Bytes> {
    let action = record["action"].as_str().unwrap_or_default();
    let is_change = record.get("changes").is_some();
    let visible = match role {
        Role::Owner | Role::Auditor => true,
        Role::Operator => is_change && !action.starts_with("admin."),
        Role::TenantAdmin(slug) => is_change && record["tenant"].as_str() == Some(slug.as_str()),
    };
    if !visible {
        return None;
    }
    let mut shown = serde_json::Map::new();
    for name in ["revision", "seq", "time", "actor", "action", "tenant", "resource", "changes", "note"] {
        if let Some(value) = record.get(name) {
            shown.insert(name.to_owned(), value.clone());
        }
    }
    let id = format!("{}-{}", record["revision"], record["seq"]);
    Some(frame(action, Some(&id), &Value::Object(shown)))
}

fn frame(event: &str, id: Option<&str>, data: &Value) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("{id}event: {event}\ndata: {data}\n\n"))
}
