//! The next segment's zeros, written by a thread of their own while the present one fills up: nobody waits for them.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::segment::{open_to_write, write_zeros};

#[derive(Debug)]
pub(super) struct Spare {
    path: PathBuf,
    making: Option<JoinHandle<bool>>,
}

impl Spare {
    pub(super) fn none(folder: &Path) -> Self {
        Self { path: folder.join("next.tmp"), making: None }
    }

    /// Begins to make it, unless it is being made or there.
    pub(super) fn prepare(&mut self, bytes: u64) {
        if self.making.is_some() {
            return;
        }
        let path = self.path.clone();
        // Without a thread there is no spare, and the next segment grows step by step.
        self.making = std::thread::Builder::new().name("log-spare".to_owned()).spawn(move || make(&path, bytes)).ok();
    }

    /// The file, once.
    pub(super) fn take(&mut self) -> Option<PathBuf> {
        let made = self.making.take()?.join().unwrap_or(false);
        made.then(|| self.path.clone())
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // Nothing touches the folder once the journal is closed.
        if self.take().is_some() {
            // Best effort: the next start sweeps, too.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether it could be made: a disk that has no room for it is no reason to stop.
fn make(path: &Path, bytes: u64) -> bool {
    let made =
        open_to_write(path).is_ok_and(|file| write_zeros(&file, 0, bytes).and_then(|()| file.sync_all()).is_ok());
    if !made {
        // Best effort, as above.
        let _ = std::fs::remove_file(path);
    }
    made
}
