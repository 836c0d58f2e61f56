//! `--gitops-dir`: what the files of a folder say is made so, and kept so.
//!
//! ```text
//!   files changed ─┐
//!   state changed ─┼─▶ read every file until they hold still ─▶ apply all that is right, one batch ─▶ status, metrics
//!   time passed ───┘
//! ```
//!
//! Only the leader works; the others wait until they lead. A file that is broken is left out and reported, the rest goes
//! on; while one is broken, nothing is pruned, nor while the files keep changing. What somebody changed by hand is put
//! back and reported as drift.

mod file_errors;
mod files;
mod status;
mod watcher;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controlplane_core::{Actor, Origin};
use manifest::{Document, Reserved};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use vocab::Revision;

use crate::admin::declarative::{Action, Applier, ApplyError, Asker, Bounds, Ownership, Prune, Request};
use file_errors::FileErrors;
use files::File;
pub use status::{Drift, FileStatus, Made, Status};

/// Several files are written one after the other, and each piece by piece: they hold still when nothing is noticed, and
/// nothing found to be other than before, for so long.
const SETTLE: Duration = Duration::from_millis(200);
/// Files that never hold still are taken as they are after so long.
const RESTLESS: Duration = Duration::from_secs(2);

/// What it is set to.
#[derive(Clone, Debug)]
pub struct Settings {
    pub dir: PathBuf,
    /// The manifest set that the files are.
    pub set: String,
    pub prune: Prune,
    /// How often it is looked without anybody saying that something changed.
    pub resync: Duration,
    /// What no document may refer to.
    pub reserved: Reserved,
}

/// What the status page shows.
pub type Shared = Arc<Mutex<Status>>;

pub struct Gitops {
    settings: Settings,
    applier: Applier,
    status: Shared,
    /// The files when they last held still.
    settled: Option<Settled>,
    file_errors: FileErrors,
}

struct Settled {
    files: Vec<File>,
    /// Whether they were made so, all of them: then a difference that the files do not explain is drift.
    in_force: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Files {
    HoldStill,
    KeepChanging,
}

impl std::fmt::Debug for Gitops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gitops").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Gitops {
    pub fn new(settings: Settings, applier: Applier) -> Self {
        let status = Arc::new(Mutex::new(Status::of(&settings)));
        Self { settings, applier, status, settled: None, file_errors: FileErrors::default() }
    }

    pub fn status(&self) -> Shared {
        Arc::clone(&self.status)
    }

    /// Until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut leading = self.applier.control.leadership();
        loop {
            let leads = *leading.borrow_and_update();
            if !leads {
                // What this node found as leader is old as soon as another one looks.
                count(0, 0);
                self.file_errors.record(&[]);
                *self.status.lock() = Status::of(&self.settings);
            }
            self.status.lock().active = leads;
            tokio::select! {
                // Whatever is under way ends with leadership: it would go on through the successor, which has files of
                // its own.
                () = self.follow(), if leads => {}
                changed = leading.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }

    /// As long as this node leads.
    async fn follow(&mut self) {
        self.settled = None;
        let mut revisions = self.applier.control.revisions();
        let mut watcher = watcher::Watcher::start(&self.settings.dir);
        loop {
            watcher.look_again();
            revisions.mark_unchanged();
            if self.reconcile().await == Files::HoldStill {
                tokio::select! {
                    () = watcher.changed() => {}
                    _ = revisions.changed() => {}
                    () = tokio::time::sleep(self.settings.resync) => {}
                }
            }
            let began = Instant::now();
            while tokio::time::timeout(SETTLE, watcher.changed()).await.is_ok() && began.elapsed() < RESTLESS {}
        }
    }

    async fn reconcile(&mut self) -> Files {
        let began = Instant::now();
        let (files, stillness) = match self.read().await {
            Ok(read) => read,
            Err(error) => {
                self.failed(format!("{}: {error}", self.settings.dir.display()));
                return Files::HoldStill;
            }
        };
        let run = self.apply(files, stillness).await;
        self.report(run, began.elapsed());
        stillness
    }

    /// What is half written, or half swapped, reads like something from which the rest was removed.
    async fn read(&self) -> io::Result<(Vec<File>, Files)> {
        let began = Instant::now();
        let mut files = self.read_once().await?;
        if self.settled.as_ref().is_some_and(|settled| settled.files == files) {
            return Ok((files, Files::HoldStill));
        }
        loop {
            tokio::time::sleep(SETTLE).await;
            let before = std::mem::replace(&mut files, self.read_once().await?);
            if before == files {
                return Ok((files, Files::HoldStill));
            }
            if began.elapsed() >= RESTLESS {
                return Ok((files, Files::KeepChanging));
            }
        }
    }

    async fn read_once(&self) -> io::Result<Vec<File>> {
        let Settings { dir, reserved, .. } = self.settings.clone();
        let read = tokio::task::spawn_blocking(move || files::read(&dir, &reserved)).await;
        read.map_err(io::Error::other).and_then(|read| read)
    }

    /// Applies what can be applied: files that turn out to be wrong are left out, and the rest is tried again.
    async fn apply(&mut self, mut files: Vec<File>, stillness: Files) -> Run {
        let asker = Asker { actor: Actor::Gitops, origin: Origin::default(), request_id: None };
        let mut run = Run::default();
        let mut prune = self.settings.prune;
        let was_in_force = self.settled.take().is_some_and(|settled| settled.in_force && settled.files == files);
        let settled = (stillness == Files::HoldStill).then(|| files.clone());
        let mut in_force = false;
        if stillness == Files::KeepChanging {
            run.error = Some("the files keep changing while they are read: nothing is pruned".to_owned());
        }
        loop {
            let documents: Vec<Document> = files.iter().flat_map(|file| file.documents.iter().cloned()).collect();
            if documents.is_empty() && run.error.is_none() {
                // An empty volume must not empty the configuration.
                run.error = Some("the folder holds no documents: nothing is done, nothing is pruned".to_owned());
            }
            if run.error.is_some() || files.iter().any(|file| !file.errors.is_empty()) {
                prune = Prune::Keep;
            }
            let request = Request {
                documents: &documents,
                set: &self.settings.set,
                prune,
                ownership: Ownership::Respect,
                bounds: Bounds::Everything,
            };
            match self.applier.apply(&request, &asker).await {
                Ok(outcome) => {
                    let paths = files::paths(&files);
                    let changed = outcome.plan.steps.iter().filter(|step| step.action != Action::Unchanged);
                    let made = changed.map(|step| Made {
                        action: step.action.as_str(),
                        resource: step.resource.to_string(),
                        file: step.source.as_ref().and_then(|it| paths.get(it.document)).map(ToString::to_string),
                    });
                    run.changed = made.collect();
                    run.revision = Some(outcome.revision);
                    run.drifted = !run.changed.is_empty() && was_in_force;
                    in_force = run.error.is_none() && files.iter().all(|file| file.errors.is_empty());
                    break;
                }
                Err(ApplyError::Faults(faults)) => {
                    let mut placed = false;
                    for fault in &faults {
                        match documents.get(fault.source.document) {
                            Some(document) => {
                                placed |= files::blame(&mut files, document, &fault.source.pointer, &fault.detail);
                            }
                            None => run.error = Some(fault.detail.clone()),
                        }
                    }
                    if !placed && prune == Prune::Keep {
                        break;
                    }
                }
                Err(error) => {
                    run.error = Some(error.to_string());
                    break;
                }
            }
        }
        self.settled = settled.map(|files| Settled { files, in_force });
        run.files = files.into_iter().map(File::status).collect();
        run
    }

    fn failed(&mut self, error: String) {
        self.report(Run { error: Some(error), ..Run::default() }, Duration::ZERO);
    }

    fn report(&mut self, run: Run, took: Duration) {
        let broken = run.files.iter().filter(|file| !file.errors.is_empty()).count();
        let result = match (&run.error, broken) {
            (Some(_), _) => "failed",
            (None, 0) => "ok",
            (None, _) => "partial",
        };
        metrics::counter!("hj_cp_gitops_runs_total", "result" => result).increment(1);
        metrics::histogram!("hj_cp_gitops_run_seconds").record(took.as_secs_f64());
        count(run.files.len() - broken, broken);
        self.file_errors.record(&run.files);
        let now = crate::admin::shown::time(self.applier.clock.now());
        let mut status = self.status.lock();
        // Said once, not at every look.
        if (&status.error, &status.files) != (&run.error, &run.files) {
            let faults = run.files.iter().flat_map(|file| &file.errors).chain(&run.error);
            faults.for_each(|error| tracing::warn!(%error, "gitops"));
        }
        let changed: Vec<_> = run.changed.iter().map(ToString::to_string).collect();
        if run.drifted {
            metrics::counter!("hj_cp_gitops_drift_total").increment(1);
            tracing::warn!(put_back = ?changed, "gitops: somebody changed what the files state");
            status.drift = Some(Drift { at: now.clone(), put_back: changed, resources: run.changed });
        } else if !changed.is_empty() {
            tracing::info!(?changed, revision = ?run.revision, "gitops: applied");
        }
        status.last_run = Some(now);
        status.result = Some(result);
        status.revision = run.revision.or(status.revision);
        status.error = run.error;
        status.files = run.files;
    }
}

fn count(ok: usize, broken: usize) {
    for (state, files) in [("ok", ok), ("broken", broken)] {
        metrics::gauge!("hj_cp_gitops_files", "state" => state).set(u32::try_from(files).unwrap_or(u32::MAX));
    }
}

/// What came of one look.
#[derive(Default)]
struct Run {
    files: Vec<FileStatus>,
    revision: Option<Revision>,
    changed: Vec<Made>,
    drifted: bool,
    /// What is wrong with no file in particular.
    error: Option<String>,
}
