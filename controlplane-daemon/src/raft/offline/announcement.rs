//! What was done while nothing could be replicated, kept in a file until the audit has it.

use std::path::{Path, PathBuf};

use controlplane_core::{Note, Noted};

use super::Place;
use crate::storage::{StorageError, write_durably};

/// A note that a node owes the audit.
#[derive(Debug)]
pub struct Unannounced {
    path: PathBuf,
    pub noted: Noted,
}

impl Unannounced {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("unannounced.json")
    }

    pub(super) fn write(place: &Place, note: Note) -> Result<(), StorageError> {
        let path = Self::path(&place.data_dir);
        let noted = Noted { at: place.clock.now(), node: place.node_id, note };
        let bytes = serde_json::to_vec(&noted).map_err(|why| StorageError::corrupt(&path, why))?;
        write_durably(&path, &bytes)
    }

    /// What an earlier recovery or restoration left to tell.
    pub fn find(data_dir: &Path) -> Result<Option<Self>, StorageError> {
        let path = Self::path(data_dir);
        let bytes = match std::fs::read(&path).map_err(StorageError::io("read", &path)) {
            Err(why) if why.is_missing_file() => return Ok(None),
            read => read?,
        };
        let noted = serde_json::from_slice(&bytes).map_err(|why| StorageError::corrupt(&path, why))?;
        Ok(Some(Self { path, noted }))
    }

    /// It is in the audit.
    pub fn done(self) -> Result<(), StorageError> {
        std::fs::remove_file(&self.path).map_err(StorageError::io("remove", &self.path))
    }
}
