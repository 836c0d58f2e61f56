//! A snapshot file's bytes, written and read in bounded memory.
//!
//! ```text
//!   "HJSNAP01" · u32 length of the header · header (JSON, the owner's) · zstd(body) · u32 CRC-32 of all before
//! ```

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Ends in the version of the format.
const MAGIC: &[u8; 8] = b"HJSNAP01";
const CHECKSUM_BYTES: u64 = 4;
/// What a header may have: a membership and a few numbers.
const MAX_HEADER_BYTES: u32 = 1 << 20;
/// What a body may unpack to: far above any configuration, far below a machine's memory.
const MAX_BODY_BYTES: u64 = 2 << 30;
const ZSTD_LEVEL: i32 = 3;
const BUFFER_BYTES: usize = 64 << 10;

/// Why a file is no whole snapshot.
#[derive(Debug)]
pub(super) enum Fault {
    /// The disk does not give the bytes.
    Io(io::Error),
    /// It gives others than were written.
    Damaged(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes header, body and checksum; `body` writes what is to be compressed.
pub(super) fn write(
    file: File,
    header: &[u8],
    body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<File> {
    let mut out = Checksummed { inner: BufWriter::with_capacity(BUFFER_BYTES, file), hasher: crc32fast::Hasher::new() };
    out.write_all(MAGIC)?;
    out.write_all(&u32::try_from(header.len()).map_err(io::Error::other)?.to_be_bytes())?;
    out.write_all(header)?;
    let mut packed = BufWriter::with_capacity(BUFFER_BYTES, zstd::stream::Encoder::new(&mut out, ZSTD_LEVEL)?);
    body(&mut packed)?;
    packed.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    let Checksummed { mut inner, hasher } = out;
    inner.write_all(&hasher.finalize().to_be_bytes())?;
    inner.into_inner().map_err(io::IntoInnerError::into_error)
}

/// Reads all of it once: whether every byte is the one that was written.
pub(super) fn verify(file: &Arc<File>, len: u64) -> Result<(), Fault> {
    let content = len.checked_sub(CHECKSUM_BYTES).ok_or_else(|| damaged("it is cut short"))?;
    let mut reader = Span::new(file, 0, content);
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
    let mut written = [0; 4];
    file.read_exact_at(&mut written, content)?;
    if hasher.finalize() == u32::from_be_bytes(written) { Ok(()) } else { Err(damaged("the checksum does not match")) }
}

/// The header, and the body as it unpacks.
pub(super) fn read(file: &Arc<File>, len: u64) -> Result<(Vec<u8>, impl BufRead + use<>), Fault> {
    let content = len.checked_sub(CHECKSUM_BYTES).ok_or_else(|| damaged("it is cut short"))?;
    let mut reader = Span::new(file, 0, content);
    let mut start = [0; 12];
    reader.read_exact(&mut start).map_err(|_| damaged("it is cut short"))?;
    let Some(header_len) = start.strip_prefix(MAGIC).and_then(|len| len.first_chunk::<4>()) else {
        return Err(damaged("it is not a snapshot of a format known here"));
    };
    let header_len = u32::from_be_bytes(*header_len);
    if header_len > MAX_HEADER_BYTES || u64::from(header_len) > reader.end - reader.at {
        return Err(damaged("the header is cut short"));
    }
    let mut header = vec![0; usize::try_from(header_len).map_err(|why| damaged(&why.to_string()))?];
    reader.read_exact(&mut header)?;
    let unpacked = zstd::stream::Decoder::new(reader).map_err(|why| damaged(&why.to_string()))?;
    Ok((header, BufReader::with_capacity(BUFFER_BYTES, unpacked.take(MAX_BODY_BYTES))))
}

/// The file itself, whatever it is.
pub(super) fn raw(file: &Arc<File>, len: u64) -> impl Read + use<> {
    Span::new(file, 0, len)
}

fn damaged(why: &str) -> Fault {
    Fault::Damaged(why.to_owned())
}

/// Part of a file, read with positions of its own, so that several may read the same handle.
struct Span {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Span {
    fn new(file: &Arc<File>, at: u64, end: u64) -> Self {
        Self { file: Arc::clone(file), at, end }
    }
}

impl Read for Span {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let count = self.file.read_at(buffer.get_mut(..room).unwrap_or_default(), self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Sums up what is written through it.
struct Checksummed<W> {
    inner: W,
    hasher: crc32fast::Hasher,
}

impl<W: Write> Write for Checksummed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
