//! States on disk, each one file, made so that a crash leaves either the whole file or none.
//!
//! ```text
//!   "HJSNAP01" · u32 length of the header · header (JSON, the owner's) · zstd(body) · u32 CRC-32 of all before
//! ```
//!
//! The newest two are kept: when the newest turns out damaged, the older one and the log after it make the same state.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{StorageError, rename_durably};

/// Ends in the version of the format.
const MAGIC: &[u8; 8] = b"HJSNAP01";
const KEEP: usize = 2;
/// What a body may unpack to: far above any configuration, far below a machine's memory.
const MAX_BODY_BYTES: u64 = 2 << 30;
const ZSTD_LEVEL: i32 = 3;

/// The folder of snapshots.
#[derive(Clone, Debug)]
pub struct Snapshots {
    folder: PathBuf,
}

/// A snapshot file, whole and open: it can be read even after it was pruned.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    file: Arc<File>,
    len: u64,
}

/// A snapshot's content.
#[derive(Debug, PartialEq, Eq)]
pub struct Content {
    pub header: Vec<u8>,
    pub body: Vec<u8>,
}

impl Snapshots {
    /// Opens or makes the folder and sweeps out what a crash left half done.
    pub fn open(folder: PathBuf) -> Result<Self, StorageError> {
        std::fs::create_dir_all(&folder).map_err(StorageError::io("create", &folder))?;
        super::sync_folder_of(&folder)?;
        let snapshots = Self { folder };
        for path in snapshots.paths(&["tmp"])? {
            std::fs::remove_file(&path).map_err(StorageError::io("remove", &path))?;
        }
        Ok(snapshots)
    }

    /// Writes the state at `position` and prunes older ones.
    pub fn write(&self, position: u64, header: &[u8], body: &[u8]) -> Result<SnapshotFile, StorageError> {
        let path = self.path_of(position);
        let bytes = pack(header, body).map_err(StorageError::io("compress", &path))?;
        super::write_durably(&path, &bytes)?;
        self.prune()?;
        SnapshotFile::open(path)
    }

    /// A file to gather the pieces of another node's snapshot in.
    pub fn incoming(&self, transfer_id: &str) -> Result<Incoming, StorageError> {
        // Hexadecimal digits only: a peer does not choose our file names.
        let name: String = transfer_id.chars().filter(char::is_ascii_hexdigit).take(32).collect();
        let path = self.folder.join(format!("incoming-{name}.tmp"));
        let file = File::create(&path).map_err(StorageError::io("create", &path))?;
        Ok(Incoming { path, file, written: 0, finished: false })
    }

    /// Makes a gathered file the snapshot at `position`.
    pub fn adopt(&self, gathered: &SnapshotFile, position: u64) -> Result<SnapshotFile, StorageError> {
        let path = self.path_of(position);
        if gathered.path != path {
            rename_durably(&gathered.path, &path)?;
        }
        self.prune()?;
        SnapshotFile::open(path)
    }

    /// The newest first.
    pub fn list(&self) -> Result<Vec<SnapshotFile>, StorageError> {
        let mut paths = self.paths(&["snap"])?;
        paths.sort_unstable_by(|a, b| b.cmp(a));
        paths.into_iter().map(SnapshotFile::open).collect()
    }

    /// Takes a damaged one out of the way, but keeps it for people to look at.
    pub fn set_aside(&self, damaged: &SnapshotFile) -> Result<(), StorageError> {
        rename_durably(&damaged.path, &damaged.path.with_extension("damaged"))
    }

    fn path_of(&self, position: u64) -> PathBuf {
        // Zero-padded, so that the order of names is the order of positions.
        self.folder.join(format!("{position:020}.snap"))
    }

    fn prune(&self) -> Result<(), StorageError> {
        for old in self.list()?.into_iter().skip(KEEP) {
            std::fs::remove_file(&old.path).map_err(StorageError::io("remove", &old.path))?;
        }
        Ok(())
    }

    fn paths(&self, extensions: &[&str]) -> Result<Vec<PathBuf>, StorageError> {
        let listing = std::fs::read_dir(&self.folder).map_err(StorageError::io("list", &self.folder))?;
        let mut paths = Vec::new();
        for entry in listing {
            let path = entry.map_err(StorageError::io("list", &self.folder))?.path();
            if path.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.contains(&e)) {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}

impl SnapshotFile {
    fn open(path: PathBuf) -> Result<Self, StorageError> {
        let file = File::open(&path).map_err(StorageError::io("open", &path))?;
        let len = file.metadata().map_err(StorageError::io("read", &path))?.len();
        Ok(Self { path, file: Arc::new(file), len })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// At most `max` bytes from `offset`; none at the end.
    pub fn chunk(&self, offset: u64, max: usize) -> Result<Vec<u8>, StorageError> {
        let left = self.len.saturating_sub(offset);
        let mut chunk = vec![0; max.min(usize::try_from(left).unwrap_or(max))];
        self.file.read_exact_at(&mut chunk, offset).map_err(StorageError::io("read", &self.path))?;
        Ok(chunk)
    }

    /// Checks and unpacks the file.
    pub fn content(&self) -> Result<Content, StorageError> {
        let mut bytes = vec![0; usize::try_from(self.len).map_err(|why| StorageError::corrupt(&self.path, why))?];
        self.file.read_exact_at(&mut bytes, 0).map_err(StorageError::io("read", &self.path))?;
        unpack(&bytes).map_err(|why| StorageError::corrupt(&self.path, why))
    }
}

/// A snapshot on its way in.
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
    /// Where the next piece must begin.
    pub fn offset(&self) -> u64 {
        self.written
    }

    pub fn push(&mut self, piece: &[u8]) -> Result<(), StorageError> {
        self.file.write_all(piece).map_err(StorageError::io("write", &self.path))?;
        self.written += piece.len() as u64;
        Ok(())
    }

    pub fn finish(mut self) -> Result<SnapshotFile, StorageError> {
        self.file.sync_all().map_err(StorageError::io("sync", &self.path))?;
        self.finished = true;
        SnapshotFile::open(self.path.clone())
    }
}

fn pack(header: &[u8], body: &[u8]) -> std::io::Result<Vec<u8>> {
    let header_len = u32::try_from(header.len()).map_err(std::io::Error::other)?;
    let mut bytes = Vec::with_capacity(header.len() + body.len() / 4 + 64);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&header_len.to_be_bytes());
    bytes.extend_from_slice(header);
    zstd::stream::copy_encode(body, &mut bytes, ZSTD_LEVEL)?;
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    Ok(bytes)
}

fn unpack(bytes: &[u8]) -> Result<Content, String> {
    let (bytes, checksum) = bytes.split_last_chunk::<4>().ok_or("it is cut short")?;
    if crc32fast::hash(bytes) != u32::from_be_bytes(*checksum) {
        return Err("the checksum does not match".to_owned());
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is not a snapshot of a format known here")?;
    let (header_len, rest) = rest.split_first_chunk::<4>().ok_or("it is cut short")?;
    let header_len = usize::try_from(u32::from_be_bytes(*header_len)).map_err(|e| e.to_string())?;
    let (header, packed) = rest.split_at_checked(header_len).ok_or("the header is cut short")?;
    let mut body = Vec::new();
    zstd::stream::Decoder::new(packed)
        .and_then(|decoder| decoder.take(MAX_BODY_BYTES).read_to_end(&mut body))
        .map_err(|why| format!("the body does not unpack: {why}"))?;
    Ok(Content { header: header.to_vec(), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Snapshots) {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open(dir.path().join("snapshots")).unwrap();
        (dir, snapshots)
    }

    #[test]
    fn the_newest_two_are_kept_and_come_back_as_written() {
        let (_dir, snapshots) = folder();
        for position in [3, 20, 100] {
            snapshots.write(position, b"header", &vec![7; 100_000]).unwrap();
        }
        let kept = snapshots.list().unwrap();
        assert_eq!(kept.len(), 2);
        assert!(kept[0].path().ends_with("00000000000000000100.snap"));
        assert!(kept[0].len() < 10_000);
        assert_eq!(kept[0].content().unwrap(), Content { header: b"header".to_vec(), body: vec![7; 100_000] });
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let bytes = pack(b"head", b"some body that is not empty").unwrap();
        unpack(&bytes).unwrap();
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1;
            assert!(unpack(&damaged).is_err(), "bit flipped at {position}");
            assert!(unpack(&bytes[..position]).is_err(), "cut at {position}");
        }
    }

    #[test]
    fn pieces_make_the_same_snapshot_elsewhere() {
        let (_one, sender) = folder();
        let (_two, receiver) = folder();
        let file = sender.write(9, b"h", &[1, 2, 3]).unwrap();
        let mut incoming = receiver.incoming("../../etc/ab12").unwrap();
        loop {
            let piece = file.chunk(incoming.offset(), 5).unwrap();
            if piece.is_empty() {
                break;
            }
            incoming.push(&piece).unwrap();
        }
        let gathered = incoming.finish().unwrap();
        assert!(gathered.path().ends_with("snapshots/incoming-ecab12.tmp"));
        let adopted = receiver.adopt(&gathered, 9).unwrap();
        assert_eq!(adopted.content().unwrap(), file.content().unwrap());
        assert_eq!(receiver.list().unwrap().len(), 1);
    }

    #[test]
    fn an_abandoned_transfer_leaves_nothing() {
        let (dir, snapshots) = folder();
        snapshots.incoming("ab").unwrap().push(b"half").unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("snapshots")).unwrap().count(), 0);
    }

    #[test]
    fn half_written_files_are_swept_at_the_start() {
        let (dir, _) = folder();
        std::fs::write(dir.path().join("snapshots/incoming-ab.tmp"), b"half").unwrap();
        let snapshots = Snapshots::open(dir.path().join("snapshots")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("snapshots")).unwrap().count(), 0);
        assert!(snapshots.list().unwrap().is_empty());
    }
}
