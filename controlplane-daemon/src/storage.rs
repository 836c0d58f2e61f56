//! What a node keeps on disk. It knows bytes and positions, not what they mean; `raft` gives them meaning.
//!
//! ```text
//!   DATA_DIR/node.json      who this is, and a canary sealed with the master key     identity
//!           /cluster.json   which cluster it belongs to                             binding
//!           /log.redb       vote, what is purged, which segments of the journal      log_store
//!           /journal/       the log, what is committed                               log_store, journal
//!           /audit/         what is on record                                        crate::audit, journal
//!           /snapshots/     the last two states, each one file                       snapshots
//! ```
//!
//! Law: nothing is acknowledged before it is durable, and nothing unreadable is skipped.

pub mod binding;
pub mod identity;
pub mod journal;
pub mod log_store;
pub mod snapshots;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Why data on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is damaged: {why}", path.display())]
    Corrupt { path: PathBuf, why: String },
    #[error("{} has format {found}; this build reads up to {known}", path.display())]
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    #[error("{} is in use by another process", path.display())]
    InUse { path: PathBuf },
    /// The only one the operator cures with a setting.
    #[error("wrong SECRETBOX_MASTER_KEY for {}: {why}", path.display())]
    WrongMasterKey { path: PathBuf, why: String },
    #[error("{} belongs to node {stored}, not to node {configured}", path.display())]
    OtherNode { path: PathBuf, stored: u64, configured: u64 },
}

impl StorageError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }

    /// What a process ends with that met this before it served anything (sysexits.h).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. } => EX_IOERR,
            Self::Corrupt { .. } | Self::NewerFormat { .. } => EX_DATAERR,
            Self::InUse { .. } => EX_TEMPFAIL,
            Self::WrongMasterKey { .. } | Self::OtherNode { .. } => crate::settings::EXIT_CONFIG,
        }
    }

    /// A file that is not there (any more).
    pub(crate) fn is_missing_file(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn corrupt(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::Corrupt { path: path.to_owned(), why: why.to_string() }
    }
}

/// Ends the process. After a failed fsync the page cache cannot be trusted, and an entry that cannot be understood must
/// not be skipped: in both cases the only right step is to stop before anything is acknowledged on top of it.
pub fn stop_process(reason: &dyn std::fmt::Display) -> ! {
    tracing::error!(%reason, "this node cannot go on");
    let _ = writeln!(io::stderr(), "controlplane-daemon stops: {reason}");
    std::process::exit(EX_IOERR.into())
}

/// sysexits.h: data that cannot be used, a disk that fails, something that may be over in a moment.
const EX_DATAERR: u8 = 65;
const EX_IOERR: u8 = 74;
const EX_TEMPFAIL: u8 = 75;

/// Puts `bytes` at `path` so that after a crash there is the old file or the new one, whole.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(StorageError::io("create", &temporary))?;
    file.write_all(bytes).map_err(StorageError::io("write", &temporary))?;
    file.sync_all().map_err(StorageError::io("sync", &temporary))?;
    rename_durably(&temporary, path)
}

/// Renames and makes the new name durable, too.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> Result<(), StorageError> {
    std::fs::rename(from, to).map_err(StorageError::io("rename", from))?;
    sync_folder_of(to)
}

/// Makes the name of a new file or folder as durable as what is in it.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), StorageError> {
    sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Makes durable which names there are in it.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StorageError::io("sync", folder))
}
