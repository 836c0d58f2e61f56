//! From whoever notices something to the log: a bounded queue, emptied about once a second in one entry.
//!
//! Noting never waits and never fails, whoever does it: what the queue has no room for is counted, and the count itself
//! becomes a note. Notes wait while there is no leader, and are lost when the process dies meanwhile. What repeats (a
//! stranger who tries doors) is noted once, and then at intervals with how often it was. That is seen to before the
//! queue: nobody can flood the log, or take the room of what others have to tell.

mod repeats;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use controlplane_core::{Note, Noted};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vocab::{Clock, NodeId};

use self::repeats::Repeats;

const QUEUE: usize = 4096;
/// What one entry carries; what is more waits for the next.
const BATCH: usize = 256;
/// From the first note of a batch to its entry.
const GATHER: Duration = Duration::from_secs(1);
/// Until a batch that could not be put into the log is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// What a node that stops still gives its last notes.
const LAST_TRY: Duration = Duration::from_secs(1);

/// Takes notes. Cheap to clone.
#[derive(Clone)]
pub struct Notes {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Noted>,
}

struct Shared {
    node: NodeId,
    clock: Arc<dyn Clock>,
    repeats: Mutex<Repeats>,
    dropped: AtomicU64,
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").finish_non_exhaustive()
    }
}

/// The queue's other end. Somebody must [`Reported::run`] it.
pub struct Reported {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Noted>,
}

impl fmt::Debug for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reported").finish_non_exhaustive()
    }
}

/// The batch is not in the log, or that is not known: try again.
#[derive(Clone, Copy, Debug)]
pub struct NotNow;

/// The queue of the node `node`.
pub fn notes(node: NodeId, clock: Arc<dyn Clock>) -> (Notes, Reported) {
    let shared = Arc::new(Shared { node, clock, repeats: Mutex::default(), dropped: AtomicU64::new(0) });
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Notes { shared: Arc::clone(&shared), queue: sender }, Reported { shared, queue: receiver })
}

impl Notes {
    pub fn note(&self, note: Note) {
        let noted = Noted { at: self.shared.clock.now(), node: self.shared.node, note };
        let Some(noted) = self.shared.repeats.lock().pass(noted, Instant::now()) else { return };
        if self.queue.try_send(noted).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("hj_cp_audit_notes_dropped_total").increment(1);
        }
    }
}

impl Notes {
    /// How many wait, and how many may.
    pub fn waiting(&self) -> (usize, usize) {
        let limit = self.queue.max_capacity();
        (limit - self.queue.capacity(), limit)
    }
}

impl Reported {
    /// Hands batches to `report` until `stopping`, and then, briefly, what is left.
    pub async fn run<F>(mut self, report: impl Fn(Vec<Noted>) -> F, stopping: CancellationToken)
    where
        F: Future<Output = Result<(), NotNow>>,
    {
        loop {
            let is_counting = !self.shared.repeats.lock().is_empty();
            let first = tokio::select! {
                first = self.queue.recv() => match first {
                    Some(first) => Some(first),
                    None => return,
                },
                () = tokio::time::sleep(GATHER), if is_counting => None,
                () = stopping.cancelled() => break,
            };
            if first.is_some() {
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = stopping.cancelled() => {}
                }
            }
            let mut batch = self.batch(first);
            batch.extend(self.shared.repeats.lock().due(Instant::now()));
            if batch.is_empty() {
                continue;
            }
            while report(batch.clone()).await.is_err() {
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = stopping.cancelled() => return,
                }
            }
        }
        let mut last = self.batch(None);
        last.extend(std::mem::take(&mut *self.shared.repeats.lock()).rest());
        if !last.is_empty() {
            let _ = tokio::time::timeout(LAST_TRY, report(last)).await;
        }
    }

    fn batch(&mut self, first: Option<Noted>) -> Vec<Noted> {
        let mut batch: Vec<Noted> = first.into_iter().collect();
        while batch.len() < BATCH
            && let Ok(next) = self.queue.try_recv()
        {
            batch.push(next);
        }
        let count = self.shared.dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            let at = self.shared.clock.now();
            batch.push(Noted { at, node: self.shared.node, note: Note::Dropped { count } });
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use vocab::ManualClock;

    use super::*;

    fn refused(n: u64) -> Note {
        Note::JoinRefused { node_id: Some(NodeId(n)), address: format!("a:{n}"), why: "unsigned".to_owned() }
    }

    fn elected(term: u64) -> Note {
        let (from, to) = ("candidate".to_owned(), "leader".to_owned());
        Note::RoleTransition { node: NodeId(3), from, to, term, leader: None }
    }

    #[tokio::test]
    async fn what_comes_within_a_second_is_one_batch_and_survives_a_failure() {
        let (notes, reported) = notes(NodeId(3), Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH.into())));
        let (batches, mut arrived) = mpsc::unbounded_channel();
        let failed = AtomicU64::new(0);
        let report = |batch: Vec<Noted>| {
            let first = failed.fetch_add(1, Ordering::Relaxed) == 0;
            std::future::ready(if first { Err(NotNow) } else { batches.send(batch).map_err(|_| NotNow) })
        };
        notes.note(refused(1));
        notes.note(refused(2));
        let stopping = CancellationToken::new();
        let watching = async {
            let batch = arrived.recv().await.unwrap();
            assert!(batch.iter().all(|noted| noted.node == NodeId(3)));
            assert_eq!(batch.into_iter().map(|noted| noted.note).collect::<Vec<_>>(), [refused(1), refused(2)]);
            stopping.cancel();
            notes.note(refused(3));
            assert_eq!(arrived.recv().await.unwrap()[0].note, refused(3), "what is left goes last");
        };
        tokio::join!(reported.run(report, stopping.clone()), watching);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let (notes, mut reported) = notes(NodeId(3), Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH.into())));
        for term in 0..QUEUE as u64 + 5 {
            notes.note(elected(term));
        }
        let batch = reported.batch(None);
        assert_eq!(batch.len(), BATCH + 1);
        assert_eq!(batch.last().map(|noted| &noted.note), Some(&Note::Dropped { count: 5 }));
    }

    #[test]
    fn who_repeats_himself_takes_no_room_from_others() {
        let (notes, mut reported) = notes(NodeId(3), Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH.into())));
        for _ in 0..2 * QUEUE {
            notes.note(refused(7));
        }
        notes.note(elected(1));
        let batch = reported.batch(None);
        assert_eq!(batch.into_iter().map(|noted| noted.note).collect::<Vec<_>>(), [refused(7), elected(1)]);
    }
}
