//! One file of the records: a segment of a journal, whose number is that of its first record.
//!
//! Of every 64 KiB or so one place is remembered ([`Mark`]), so that reading begins near what is wanted. The marks of the
//! newest piece are kept as it grows, those of the others are made when they are first read.

use std::fmt::Display;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Order;
use super::blocks::Blocks;
use crate::storage::StorageError;
use crate::storage::journal::{Block, Change, Fault, HEAD_BYTES, Head, Segment, read_block};

/// In the place of a journal's random number: the chain says which records belong together.
pub(super) const ID: u64 = u64::from_be_bytes(*b"HJAUDIT1");
const FIRST_BLOCK: u64 = 1;
/// From one mark to the next, at least.
const MARK_BYTES: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct Piece {
    folder: PathBuf,
    first: u64,
    /// While it is written, and once its name is gone.
    held: Mutex<Option<Arc<Segment>>>,
    map: Mutex<Option<Map>>,
}

/// Where the records are.
#[derive(Clone, Debug)]
struct Map {
    marks: Vec<Mark>,
    end: u64,
    next_block: u64,
    next_seq: u64,
}

/// A block begins at byte `at`, with the record `seq`.
#[derive(Clone, Copy, Debug)]
struct Mark {
    seq: u64,
    at: u64,
    block: u64,
}

/// Bytes from one mark to the next.
struct Stretch {
    begin: Mark,
    end: u64,
}

impl Map {
    const fn of_none(first: u64) -> Self {
        Self { marks: Vec::new(), end: HEAD_BYTES, next_block: FIRST_BLOCK, next_seq: first }
    }

    /// A block of `bytes` was added, up to before the record `next_seq`.
    fn enter(&mut self, bytes: usize, next_seq: u64) {
        if self.marks.last().is_none_or(|last| last.at + MARK_BYTES <= self.end) {
            self.marks.push(Mark { seq: self.next_seq, at: self.end, block: self.next_block });
        }
        self.end += bytes as u64;
        self.next_block += 1;
        self.next_seq = next_seq;
    }

    /// What holds the records of `range`, the oldest first.
    fn stretches(&self, range: &Range<u64>) -> Vec<Stretch> {
        let skip = self.marks.partition_point(|mark| mark.seq <= range.start).saturating_sub(1);
        let marks = self.marks.iter().skip(skip);
        let ends = self.marks.iter().skip(skip + 1).map(|mark| mark.at).chain([self.end]);
        marks
            .zip(ends)
            .take_while(|(mark, _)| mark.seq < range.end)
            .map(|(begin, end)| Stretch { begin: *begin, end })
            .collect()
    }
}

impl Piece {
    /// One that is there.
    pub(super) fn known(folder: &Path, first: u64) -> Self {
        Self { folder: folder.to_owned(), first, held: Mutex::default(), map: Mutex::default() }
    }

    /// A new one, to be written.
    pub(super) fn begin(folder: &Path, first: u64) -> Result<Self, StorageError> {
        let segment = Segment::create(folder, head(first), None)?;
        let map = Map::of_none(first);
        Ok(Self { folder: folder.to_owned(), first, held: Mutex::new(Some(segment)), map: Mutex::new(Some(map)) })
    }

    /// A new one that is durable with all of its records, or not there at all.
    pub(super) fn whole<'a>(
        folder: &Path,
        first: u64,
        records: impl Iterator<Item = (u64, &'a str)>,
    ) -> Result<Self, StorageError> {
        let mut blocks = Blocks::of(first, FIRST_BLOCK);
        records.for_each(|(seq, line)| blocks.push(seq, line));
        Segment::create_whole(folder, head(first), &blocks.finish())?;
        Ok(Self::known(folder, first))
    }

    /// How long the file is, as far as it is known.
    pub(super) fn bytes(&self) -> u64 {
        self.map.lock().as_ref().map_or(0, |map| map.end)
    }

    /// Adds the records of `block`, up to before `next_seq`. Not durable.
    pub(super) fn write(&self, block: &mut Block, next_seq: u64) -> Result<(), StorageError> {
        let segment = self.segment()?;
        let mut known = self.map.lock();
        let map = self.mapped(&mut known)?;
        let bytes = block.seal(segment.seed(), map.next_block);
        segment.write(bytes, map.end)?;
        map.enter(bytes.len(), next_seq);
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), StorageError> {
        self.segment()?.sync()
    }

    /// From now on it is opened when it is read.
    pub(super) fn let_go(&self) {
        *self.held.lock() = None;
    }

    /// Takes its name away. Who reads it at the moment reads on.
    pub(super) fn remove(&self) -> Result<(), StorageError> {
        let mut held = self.held.lock();
        let segment = match held.take() {
            Some(segment) => segment,
            None => Arc::new(self.open()?),
        };
        *held = Some(segment);
        let path = self.path();
        std::fs::remove_file(&path).map_err(StorageError::io("remove", &path))
    }

    /// The newest piece as a start finds it, to be written again: without what is behind `last`, which the log makes anew,
    /// and without what a crash has torn. False: it does not reach that far. A record that must be there, since a
    /// snapshot of the state names it, and is not what was written is damage.
    pub(super) fn resume(&self, last: u64) -> Result<bool, StorageError> {
        let segment = Arc::new(self.open()?);
        let bytes = segment.contents()?;
        let (map, fault) = self.scan(&segment, &bytes)?;
        let reaches = map.next_seq > last;
        if let Some(fault) = fault.filter(|_| !reaches) {
            return Err(self.corrupt(map.end, fault));
        }
        if !reaches {
            return Ok(false);
        }
        if fault.is_some() {
            let path = self.path();
            tracing::warn!(
                file = %path.display(),
                byte = map.end,
                "the last audit records were torn when the process or the machine stopped; the log makes them anew"
            );
        }
        let behind = last + 1..map.next_seq;
        let (map, segment) = if behind.is_empty() {
            segment.cut(map.end)?;
            (map, segment)
        } else {
            self.rewrite(&segment, &bytes, last)?
        };
        *self.map.lock() = Some(map);
        *self.held.lock() = Some(segment);
        Ok(true)
    }

    /// The same file with the records up to `last`.
    fn rewrite(&self, segment: &Segment, bytes: &[u8], last: u64) -> Result<(Map, Arc<Segment>), StorageError> {
        let mut blocks = Blocks::of(self.first, FIRST_BLOCK);
        let whole = Stretch { begin: Mark { seq: self.first, at: HEAD_BYTES, block: FIRST_BLOCK }, end: 0 };
        let rest = bytes.get(usize::try_from(HEAD_BYTES).unwrap_or_default()..).unwrap_or_default();
        self.each(segment, &whole, rest, |seq, line| {
            if seq > last {
                return ControlFlow::Break(());
            }
            blocks.push(seq, line);
            ControlFlow::Continue(())
        })?;
        Segment::create_whole(&self.folder, head(self.first), &blocks.finish())?;
        let segment = Arc::new(self.open()?);
        let (map, _) = self.scan(&segment, &segment.contents()?)?;
        Ok((map, segment))
    }

    /// Hands out the records of `range`; `through` is the last one that it must have.
    pub(super) fn read(
        &self,
        range: &Range<u64>,
        through: u64,
        order: Order,
        visit: &mut dyn FnMut(u64, &str) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StorageError> {
        let segment = self.segment()?;
        let mut stretches = {
            let mut known = self.map.lock();
            let map = self.mapped(&mut known)?;
            if map.next_seq <= through {
                let why = format_args!("record {} is missing", map.next_seq);
                return Err(StorageError::corrupt(&self.path(), why));
            }
            map.stretches(range)
        };
        if order == Order::NewestFirst {
            stretches.reverse();
        }
        for stretch in stretches {
            let len = usize::try_from(stretch.end - stretch.begin.at).unwrap_or_default();
            let bytes = segment.read(stretch.begin.at, len)?;
            if self.visit(&segment, &stretch, &bytes, range, order, visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn visit(
        &self,
        segment: &Segment,
        stretch: &Stretch,
        bytes: &[u8],
        range: &Range<u64>,
        order: Order,
        visit: &mut dyn FnMut(u64, &str) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StorageError> {
        let mut records = Vec::new();
        self.each(segment, stretch, bytes, |seq, line| {
            if range.contains(&seq) {
                records.push((seq, line));
            }
            ControlFlow::Continue(())
        })?;
        if order == Order::NewestFirst {
            records.reverse();
        }
        Ok(records.into_iter().try_for_each(|(seq, line)| visit(seq, line)))
    }

    /// Every record of a stretch, whose bytes these are, in order.
    fn each<'a>(
        &self,
        segment: &Segment,
        stretch: &Stretch,
        bytes: &'a [u8],
        mut take: impl FnMut(u64, &'a str) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let (mut rest, mut number) = (bytes, stretch.begin.block);
        while !rest.is_empty() {
            let at = stretch.begin.at + (bytes.len() - rest.len()) as u64;
            let block = read_block(rest, segment.seed(), number).map_err(|why| self.corrupt(at, why))?;
            for change in block.changes {
                let Change::Append { position, offset, len } = change else {
                    return Err(self.corrupt(at, Fault::Unknown));
                };
                let line = rest.get(offset..offset + len).and_then(|line| std::str::from_utf8(line).ok());
                if take(position, line.ok_or_else(|| self.corrupt(at, Fault::Unknown))?).is_break() {
                    return Ok(());
                }
            }
            rest = rest.get(block.len..).unwrap_or_default();
            number += 1;
        }
        Ok(())
    }

    /// What there is up to the first thing that is no block, and what is wrong with that, unless nothing follows.
    fn scan(&self, segment: &Segment, bytes: &[u8]) -> Result<(Map, Option<Fault>), StorageError> {
        let mut map = Map::of_none(self.first);
        loop {
            let rest = usize::try_from(map.end).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
            if rest.is_empty() {
                return Ok((map, None));
            }
            let block = match read_block(rest, segment.seed(), map.next_block) {
                Ok(block) => block,
                Err(fault) => return Ok((map, Some(fault))),
            };
            let mut next_seq = map.next_seq;
            for change in &block.changes {
                match change {
                    Change::Append { position, .. } if *position == next_seq => next_seq += 1,
                    _ => return Err(self.corrupt(map.end, format_args!("record {next_seq} does not stand there"))),
                }
            }
            map.enter(block.len, next_seq);
        }
    }

    fn mapped<'a>(&self, known: &'a mut Option<Map>) -> Result<&'a mut Map, StorageError> {
        if known.is_none() {
            let segment = self.segment()?;
            let (map, fault) = self.scan(&segment, &segment.contents()?)?;
            if let Some(fault) = fault {
                return Err(self.corrupt(map.end, fault));
            }
            *known = Some(map);
        }
        Ok(known.get_or_insert_with(|| Map::of_none(self.first)))
    }

    fn segment(&self) -> Result<Arc<Segment>, StorageError> {
        // Opened under the lock: until then its name is not taken away.
        let held = self.held.lock();
        held.as_ref().map_or_else(|| self.open().map(Arc::new), |segment| Ok(Arc::clone(segment)))
    }

    fn open(&self) -> Result<Segment, StorageError> {
        Segment::open(&self.folder, ID, self.first)
    }

    fn path(&self) -> PathBuf {
        Segment::path_of(&self.folder, self.first)
    }

    fn corrupt(&self, at: u64, why: impl Display) -> StorageError {
        StorageError::corrupt(&self.path(), format_args!("at byte {at}: {why}"))
    }
}

const fn head(first: u64) -> Head {
    Head { id: ID, number: first, first_block: FIRST_BLOCK }
}
