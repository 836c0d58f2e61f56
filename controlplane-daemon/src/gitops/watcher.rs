//! Notices that files changed. A folder that is a symbolic link (git-sync) is watched at both ends, and anew each time:
//! the link is swapped, and what it led to is gone. Where no notice comes, the resync does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

pub(super) struct Watcher {
    dir: PathBuf,
    changed: Arc<Notify>,
    notices: Option<RecommendedWatcher>,
    target: Option<PathBuf>,
}

impl Watcher {
    pub(super) fn start(dir: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let waker = Arc::clone(&changed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_change(event.kind)) {
                waker.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "gitops: files are looked at from time to time only"))
            .ok();
        Self { dir: dir.to_owned(), changed, notices: watcher, target: None }
    }

    /// Follows the link to where it leads now.
    pub(super) fn look_again(&mut self) {
        let Some(watcher) = &mut self.notices else { return };
        let target = self.dir.canonicalize().ok();
        if let (Some(old), true) = (&self.target, self.target != target) {
            // It is gone, most likely.
            let _ = watcher.unwatch(old);
        }
        let parent = self.dir.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let places =
            [Some((parent, RecursiveMode::NonRecursive)), target.as_deref().map(|t| (t, RecursiveMode::Recursive))];
        for (place, mode) in places.into_iter().flatten() {
            if let Err(error) = watcher.watch(place, mode) {
                tracing::debug!(%error, place = %place.display(), "gitops: cannot be watched");
            }
        }
        self.target = target;
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Reading them is none.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
}
