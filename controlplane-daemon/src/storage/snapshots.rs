//! States on disk, each one file, made so that a crash leaves either the whole file or none.
//!
//! The newest two are kept: when the newest turns out damaged, the older one and the log after it make the same state.
//! Nothing here holds a whole state in memory: files are written and read as streams (see [`format`]).

mod format;

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::format::Fault;
use super::{StorageError, rename_durably};

const KEEP: usize = 2;

/// The folder of snapshots.
#[derive(Clone, Debug)]
pub struct Snapshots {
    folder: PathBuf,
}

/// A snapshot file, whole and open: it can be read even after it was pruned.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    file: Arc<File>,
    len: u64,
    /// Under a name that nobody looks for: it goes with its last handle, unless it is adopted.
    temporary: AtomicBool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.temporary.load(Ordering::Relaxed) {
            // Best effort: the next start sweeps, too.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Snapshots {
    /// Opens or makes the folder and sweeps out what a crash left half done.
    pub fn open(folder: PathBuf) -> Result<Self, StorageError> {
        std::fs::create_dir_all(&folder).map_err(StorageError::io("create", &folder))?;
        super::sync_folder_of(&folder)?;
        let snapshots = Self { folder };
        for path in snapshots.paths("tmp")? {
            std::fs::remove_file(&path).map_err(StorageError::io("remove", &path))?;
        }
        Ok(snapshots)
    }

    /// Writes the state at `position` and prunes older ones.
    pub fn write(
        &self,
        position: u64,
        header: &[u8],
        body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<SnapshotFile, StorageError> {
        self.adopt(&self.write_temporary("building", header, body)?, position)
    }

    /// Writes a state that is not kept: it is gone with the last handle.
    pub fn write_temporary(
        &self,
        name: &str,
        header: &[u8],
        body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<SnapshotFile, StorageError> {
        let name = format!("{name}-{:016x}.tmp", rand::random::<u64>());
        let new = Incoming::create(self.folder.join(name))?;
        let file = new.file.try_clone().map_err(StorageError::io("write", &new.path))?;
        format::write(file, header, body).map_err(StorageError::io("write", &new.path))?;
        new.finish()
    }

    /// A file to gather the pieces of another node's snapshot in.
    pub fn incoming(&self, transfer_id: &str) -> Result<Incoming, StorageError> {
        // Hexadecimal digits only: a peer does not choose our file names.
        let name: String = transfer_id.chars().filter(char::is_ascii_hexdigit).take(32).collect();
        Incoming::create(self.folder.join(format!("incoming-{name}.tmp")))
    }

    /// Makes a gathered file the snapshot at `position`.
    pub fn adopt(&self, gathered: &SnapshotFile, position: u64) -> Result<SnapshotFile, StorageError> {
        let path = self.path_of(position);
        if gathered.path() != path {
            rename_durably(gathered.path(), &path)?;
            gathered.shared.temporary.store(false, Ordering::Relaxed);
        }
        self.prune()?;
        SnapshotFile::open(path)
    }

    /// The newest first.
    pub fn list(&self) -> Result<Vec<SnapshotFile>, StorageError> {
        let mut paths = self.paths("snap")?;
        paths.sort_unstable_by(|a, b| b.cmp(a));
        let opened = paths.into_iter().map(SnapshotFile::open);
        // One that was pruned since it was listed is no longer one of them.
        opened.filter(|file| !matches!(file, Err(why) if why.is_missing_file())).collect()
    }

    /// Removes all but this one: what they say must never be fallen back to.
    pub fn keep_only(&self, kept: &SnapshotFile) -> Result<(), StorageError> {
        for other in self.list()?.into_iter().filter(|file| file.path() != kept.path()) {
            std::fs::remove_file(other.path()).map_err(StorageError::io("remove", other.path()))?;
        }
        super::sync_folder_of(kept.path())
    }

    /// Takes a damaged one out of the way, but keeps it for people to look at.
    pub fn set_aside(&self, damaged: &SnapshotFile) -> Result<(), StorageError> {
        rename_durably(damaged.path(), &damaged.path().with_extension("damaged"))
    }

    fn path_of(&self, position: u64) -> PathBuf {
        // Zero-padded, so that the order of names is the order of positions.
        self.folder.join(format!("{position:020}.snap"))
    }

    fn prune(&self) -> Result<(), StorageError> {
        for old in self.list()?.into_iter().skip(KEEP) {
            match std::fs::remove_file(old.path()).map_err(StorageError::io("remove", old.path())) {
                Err(why) if why.is_missing_file() => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    fn paths(&self, extension: &str) -> Result<Vec<PathBuf>, StorageError> {
        let listing = std::fs::read_dir(&self.folder).map_err(StorageError::io("list", &self.folder))?;
        let mut paths = Vec::new();
        for entry in listing {
            let path = entry.map_err(StorageError::io("list", &self.folder))?.path();
            if path.extension().is_some_and(|e| e == extension) {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}

impl SnapshotFile {
    /// Opens one wherever it lies.
    pub fn open(path: PathBuf) -> Result<Self, StorageError> {
        let file = File::open(&path).map_err(StorageError::io("open", &path))?;
        Self::of(path, file, false)
    }

    fn of(path: PathBuf, file: File, temporary: bool) -> Result<Self, StorageError> {
        let len = file.metadata().map_err(StorageError::io("read", &path))?.len();
        let temporary = AtomicBool::new(temporary);
        Ok(Self { shared: Arc::new(Shared { path, file: Arc::new(file), len, temporary }) })
    }

    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    pub fn len(&self) -> u64 {
        self.shared.len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// At most `max` bytes from `offset`; none at the end.
    pub fn chunk(&self, offset: u64, max: usize) -> Result<Vec<u8>, StorageError> {
        let left = self.len().saturating_sub(offset);
        let mut chunk = vec![0; max.min(usize::try_from(left).unwrap_or(max))];
        self.shared.file.read_exact_at(&mut chunk, offset).map_err(StorageError::io("read", self.path()))?;
        Ok(chunk)
    }

    /// Reads all of it once: whether every byte is the one that was written.
    pub fn verify(&self) -> Result<(), StorageError> {
        format::verify(&self.shared.file, self.len()).map_err(|fault| self.error(fault))
    }

    /// The header, and the body as it unpacks. Nothing is checked but the frame: see [`Self::verify`].
    pub fn read(&self) -> Result<(Vec<u8>, impl BufRead + use<>), StorageError> {
        format::read(&self.shared.file, self.len()).map_err(|fault| self.error(fault))
    }

    /// Every byte as it lies there.
    pub fn raw(&self) -> impl io::Read + use<> {
        format::raw(&self.shared.file, self.len())
    }

    fn error(&self, fault: Fault) -> StorageError {
        match fault {
            Fault::Io(source) => StorageError::Io { doing: "read", path: self.path().to_owned(), source },
            Fault::Damaged(why) => StorageError::corrupt(self.path(), why),
        }
    }
}

/// A snapshot on its way in. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    path: PathBuf,
    file: File,
    written: u64,
    finished: bool,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: the next start sweeps, too.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Incoming {
    fn create(path: PathBuf) -> Result<Self, StorageError> {
        let mut options = File::options();
        // Readable, too: what was written is verified through the same handle. Nobody else's business: it names people.
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&path).map_err(StorageError::io("create", &path))?;
        Ok(Self { path, file, written: 0, finished: false })
    }

    /// Where the next piece must begin.
    pub fn offset(&self) -> u64 {
        self.written
    }

    pub fn push(&mut self, piece: &[u8]) -> Result<(), StorageError> {
        self.file.write_all(piece).map_err(StorageError::io("write", &self.path))?;
        self.written += piece.len() as u64;
        Ok(())
    }

    /// Durable now, but still nobody's: it goes with its last handle unless it is adopted.
    pub fn finish(mut self) -> Result<SnapshotFile, StorageError> {
        self.file.sync_all().map_err(StorageError::io("sync", &self.path))?;
        let file = self.file.try_clone().map_err(StorageError::io("read", &self.path))?;
        let gathered = SnapshotFile::of(self.path.clone(), file, true)?;
        self.finished = true;
        Ok(gathered)
    }
}

#[cfg(test)]
mod tests;
