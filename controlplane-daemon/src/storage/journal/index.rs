//! Where each record of the log lies: 32 bytes of memory for each, of which `--snapshot-every` bounds the number.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::block::Change;
use super::segment::Segment;
use crate::storage::StorageError;

/// The records from the first to the last, without a hole.
#[derive(Debug, Default)]
pub struct Index {
    start: u64,
    places: VecDeque<Place>,
    bytes: u64,
    /// Whether positions were passed over, which is right only if those before are purged.
    skipped: bool,
}

/// Where a record lies. It can be read even after its segment was removed.
#[derive(Clone, Debug)]
pub struct Place {
    segment: Arc<Segment>,
    offset: u64,
    len: usize,
}

impl Place {
    /// Of the record.
    pub const fn bytes(&self) -> usize {
        self.len
    }

    pub fn segment_number(&self) -> u64 {
        self.segment.number()
    }

    pub fn read(&self) -> Result<Bytes, StorageError> {
        self.segment.read(self.offset, self.len).map(Bytes::from)
    }
}

impl Index {
    /// Has it know what a block at `at` of `segment` did.
    pub(super) fn apply(&mut self, segment: &Arc<Segment>, at: u64, changes: &[Change]) {
        for change in changes {
            match *change {
                Change::Append { position, offset, len } => {
                    let place = Place { segment: Arc::clone(segment), offset: at + offset as u64, len };
                    self.append(position, place);
                }
                Change::Truncate { from } => self.truncate(from),
            }
        }
    }

    fn append(&mut self, position: u64, place: Place) {
        // What follows a snapshot of the leader may begin anywhere behind the log.
        let skips = !self.places.is_empty() && position > self.end();
        if skips {
            self.purge(u64::MAX);
            self.skipped = true;
        }
        self.truncate(position);
        if self.places.is_empty() {
            self.start = position;
        }
        self.bytes += place.len as u64;
        self.places.push_back(place);
    }

    fn truncate(&mut self, from: u64) {
        while self.end() > from
            && let Some(place) = self.places.pop_back()
        {
            self.bytes -= place.len as u64;
        }
    }

    /// Forgets the records before `floor`.
    pub fn purge(&mut self, floor: u64) {
        while self.start < floor
            && let Some(place) = self.places.pop_front()
        {
            self.bytes -= place.len as u64;
            self.start += 1;
        }
    }

    /// The first position that has records missing before it, given that all before `floor` are purged.
    pub fn hole(&self, floor: Option<u64>) -> Option<u64> {
        let begins_right = match floor {
            Some(floor) => self.start <= floor,
            None => !self.skipped,
        };
        (!begins_right && !self.places.is_empty()).then_some(self.start)
    }

    /// The segment of the first record at or behind `floor`.
    pub fn segment_at(&self, floor: u64) -> Option<u64> {
        let skip = usize::try_from(floor.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.places.get(skip).map(Place::segment_number)
    }

    /// The records of `range` that exist.
    pub fn range(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, &Place)> {
        let from = range.start.max(self.start);
        let skip = usize::try_from(from - self.start).unwrap_or(usize::MAX);
        (from..range.end).zip(self.places.iter().skip(skip))
    }

    pub fn last(&self) -> Option<(u64, Place)> {
        self.places.back().map(|place| (self.end() - 1, place.clone()))
    }

    /// Bytes of all records.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Behind the last record.
    fn end(&self) -> u64 {
        self.start + self.places.len() as u64
    }
}
