//! One who listens: walks the records behind a cursor of its own, and is shown what its role may see.

use actix_web::web;
use controlplane_core::Role;
use serde_json::Value;
use tokio::sync::mpsc;
use vocab::Revision;

use super::Place;
use super::frame::{Frame, Stand};
use crate::admin::Api;
use crate::admin::audit::confine;
use crate::admin::auth::Principal;
use crate::audit::{self, Filter, Order};
use crate::control_plane::StorageError;

const PIECE: usize = 256;

pub(super) struct Listener {
    pub(super) api: web::Data<Api>,
    pub(super) who: Principal,
    pub(super) sender: mpsc::Sender<Frame>,
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Nobody listens any more.
    Gone,
    Slow,
    /// The token: its holder may come back with another.
    Expired,
    Revoked,
    Stopping,
    Unreadable,
}

impl End {
    const fn why(self) -> Option<&'static str> {
        match self {
            Self::Gone => None,
            Self::Slow => Some("slow"),
            Self::Expired => Some("expired"),
            Self::Revoked => Some("revoked"),
            Self::Stopping => Some("stopping"),
            Self::Unreadable => Some("unreadable"),
        }
    }
}

impl Listener {
    pub(super) async fn run(self, begin: Place) {
        // Kept free, so that there is room to say why the stream ends.
        let Ok(farewell) = self.sender.clone().reserve_owned().await else { return };
        let end = match self.walk(begin).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if let Some(why) = end.why() {
            tracing::info!(actor = self.who.name(), why, "an event stream is closed");
            drop(farewell.send(Frame::Closed(why)));
        }
    }

    async fn walk(&self, begin: Place) -> Result<std::convert::Infallible, End> {
        let store = self.api.control.records().clone();
        let mut extents = store.extents();
        let stopping = self.api.listeners.stopping.clone();
        let looking = store.clone();
        let found = web::block(move || position(&looking, begin)).await.map_err(|_| End::Unreadable)?;
        let mut cursor = match found.map_err(|_| End::Unreadable)? {
            Some(seq) => seq,
            None => self.reset(&extents.borrow().clone()).await?,
        };
        // Said even to one whose token has ended since: it came with a good one, and goes on from here with the next.
        self.deliver(Frame::Opened(self.stand(cursor))).await?;
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
                () = tokio::time::sleep(self.api.listeners.heartbeat) => {
                    self.send(Frame::Heartbeat(self.stand(cursor))).await?;
                }
                () = stopping.cancelled() => return Err(End::Stopping),
                () = self.sender.closed() => return Err(End::Gone),
            }
        }
    }

    fn stand(&self, seq: u64) -> Stand {
        Stand { revision: self.api.control.applied_revision(), seq }
    }

    /// Sends some of the records after `cursor`; the last that was looked at.
    async fn piece(&self, cursor: u64, newest: u64) -> Result<u64, End> {
        self.check_credential()?;
        let mut filter = Filter { until_seq: Some(newest), ..Filter::default() };
        if let Role::TenantAdmin(slug) = &self.who.role {
            confine(&mut filter, slug, &self.api);
        }
        let query = audit::Query { filter, order: Order::OldestFirst, after: Some(cursor), limit: PIECE };
        let store = self.api.control.records().clone();
        let page = web::block(move || audit::page(&store, &query)).await.map_err(|_| End::Unreadable)?;
        let page = page.map_err(|_| End::Unreadable)?;
        for line in &page.lines {
            let Ok(record) = serde_json::from_str::<Value>(line) else { return Err(End::Unreadable) };
            if let Some(shown) = Frame::show(&self.who.role, &record) {
                self.send(shown).await?;
            }
        }
        Ok(page.go_on_after.unwrap_or(newest))
    }

    /// What was asked for is no longer there: the listener must read the configuration anew, and goes on from here.
    async fn reset(&self, extent: &audit::Extent) -> Result<u64, End> {
        self.send(Frame::Reset(self.api.control.applied_revision())).await?;
        Ok(extent.newest)
    }

    /// At each piece and each heartbeat: a token that is over, and a credential that is gone or has another role, hears
    /// no more.
    fn check_credential(&self) -> Result<(), End> {
        if self.who.is_over(&self.api) {
            return Err(End::Expired);
        }
        let role = self.who.role_now(&self.api);
        if role.as_ref() == Some(&self.who.role) { Ok(()) } else { Err(End::Revoked) }
    }

    async fn send(&self, frame: Frame) -> Result<(), End> {
        self.check_credential()?;
        self.deliver(frame).await
    }

    async fn deliver(&self, frame: Frame) -> Result<(), End> {
        match tokio::time::timeout(self.api.listeners.patience(), self.sender.send(frame)).await {
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
