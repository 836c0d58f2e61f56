//! One file of the journal.
//!
//! ```text
//!   "HJJRNL01" · u64 id of the journal · u64 number of the segment · u64 number of its first block · u32 CRC-32
//!   blocks · zeros
//! ```
//!
//! It gets its name when its head is durable: a segment with a broken head is damaged, never one that was not finished.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::Seed;
use crate::storage::{StorageError, rename_durably};

/// Ends in the version of the format.
const MAGIC: &[u8; 8] = b"HJJRNL01";
const HEAD: usize = 36;
pub const HEAD_BYTES: u64 = HEAD as u64;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub id: u64,
    pub number: u64,
    pub first_block: u64,
}

impl Head {
    fn encode(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [self.id, self.number, self.first_block] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let (head, _) = bytes.split_first_chunk::<HEAD>().ok_or("it is cut short")?;
        let numbers = head.strip_prefix(MAGIC).ok_or("it is not a segment of a format known here")?;
        let mut numbers = numbers.chunks_exact(8).map(|number| number.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        let mut next = || numbers.next().unwrap_or_default();
        let decoded = Self { id: next(), number: next(), first_block: next() };
        if decoded.encode() == head { Ok(decoded) } else { Err("the checksum of its head does not match") }
    }
}

/// An open segment.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    file: File,
    head: Head,
    len_when_opened: u64,
}

impl Segment {
    pub fn path_of(folder: &Path, number: u64) -> PathBuf {
        // Zero-padded, so that the order of names is the order of numbers.
        folder.join(format!("{number:020}.journal"))
    }

    /// The number that a name tells.
    pub fn number_of(path: &Path) -> Option<u64> {
        let is_segment = path.extension().is_some_and(|extension| extension == "journal");
        path.file_stem().filter(|_| is_segment)?.to_str()?.parse().ok()
    }

    /// Makes it durably, of a file of zeros if there is one.
    pub fn create(folder: &Path, head: Head, zeros: Option<PathBuf>) -> Result<Arc<Self>, StorageError> {
        let temporary = zeros.unwrap_or_else(|| folder.join("new.tmp"));
        let file = open_to_write(&temporary)?;
        file.write_all_at(&head.encode(), 0).map_err(StorageError::io("write", &temporary))?;
        file.sync_all().map_err(StorageError::io("sync", &temporary))?;
        let path = Self::path_of(folder, head.number);
        rename_durably(&temporary, &path)?;
        Self::of(path, file, head).map(Arc::new)
    }

    /// Makes it durably with all of its blocks: after a crash it is there whole or, in its place, what was there before.
    pub fn create_whole(folder: &Path, head: Head, blocks: &[u8]) -> Result<(), StorageError> {
        let temporary = folder.join("whole.tmp");
        let file = open_to_write(&temporary)?;
        file.set_len(0).map_err(StorageError::io("empty", &temporary))?;
        file.write_all_at(&head.encode(), 0).map_err(StorageError::io("write", &temporary))?;
        file.write_all_at(blocks, HEAD_BYTES).map_err(StorageError::io("write", &temporary))?;
        file.sync_all().map_err(StorageError::io("sync", &temporary))?;
        rename_durably(&temporary, &Self::path_of(folder, head.number))
    }

    /// Opens the segment `number` of the journal `id`.
    pub fn open(folder: &Path, id: u64, number: u64) -> Result<Self, StorageError> {
        let path = Self::path_of(folder, number);
        let mut options = File::options();
        let file = match options.read(true).write(true).open(&path) {
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
                return Err(StorageError::corrupt(&path, "it is missing"));
            }
            opened => opened.map_err(StorageError::io("open", &path))?,
        };
        let len = file.metadata().map_err(StorageError::io("read", &path))?.len();
        let mut start = vec![0; usize::try_from(len).map_or(HEAD, |len| len.min(HEAD))];
        file.read_exact_at(&mut start, 0).map_err(StorageError::io("read", &path))?;
        let head = Head::decode(&start).map_err(|why| StorageError::corrupt(&path, why))?;
        if (head.id, head.number) != (id, number) {
            return Err(StorageError::corrupt(&path, "it belongs to another log"));
        }
        Self::of(path, file, head)
    }

    fn of(path: PathBuf, file: File, head: Head) -> Result<Self, StorageError> {
        let len_when_opened = file.metadata().map_err(StorageError::io("read", &path))?.len();
        Ok(Self { path, file, head, len_when_opened })
    }

    pub(super) fn number(&self) -> u64 {
        self.head.number
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn first_block(&self) -> u64 {
        self.head.first_block
    }

    pub fn seed(&self) -> Seed {
        Seed::of(self.head.id, self.head.number)
    }

    pub(super) fn len_when_opened(&self) -> u64 {
        self.len_when_opened
    }

    /// All of it.
    pub fn contents(&self) -> Result<Vec<u8>, StorageError> {
        let len = usize::try_from(self.len_when_opened).map_err(|why| StorageError::corrupt(&self.path, why))?;
        self.read(0, len)
    }

    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StorageError> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset).map_err(StorageError::io("read", &self.path))?;
        Ok(bytes)
    }

    pub fn write(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        self.file.write_all_at(bytes, offset).map_err(StorageError::io("write", &self.path))
    }

    pub fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(StorageError::io("sync", &self.path))
    }

    /// Lengthens it by zeros; how far it reaches then. On a disk without room for them it stays as it was: blocks are
    /// written all the same, as long as they fit.
    pub(super) fn extend(&self, from: u64, to: u64) -> u64 {
        if write_zeros(&self.file, from, to).is_ok() {
            return to;
        }
        // Best effort: it gives back the room that the zeros have got.
        let _ = self.file.set_len(from);
        from
    }

    /// Durably gives up what is behind `end`.
    pub fn cut(&self, end: u64) -> Result<(), StorageError> {
        self.file.set_len(end).map_err(StorageError::io("cut", &self.path))?;
        self.file.sync_all().map_err(StorageError::io("sync", &self.path))
    }
}

/// A file that is not yet a segment. Nobody else's business: it names people.
pub(super) fn open_to_write(path: &Path) -> Result<File, StorageError> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(StorageError::io("create", path))
}

pub(super) fn write_zeros(file: &File, from: u64, to: u64) -> std::io::Result<()> {
    let mut at = from;
    while at < to {
        let count = usize::try_from(to - at).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
        file.write_all_at(ZEROS.get(..count).unwrap_or(&ZEROS), at)?;
        at += count as u64;
    }
    Ok(())
}
