//! The newest records in memory: all that are not durable yet, and as many durable ones as replication is likely to
//! ask for again.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

/// Durable records are kept up to this many bytes.
const KEEP_BYTES: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Tail {
    /// The position of the first record of `records`; of the next append when there is none.
    start: u64,
    records: VecDeque<Bytes>,
    bytes: usize,
}

impl Tail {
    /// Empty, behind a log whose last position is `last`.
    pub(super) fn after(last: Option<u64>) -> Self {
        Self { start: last.map_or(0, |last| last + 1), records: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn push(&mut self, records: &[(u64, Bytes)]) {
        for (position, record) in records {
            if self.records.is_empty() {
                // A log may start anywhere after a snapshot was installed.
                self.start = *position;
            }
            self.bytes += record.len();
            self.records.push_back(record.clone());
        }
    }

    pub(super) fn truncate(&mut self, from: u64) {
        while self.end() > from
            && let Some(record) = self.records.pop_back()
        {
            self.bytes -= record.len();
        }
        if self.records.is_empty() {
            self.start = self.start.min(from);
        }
    }

    /// Gives up the oldest records, which are durable up to and including `durable`, until the rest is small.
    pub(super) fn trim(&mut self, durable: u64) {
        while self.bytes > KEEP_BYTES && self.start <= durable {
            self.drop_first();
        }
    }

    /// Forgets everything up to and including `upto`: it is purged.
    pub(super) fn forget(&mut self, upto: u64) {
        while self.start <= upto && !self.records.is_empty() {
            self.drop_first();
        }
        if self.records.is_empty() {
            self.start = self.start.max(upto.saturating_add(1));
        }
    }

    fn drop_first(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.bytes -= record.len();
            self.start += 1;
        }
    }

    /// What is in `range`, and the first position that is kept here.
    pub(super) fn read(&self, range: &Range<u64>) -> (Vec<(u64, Bytes)>, u64) {
        let from = range.start.max(self.start);
        let skip = usize::try_from(from - self.start).unwrap_or(usize::MAX);
        let records = self.records.iter().skip(skip).cloned();
        ((from..range.end).zip(records).collect(), self.start)
    }

    pub(super) fn last(&self) -> Option<(u64, Bytes)> {
        self.records.back().map(|record| (self.end() - 1, record.clone()))
    }

    fn end(&self) -> u64 {
        self.start + self.records.len() as u64
    }
}
