//! Notices that certificates' files have changed.
//!
//! The folder is watched and not the file: editors, cert-manager and Kubernetes (whose `..data` is a symlink that is
//! swapped) put another file in the place of the old one. Where no notice comes (network file systems, a target of
//! symlinks in yet another folder), a look every half minute does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::credentials::Credentials;

/// Certificate and key are written one after the other.
const SETTLE: Duration = Duration::from_millis(200);
const LOOK_ANYWAY: Duration = Duration::from_secs(30);

/// Reloads what has changed until it is told to stop.
pub async fn run(all: Vec<Credentials>, stop: CancellationToken) {
    run_looking(all, LOOK_ANYWAY, stop).await;
}

async fn run_looking(all: Vec<Credentials>, look_anyway: Duration, stop: CancellationToken) {
    let changed = Arc::new(Notify::new());
    let mut watcher = start(&changed);
    loop {
        if let Some(watcher) = &mut watcher {
            // At each turn: a folder that was replaced is another one, and nobody says so.
            watch(watcher, &all);
        }
        tokio::select! {
            () = changed.notified() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(look_anyway) => {}
            () = stop.cancelled() => return,
        }
        let all = all.clone();
        let reloaded = tokio::task::spawn_blocking(move || all.iter().for_each(Credentials::reload)).await;
        if let Err(error) = reloaded {
            tracing::error!(%error, "certificates could not be looked at");
        }
    }
}

fn start(changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let changed = Arc::clone(changed);
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(event.kind)) {
            changed.notify_one();
        }
    });
    watcher.inspect_err(|error| tracing::warn!(%error, "certificates are looked at every half minute only")).ok()
}

/// Reading them is none.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
}

fn watch(watcher: &mut RecommendedWatcher, all: &[Credentials]) {
    let folders: BTreeSet<PathBuf> = all.iter().flat_map(Credentials::paths).map(|path| folder(path)).collect();
    for folder in folders {
        if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
            tracing::debug!(%error, folder = %folder.display(), "cannot be watched: it is looked at every half minute");
        }
    }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;
