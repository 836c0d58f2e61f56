//! openraft's log on our log store: translation only.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use serde::{Deserialize, Serialize};

use super::record;
use super::types::{Entry, LeaderId, LogId, Types, Vote};
use crate::storage::log_store::{Fact, LogStore};

/// Bytes of records that go into one message to a peer; a longer record goes alone.
pub(super) const MESSAGE_BYTES: usize = 1 << 20;

#[derive(Clone, Debug)]
pub struct LogStorage {
    store: LogStore,
}

impl LogStorage {
    pub fn new(store: LogStore) -> Self {
        Self { store }
    }

    fn read(&self, from: u64, to: u64, limit_bytes: usize) -> io::Result<Vec<Entry>> {
        let records = self.store.read(from..to, limit_bytes).map_err(io::Error::other)?;
        records.iter().map(|(index, record)| record::decode(*index, record).map_err(io::Error::other)).collect()
    }

    fn stored<T: for<'de> Deserialize<'de>>(&self, fact: Fact) -> io::Result<Option<T>> {
        let bytes = self.store.fact(fact).map_err(io::Error::other)?;
        bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other)).transpose()
    }
}

/// The facts beside the log, in our own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredLogId {
    pub term: u64,
    pub node_id: u64,
    pub index: u64,
}

impl From<LogId> for StoredLogId {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, node_id: id.leader_id.node_id, index: id.index }
    }
}

impl From<StoredLogId> for LogId {
    fn from(id: StoredLogId) -> Self {
        Self { leader_id: LeaderId { term: id.term, node_id: id.node_id }, index: id.index }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredVote {
    pub(super) term: u64,
    pub(super) node_id: u64,
    pub(super) committed: bool,
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers and booleans serialize")
}

impl RaftLogReader<Types> for LogStorage {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        self.read(from, to, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, MESSAGE_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let vote: Option<StoredVote> = self.stored(Fact::Vote)?;
        Ok(vote.map(|vote| Vote {
            leader_id: LeaderId { term: vote.term, node_id: vote.node_id },
            committed: vote.committed,
        }))
    }
}

impl RaftLogStorage<Types> for LogStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let purged: Option<StoredLogId> = self.stored(Fact::Purged)?;
        let last_purged_log_id = purged.map(LogId::from);
        let last = self.store.last().map_err(io::Error::other)?;
        let last_log_id = match last {
            Some((index, bytes)) => Some(record::log_id(index, &bytes).map_err(io::Error::other)?),
            None => last_purged_log_id,
        };
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = StoredVote { term: vote.leader_id.term, node_id: vote.leader_id.node_id, committed: vote.committed };
        self.store.save_vote(json(&vote)).await;
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        // Only tells how far to apply before the first leader is heard: it may lag behind.
        if let Some(committed) = committed {
            self.store.save_committed_lazily(json(&StoredLogId::from(committed)));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let committed: Option<StoredLogId> = self.stored(Fact::Committed)?;
        Ok(committed.map(LogId::from))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries.into_iter().map(|entry| (entry.log_id.index, record::encode_stored(&entry))).collect();
        self.store.append(records, Box::new(move || callback.io_completed(Ok(())))).await;
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        self.store.truncate(last_log_id.map_or(0, |last| last.index + 1)).await;
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.store.purge(log_id.index, json(&StoredLogId::from(log_id))).await;
        Ok(())
    }
}
