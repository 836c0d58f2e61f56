//! A block as bytes: what one fdatasync makes durable.
//!
//! ```text
//!   u32 length of the content · u32 CRC-32 · u64 number of the block · content: one or more of
//!     1 append      u64 position · u32 length · record
//!     2 truncate    u64 the first position that goes
//!     3 committed   u32 length · the fact
//!     4 closed      the writer ended in order
//! ```
//!
//! Numbers are big-endian. Blocks are numbered through all segments. The CRC is of all but itself and begins with what
//! only this segment has ([`Seed`]): bytes that lay there before, or come from elsewhere, are never taken for a block.

pub(super) const HEAD_BYTES: usize = 16;
const APPEND: u8 = 1;
const TRUNCATE: u8 = 2;
const COMMITTED: u8 = 3;
const CLOSED: u8 = 4;
/// What an append has besides its record.
const APPEND_BYTES: usize = 13;
/// More memory than this is given back after an unusually long block.
const KEEP_BYTES: usize = 1 << 20;

/// What the checksums of a segment begin with.
#[derive(Clone, Copy, Debug)]
pub struct Seed(u32);

impl Seed {
    pub fn of(journal: u64, segment: u64) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&journal.to_be_bytes());
        hasher.update(&segment.to_be_bytes());
        Self(hasher.finalize())
    }

    fn sum(self, length: u32, number: u64, content: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(&length.to_be_bytes());
        hasher.update(&number.to_be_bytes());
        hasher.update(content);
        hasher.finalize()
    }
}

/// What a block does to the log. Offsets count from the block's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Append { position: u64, offset: usize, len: usize },
    Truncate { from: u64 },
}

/// A block that is being made. It is filled, written and used again.
#[derive(Debug)]
pub struct Block {
    bytes: Vec<u8>,
    changes: Vec<Change>,
    closing: bool,
}

impl Default for Block {
    fn default() -> Self {
        Self { bytes: vec![0; HEAD_BYTES], changes: Vec::new(), closing: false }
    }
}

impl Block {
    pub fn append(&mut self, position: u64, record: &[u8]) {
        self.bytes.push(APPEND);
        self.bytes.extend_from_slice(&position.to_be_bytes());
        self.bytes.extend_from_slice(&length_of(record).to_be_bytes());
        self.changes.push(Change::Append { position, offset: self.bytes.len(), len: record.len() });
        self.bytes.extend_from_slice(record);
    }

    pub fn truncate(&mut self, from: u64) {
        self.bytes.push(TRUNCATE);
        self.bytes.extend_from_slice(&from.to_be_bytes());
        self.changes.push(Change::Truncate { from });
    }

    pub fn committed(&mut self, fact: &[u8]) {
        self.bytes.push(COMMITTED);
        self.bytes.extend_from_slice(&length_of(fact).to_be_bytes());
        self.bytes.extend_from_slice(fact);
    }

    pub fn close(&mut self) {
        self.bytes.push(CLOSED);
        self.closing = true;
    }

    pub const fn is_empty(&self) -> bool {
        self.bytes.len() == HEAD_BYTES
    }

    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// About how long an append of these bytes makes a block.
    pub const fn length_with(record: usize) -> usize {
        record + APPEND_BYTES
    }

    /// Ready for the next one.
    pub fn clear(&mut self) {
        self.bytes.truncate(HEAD_BYTES);
        self.bytes.shrink_to(KEEP_BYTES);
        self.changes.clear();
        self.closing = false;
    }

    pub(super) fn changes(&self) -> &[Change] {
        &self.changes
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.closing
    }

    /// The bytes, with the head filled in.
    pub fn seal(&mut self, seed: Seed, number: u64) -> &[u8] {
        if let Some((head, content)) = self.bytes.split_first_chunk_mut::<HEAD_BYTES>() {
            let length = length_of(content);
            let words = [length, seed.sum(length, number, content)].map(u32::to_be_bytes);
            let words = words.iter().flatten().copied().chain(number.to_be_bytes());
            head.iter_mut().zip(words).for_each(|(byte, value)| *byte = value);
        }
        &self.bytes
    }
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a batch is far below 4 GiB")
}

/// A block that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// Of all of it.
    pub len: usize,
    pub changes: Vec<Change>,
    pub(super) committed: Option<Vec<u8>>,
    pub(super) closing: bool,
}

/// Why there is no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("a block is cut short")]
    Short,
    #[error("the checksum of a block does not match")]
    Checksum,
    #[error("a block has another number than it should")]
    Number,
    #[error("a block holds what is not known to this build")]
    Unknown,
}

/// The block `number` that `bytes` begin with.
pub fn read(bytes: &[u8], seed: Seed, number: u64) -> Result<Read, Fault> {
    let (found, content) = frame(bytes, seed)?;
    if found != number {
        return Err(Fault::Number);
    }
    let mut read = Read { len: HEAD_BYTES + content.len(), changes: Vec::new(), committed: None, closing: false };
    let mut rest = content;
    while let Some((&kind, after)) = rest.split_first() {
        let at = read.len - after.len();
        rest = match kind {
            APPEND => {
                let (position, after) = after.split_first_chunk::<8>().ok_or(Fault::Unknown)?;
                let (record, after) = sized(after)?;
                let position = u64::from_be_bytes(*position);
                read.changes.push(Change::Append { position, offset: at + APPEND_BYTES - 1, len: record.len() });
                after
            }
            TRUNCATE => {
                let (from, after) = after.split_first_chunk::<8>().ok_or(Fault::Unknown)?;
                read.changes.push(Change::Truncate { from: u64::from_be_bytes(*from) });
                after
            }
            COMMITTED => {
                let (fact, after) = sized(after)?;
                read.committed = Some(fact.to_vec());
                after
            }
            CLOSED => {
                read.closing = true;
                after
            }
            _ => return Err(Fault::Unknown),
        };
    }
    Ok(read)
}

/// Where behind the first byte of `bytes` an intact block begins whose number is at least `number`.
pub(super) fn find(bytes: &[u8], seed: Seed, number: u64) -> Option<usize> {
    // As many blocks as there are bytes, at the most. Told without a checksum for nearly every place.
    let numbers = number..=number.saturating_add(bytes.len() as u64);
    (1..bytes.len()).find(|at| {
        let rest = bytes.get(*at..).unwrap_or_default();
        let found = rest.get(8..).and_then(|rest| rest.first_chunk::<8>());
        found.is_some_and(|found| numbers.contains(&u64::from_be_bytes(*found))) && frame(rest, seed).is_ok()
    })
}

/// Number and content of the block that `bytes` begin with.
fn frame(bytes: &[u8], seed: Seed) -> Result<(u64, &[u8]), Fault> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Fault::Short)?;
    let (written, rest) = rest.split_first_chunk::<4>().ok_or(Fault::Short)?;
    let (number, rest) = rest.split_first_chunk::<8>().ok_or(Fault::Short)?;
    let length = u32::from_be_bytes(*length);
    let content = usize::try_from(length).ok().and_then(|length| rest.get(..length)).ok_or(Fault::Short)?;
    let number = u64::from_be_bytes(*number);
    if content.is_empty() || seed.sum(length, number, content) != u32::from_be_bytes(*written) {
        return Err(Fault::Checksum);
    }
    Ok((number, content))
}

fn sized(bytes: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Fault::Unknown)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Fault::Unknown)?;
    rest.split_at_checked(length).ok_or(Fault::Unknown)
}
