//! The changes of recent revisions, each encoded once, for everybody who watches.
//!
//! A ring: the state machine appends, subscribers read behind a cursor of their own. Nothing is queued per subscriber,
//! so a slow one costs nothing and delays nobody; one that falls off the ring's end is told so ([`Compacted`]) and
//! starts over from a snapshot.

pub mod encode;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use vocab::Revision;

/// What a ring holds, or may hold at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub count: usize,
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { count: 32_768, bytes: 16 << 20 }
    }
}

/// The revisions after the asked one are no longer held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the changes after this revision are no longer held")]
pub struct Compacted;

/// A handle to the feed; clones share it.
#[derive(Clone, Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    ring: Mutex<Ring>,
    newest: watch::Sender<Revision>,
}

/// Consecutive revisions: `frames[i]` is of `first + i`.
#[derive(Debug)]
struct Ring {
    first: u64,
    frames: VecDeque<Held>,
    bytes: usize,
    /// W3C `traceparent` by revision, of the few that are traced.
    traced: BTreeMap<u64, String>,
}

#[derive(Debug)]
struct Held {
    frame: Bytes,
    /// When it was appended.
    since: Instant,
}

impl Feed {
    /// An empty feed whose next revision is the one after `applied`; 0 when nothing was applied.
    pub fn new(applied: Option<Revision>, limits: Limits) -> Self {
        let ring = Ring::beginning_at(next(applied));
        let newest = watch::Sender::new(applied.unwrap_or_default());
        Self { shared: Arc::new(Shared { limits, ring: Mutex::new(ring), newest }) }
    }

    /// Adds the frame of the next revision. `traceparent`: of the change, if it is traced.
    pub fn append(&self, revision: Revision, frame: Bytes, traceparent: Option<String>) {
        {
            let mut ring = self.shared.ring.lock();
            if revision.0 != ring.end() {
                // A hole: nobody may walk across it.
                *ring = Ring::beginning_at(revision.0);
            }
            ring.bytes += frame.len();
            ring.frames.push_back(Held { frame, since: Instant::now() });
            if let Some(traceparent) = traceparent {
                ring.traced.insert(revision.0, traceparent);
            }
            while ring.frames.len() > self.shared.limits.count || ring.bytes > self.shared.limits.bytes {
                ring.drop_first();
            }
        }
        self.shared.newest.send_replace(revision);
    }

    /// The state jumped to `revision` without its changes being known: a snapshot was installed.
    pub fn restart_after(&self, revision: Revision) {
        {
            let mut ring = self.shared.ring.lock();
            *ring = Ring::beginning_at(revision.0 + 1);
        }
        self.shared.newest.send_replace(revision);
    }

    /// The frame of the revision after `revision`; `None` when there is none yet.
    pub fn after(&self, revision: Revision) -> Result<Option<Bytes>, Compacted> {
        let ring = self.shared.ring.lock();
        let wanted = revision.0.saturating_add(1);
        let index = wanted.checked_sub(ring.first).ok_or(Compacted)?;
        Ok(ring.at(index).map(|held| held.frame.clone()))
    }

    /// Since when the change of `revision` is held; `None` when it is not, or no longer.
    pub fn since(&self, revision: Revision) -> Option<Instant> {
        let ring = self.shared.ring.lock();
        ring.at(revision.0.checked_sub(ring.first)?).map(|held| held.since)
    }

    /// How the trace of the change goes on; `None` when it is not traced, or no longer held.
    pub fn traceparent(&self, revision: Revision) -> Option<String> {
        self.shared.ring.lock().traced.get(&revision.0).cloned()
    }

    /// Whether everything after `revision` is still held.
    pub fn covers(&self, revision: Revision) -> bool {
        revision.0.saturating_add(1) >= self.shared.ring.lock().first
    }

    /// What is held at the moment.
    pub fn held(&self) -> Limits {
        let ring = self.shared.ring.lock();
        Limits { count: ring.frames.len(), bytes: ring.bytes }
    }

    /// Follows the newest revision.
    pub fn newest(&self) -> watch::Receiver<Revision> {
        self.shared.newest.subscribe()
    }
}

fn next(applied: Option<Revision>) -> u64 {
    applied.map_or(0, |applied| applied.0 + 1)
}

impl Ring {
    const fn beginning_at(first: u64) -> Self {
        Self { first, frames: VecDeque::new(), bytes: 0, traced: BTreeMap::new() }
    }

    fn end(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    fn at(&self, index: u64) -> Option<&Held> {
        usize::try_from(index).ok().and_then(|index| self.frames.get(index))
    }

    fn drop_first(&mut self) {
        if let Some(Held { frame, .. }) = self.frames.pop_front() {
            self.bytes -= frame.len();
            self.traced.remove(&self.first);
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: u64) -> Bytes {
        Bytes::from(n.to_string())
    }

    fn filled(limits: Limits, upto: u64) -> Feed {
        let feed = Feed::new(Some(Revision(4)), limits);
        for revision in 5..=upto {
            feed.append(Revision(revision), frame(revision), Some(revision.to_string()));
        }
        feed
    }

    #[test]
    fn a_cursor_walks_every_revision_once_and_then_waits() {
        let feed = filled(Limits::default(), 9);
        let mut cursor = Revision(4);
        while let Some(found) = feed.after(cursor).unwrap() {
            cursor = Revision(cursor.0 + 1);
            assert_eq!(found, frame(cursor.0));
        }
        assert_eq!(cursor, Revision(9));
        assert_eq!(*feed.newest().borrow(), Revision(9));
        assert_eq!(feed.after(Revision(100)), Ok(None));
        assert_eq!(feed.after(Revision(3)), Err(Compacted));
    }

    #[test]
    fn what_exceeds_count_or_bytes_is_compacted() {
        let by_count = filled(Limits { count: 2, bytes: 100 }, 9);
        assert_eq!(by_count.after(Revision(7)), Ok(Some(frame(8))));
        assert_eq!(by_count.after(Revision(6)), Err(Compacted));
        assert_eq!(by_count.held(), Limits { count: 2, bytes: 2 });
        assert_eq!([7, 8].map(|revision| by_count.traceparent(Revision(revision))), [None, Some("8".to_owned())]);
        let by_bytes = filled(Limits { count: 100, bytes: 3 }, 9);
        assert!(by_bytes.covers(Revision(6)));
        assert!(!by_bytes.covers(Revision(5)));
    }

    #[test]
    fn a_restart_compacts_all_before_it() {
        let feed = filled(Limits::default(), 9);
        feed.restart_after(Revision(50));
        assert_eq!(feed.after(Revision(9)), Err(Compacted));
        assert_eq!(feed.after(Revision(50)), Ok(None));
        feed.append(Revision(51), frame(51), None);
        assert_eq!(feed.after(Revision(50)), Ok(Some(frame(51))));
    }

    #[tokio::test]
    async fn a_follower_of_the_newest_is_woken() {
        let feed = filled(Limits::default(), 5);
        let mut newest = feed.newest();
        let appender = feed.clone();
        tokio::spawn(async move { appender.append(Revision(6), frame(6), None) });
        newest.wait_for(|revision| *revision == Revision(6)).await.unwrap();
    }
}
