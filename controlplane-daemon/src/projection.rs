//! `--fs-projection`: this node's applied configuration as files, for people and scripts to look at. Never read back.
//!
//! ```text
//!   tenants/<slug>/tenant.json  clients.json  scopes.json      keys/<slug or global>/<kid>.json (public parts)
//! ```
//!
//! A thread of its own writes. It compares the state with the one it wrote last, at the cost of the difference, so
//! nothing is queued: however slow the disk, what is waiting is one old state that shares nearly all of its memory with
//! the present one. A disk that is full or gone is tried again and again, and costs nobody else anything.

mod tree;

use std::path::PathBuf;
use std::time::Duration;

use controlplane_core::State;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use vocab::Revision;

use crate::control_plane::ControlPlane;
use tree::Tree;

/// A burst of changes is written once.
const SETTLE: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A state to write, and where to say how that went.
type Job = (Revision, State, oneshot::Sender<std::io::Result<()>>);

/// Keeps the files what the state is, until it is told to stop.
pub async fn run(control: ControlPlane, dir: PathBuf, stop: CancellationToken) {
    let (jobs, mut queue) = mpsc::channel::<Job>(1);
    // Not of the runtime: a write that hangs must not keep the process from ending.
    let writer = std::thread::Builder::new().name("projection".to_owned()).spawn(move || {
        let mut tree = Tree::new(dir);
        while let Some((revision, state, done)) = queue.blocking_recv() {
            // Nobody waits any more: the node stops.
            let _ = done.send(tree.write(revision, state));
        }
    });
    if let Err(error) = writer {
        tracing::error!(%error, "projection: no thread for it");
        return;
    }
    let mut revisions = control.revisions();
    let mut pause = FIRST_PAUSE;
    loop {
        revisions.mark_unchanged();
        let (revision, state) = control.read_with_revision(State::clone);
        let (done, written) = oneshot::channel();
        if jobs.send((revision, state, done)).await.is_err() {
            return;
        }
        let result = tokio::select! {
            result = written => result,
            () = stop.cancelled() => return,
        };
        let next = async {
            match result {
                Ok(Ok(())) => {
                    pause = FIRST_PAUSE;
                    metrics::gauge!("hj_cp_projection_revision").set(precise(revision));
                    let _ = revisions.changed().await;
                    tokio::time::sleep(SETTLE).await;
                }
                failed => {
                    metrics::counter!("hj_cp_projection_failures_total").increment(1);
                    let error = failed
                        .map_or_else(|gone| gone.to_string(), |r| r.err().map_or_else(String::new, |e| e.to_string()));
                    tracing::warn!(%error, ?pause, "projection: cannot be written; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        tokio::select! {
            () = next => {}
            () = stop.cancelled() => return,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; revisions stay far below 2^53")]
fn precise(revision: Revision) -> f64 {
    revision.get() as f64
}
