//! `DATA_DIR/first-owner.json`: a generated credential, sealed, from before it is proposed until it was printed.

use std::io;
use std::path::{Path, PathBuf};

use vocab::{AdminId, Clock, Keyring, Sealed};

use crate::credential::Credential;
use crate::id;
use crate::storage::{StorageError, sync_folder_of, write_durably};

#[derive(Debug)]
pub struct Unprinted {
    path: PathBuf,
    keyring: Keyring,
    credential: Credential,
}

impl Unprinted {
    /// The credential that was made before and not printed, or a fresh one.
    pub fn open(data_dir: &Path, keyring: Keyring, clock: &dyn Clock) -> Result<Self, StorageError> {
        let path = data_dir.join("first-owner.json");
        let credential = match std::fs::read(&path) {
            Ok(bytes) => read(&path, &bytes, &keyring)?,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                Credential::generate(AdminId::from_uuid(id::fresh(clock)))
            }
            Err(source) => return Err(StorageError::io("read", &path)(source)),
        };
        Ok(Self { path, keyring, credential })
    }

    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    pub fn is_kept(&self) -> bool {
        self.path.exists()
    }

    /// Durable when this returns.
    pub fn keep(&self) -> Result<(), StorageError> {
        let sealed = self.keyring.seal(self.credential.reveal().expose().as_bytes(), rand::random());
        let bytes = serde_json::to_vec(&sealed).map_err(|why| StorageError::corrupt(&self.path, why))?;
        write_durably(&self.path, &bytes)
    }

    pub fn forget(&self) -> Result<(), StorageError> {
        match std::fs::remove_file(&self.path) {
            Ok(()) => sync_folder_of(&self.path),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StorageError::io("remove", &self.path)(source)),
        }
    }
}

fn read(path: &Path, bytes: &[u8], keyring: &Keyring) -> Result<Credential, StorageError> {
    let sealed: Sealed = serde_json::from_slice(bytes).map_err(|why| StorageError::corrupt(path, why))?;
    let opened = keyring
        .open(&sealed)
        .map_err(|why| StorageError::WrongMasterKey { path: path.to_owned(), why: why.to_string() })?;
    let text = std::str::from_utf8(opened.expose()).map_err(|why| StorageError::corrupt(path, why))?;
    text.parse().map_err(|why| StorageError::corrupt(path, why))
}
