//! Keeps the configuration on disk, and notes beside it when what is there was last known to be complete.
//!
//! Only what is on disk is noted: the pod itself may know of more, which a restart would not bring back.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use vocab::{Clock, Keyring};

use super::Position;
use super::confirmed::{BootTime, ConfirmedFile, before};
use super::mirror::Saved;
use super::state_file::StateFile;
use super::status::{Complete, Status};

/// Changes come in bursts; the file is written once per burst.
const DEBOUNCE: Duration = Duration::from_millis(500);
/// The file is the whole state: under a stream of changes, writing it takes no more than one part in so many of the time.
const PAUSES_PER_SAVE: u32 = 20;
/// What could not be written is tried again after this: a disk that is full may get room.
const RETRY: Duration = Duration::from_secs(5);
/// How often it is noted on disk that the configuration is complete: what may be missing of its youth after a crash.
const CONFIRM: Duration = Duration::from_secs(2);

/// What a pod has on disk.
#[derive(Clone, Debug)]
pub struct Files {
    pub state: StateFile,
    pub confirmed: ConfirmedFile,
}

impl Files {
    pub fn in_dir(dir: &Path) -> io::Result<Self> {
        Ok(Self { state: StateFile::in_dir(dir)?, confirmed: ConfirmedFile::in_dir(dir) })
    }
}

#[derive(Debug)]
pub(super) struct Keeper {
    files: Files,
    keyring: Keyring,
    clock: Arc<dyn Clock>,
    status: Arc<Status>,
    held: Mutex<Option<Held>>,
}

/// What the state file holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) position: Position,
    /// What was known when it was written.
    pub(super) complete: Option<Complete>,
}

impl Keeper {
    pub(super) fn new(
        files: Files,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
        status: Arc<Status>,
        held: Option<Held>,
    ) -> Arc<Self> {
        Arc::new(Self { files, keyring, clock, status, held: Mutex::new(held) })
    }

    /// Writes the newest state, a moment after it came; the last one when the sender is gone.
    pub(super) async fn keep(self: Arc<Self>, mut pending: tokio::sync::watch::Receiver<Option<Saved>>) {
        let mut pause = DEBOUNCE;
        let mut failed = false;
        loop {
            let changed = if failed {
                tokio::time::timeout(RETRY, pending.changed()).await.unwrap_or(Ok(()))
            } else {
                pending.changed().await
            };
            let open = changed.is_ok();
            let more_to_come = open && tokio::time::timeout(pause, closed(&mut pending)).await.is_err();
            // Before the state is taken: then it has all that was complete.
            let complete = self.status.complete();
            let newest = pending.borrow_and_update().clone();
            if let Some(saved) = newest.filter(|_| open || failed) {
                let begun = Instant::now();
                failed = !self.save(saved, complete).await;
                pause = DEBOUNCE.max(begun.elapsed() * PAUSES_PER_SAVE);
            }
            if !more_to_come {
                return;
            }
        }
    }

    /// Whether it is on disk.
    async fn save(&self, saved: Saved, complete: Option<Complete>) -> bool {
        let position = Position { cluster_id: saved.cluster_id, revision: saved.revision };
        let complete = complete.filter(|complete| position.includes(complete.position));
        let age = complete.map_or_else(|| self.status.staleness(), |complete| complete.age());
        let complete_at = before(self.clock.now(), age);
        let (file, keyring) = (self.files.state.clone(), self.keyring.clone());
        match tokio::task::spawn_blocking(move || file.save(&saved, complete_at, &keyring)).await {
            Ok(Ok(())) => {
                *self.held.lock() = Some(Held { position, complete });
                return true;
            }
            Ok(Err(error)) => tracing::error!(%error, "the configuration could not be kept on disk"),
            Err(error) => tracing::error!(%error, "the write to disk failed"),
        }
        false
    }

    /// Notes every few seconds how old what is on disk is, until it is told to stop.
    pub(super) async fn note_regularly(self: Arc<Self>, stop: CancellationToken) {
        let mut noted = None;
        while stop.run_until_cancelled(tokio::time::sleep(CONFIRM)).await.is_some() {
            if let Some(complete) = self.complete_on_disk().filter(|complete| noted != Some(*complete))
                && self.note(complete).await
            {
                noted = Some(complete);
            }
        }
    }

    /// For the last time.
    pub(super) async fn note_finally(&self) {
        if let Some(complete) = self.complete_on_disk() {
            self.note(complete).await;
        }
    }

    /// Of what is on disk, not of what the pod knows.
    fn complete_on_disk(&self) -> Option<Complete> {
        let held = (*self.held.lock())?;
        self.status.complete().filter(|complete| held.position.includes(complete.position)).or(held.complete)
    }

    async fn note(&self, complete: Complete) -> bool {
        let (file, keyring, now) = (self.files.confirmed.clone(), self.keyring.clone(), self.clock.now());
        let write = tokio::task::spawn_blocking(move || {
            file.save(complete.position, complete.age(), now, BootTime::now(), &keyring)
        });
        match write.await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::error!(%error, "the age of the configuration could not be noted on disk"),
            Err(error) => tracing::error!(%error, "the write to disk failed"),
        }
        false
    }
}

/// Returns when the sender is gone.
async fn closed(pending: &mut tokio::sync::watch::Receiver<Option<Saved>>) {
    while pending.changed().await.is_ok() {}
}
