//! Which cluster this node is in: decided once, and on the disk before anything is said or answered in Raft.
//!
//! ```text
//!   founder  picks an id ── bind ──▶ initialises its log; its calls carry the id from the first one on
//!   blank    its first vote, or a leader's first entries ── bind ──▶ gives or takes them; a call of another cluster
//!            is refused from then on
//!   any      what the log or a snapshot names ── follow ──▶ the same
//! ```
//!
//! Without it two clusters that are founded at the same time, and both name a third node, could both count its copy of
//! their entries. Its vote binds it as well, though nothing would be committed by votes alone: else it could elect one
//! founder and follow the other, and two leaders would each wait for a majority. A node that holds nothing and hears
//! nothing is free again after a while (`retreat`), so a founder that dies before it led keeps nobody for long.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use vocab::{ClusterId, NodeId};

use crate::signature::Refusal;
use crate::signature::layer::Caller;
use crate::storage::binding::{self, Binder, Bound};
use crate::storage::{StorageError, stop_process};

#[derive(Clone, Debug)]
pub struct Binding {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    node_id: NodeId,
    data_dir: PathBuf,
    /// What a cluster is called that this node founds.
    fresh: ClusterId,
    bound: watch::Sender<Option<ClusterId>>,
    /// Held until the file is written: of two strangers who call at once, one is the first.
    by: Arc<Mutex<Option<Binder>>>,
    filled_at: parking_lot::Mutex<Option<u64>>,
    /// It began without data, and was not filled since.
    is_new: AtomicBool,
}

type Held = OwnedMutexGuard<Option<Binder>>;

impl Binding {
    /// `named`: what the state on the disk says. It counts: recovering and restoring a node make another cluster of it.
    pub fn open(
        node_id: NodeId,
        data_dir: PathBuf,
        named: Option<ClusterId>,
        fresh: ClusterId,
    ) -> Result<Self, StorageError> {
        let mut bound = binding::read(&data_dir)?;
        if let Some(cluster_id) = named.filter(|id| bound.is_none_or(|bound| bound.cluster_id != *id)) {
            let anew = Bound { cluster_id, by: Binder::Member, filled_at: None };
            binding::write(&data_dir, anew)?;
            bound = Some(anew);
        }
        let by = Arc::new(Mutex::new(bound.map(|bound| bound.by)));
        let filled_at = parking_lot::Mutex::new(bound.and_then(|bound| bound.filled_at));
        let is_new = AtomicBool::new(bound.is_none());
        let bound = watch::Sender::new(bound.map(|bound| bound.cluster_id));
        Ok(Self { inner: Arc::new(Inner { node_id, data_dir, fresh, bound, by, filled_at, is_new }) })
    }

    pub fn cluster_id(&self) -> Option<ClusterId> {
        *self.inner.bound.borrow()
    }

    pub fn cluster_ids(&self) -> watch::Receiver<Option<ClusterId>> {
        self.inner.bound.subscribe()
    }

    /// A caller asks something of this node, whose log is empty or not, that it keeps nothing of: whether it would vote,
    /// say.
    pub fn hear(&self, caller: Caller, is_blank: impl Fn() -> bool) -> Result<(), Refusal> {
        match (caller.cluster, self.cluster_id()) {
            // Of a release that named its cluster later. Whoever has a log knows its members; a blank node knows nobody.
            (None, _) if is_blank() => Err(Refusal::NoCluster),
            (Some(theirs), Some(here)) if theirs != here => {
                Err(Refusal::OtherCluster { caller: caller.node, theirs, node: self.inner.node_id, here })
            }
            _ => Ok(()),
        }
    }

    /// A leader wants this node to keep what it sends, or a candidate gets its vote: a node without a cluster belongs to
    /// the caller's from now on.
    pub async fn admit(&self, caller: Caller, is_blank: impl Fn() -> bool) -> Result<(), Refusal> {
        self.hear(caller, &is_blank)?;
        let Some(theirs) = caller.cluster.filter(|theirs| self.cluster_id() != Some(*theirs)) else { return Ok(()) };
        let held = self.hold().await;
        // Somebody else may have been faster.
        self.hear(caller, &is_blank)?;
        // Whoever has a log without a cluster will read there where it belongs.
        if self.cluster_id().is_none() && is_blank() {
            tracing::info!(cluster = %theirs, by = %caller.node, "this node belongs to a cluster from now on");
            self.bind(Bound { cluster_id: theirs, by: Binder::Member, filled_at: None }, held).await;
        }
        Ok(())
    }

    /// The position up to which this node was being filled when it was last asked to remember that.
    pub fn filled_at(&self) -> Option<u64> {
        *self.inner.filled_at.lock()
    }

    /// Remembers over a restart that this node is being filled, and up to where at least; or that it is no more. Who was
    /// away for a while is not filled: its log knows who is in the cluster.
    pub async fn fill(&self, filled_at: Option<u64>) {
        match (self.filled_at(), filled_at) {
            (None, Some(_)) if self.inner.is_new.load(Ordering::Relaxed) => {}
            (Some(_), None) => self.inner.is_new.store(false, Ordering::Relaxed),
            _ => return,
        }
        let held = self.hold().await;
        if let (Some(cluster_id), Some(by)) = (self.cluster_id(), *held) {
            self.bind(Bound { cluster_id, by, filled_at }, held).await;
        }
    }

    /// Who has bound this node, if anybody has.
    pub async fn bound_by(&self) -> Option<Binder> {
        *self.hold().await
    }

    /// The id of the cluster that this node founds; `Err`: it belongs to somebody else's.
    pub async fn chosen(&self) -> Result<ClusterId, ClusterId> {
        let by = self.hold().await;
        match self.cluster_id() {
            Some(here) if *by == Some(Binder::Member) => Err(here),
            chosen => Ok(chosen.unwrap_or(self.inner.fresh)),
        }
    }

    /// Binds this node to the cluster that it founds; `Err` when it belongs to somebody else's by now.
    pub async fn found(&self) -> Result<ClusterId, ClusterId> {
        let cluster_id = self.chosen().await?;
        let held = self.hold().await;
        match self.cluster_id() {
            None => self.bind(Bound { cluster_id, by: Binder::Founder, filled_at: None }, held).await,
            Some(here) if here != cluster_id => return Err(here),
            Some(_) => {}
        }
        Ok(cluster_id)
    }

    /// Keeps up with what the log and its snapshots say. Ends with the receiver's other end.
    pub async fn follow(self, mut named: watch::Receiver<Option<ClusterId>>) {
        loop {
            let now = *named.borrow_and_update();
            if let Some(cluster_id) = now {
                let held = self.hold().await;
                if self.cluster_id() != Some(cluster_id) {
                    self.bind(Bound { cluster_id, by: Binder::Member, filled_at: None }, held).await;
                }
            }
            if named.changed().await.is_err() {
                return;
            }
        }
    }

    async fn hold(&self) -> Held {
        Arc::clone(&self.inner.by).lock_owned().await
    }

    /// Done whole even when whoever waits for it is gone: a caller that hangs up drops what was begun for it.
    async fn bind(&self, bound: Bound, mut by: Held) {
        let inner = Arc::clone(&self.inner);
        let binding = tokio::task::spawn_blocking(move || {
            if let Err(why) = binding::write(&inner.data_dir, bound) {
                // As with the log: what cannot be kept must not be promised.
                stop_process(&why);
            }
            *by = Some(bound.by);
            *inner.filled_at.lock() = bound.filled_at;
            inner.bound.send_replace(Some(bound.cluster_id));
        });
        if let Err(panicked) = binding.await {
            stop_process(&panicked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClusterId = ClusterId::from_uuid(uuid::Uuid::from_u128(1));
    const B: ClusterId = ClusterId::from_uuid(uuid::Uuid::from_u128(2));

    const FRESH: ClusterId = ClusterId::from_uuid(uuid::Uuid::from_u128(3));

    fn open(dir: &tempfile::TempDir, named: Option<ClusterId>) -> Binding {
        would_found(dir, named, FRESH)
    }

    fn would_found(dir: &tempfile::TempDir, named: Option<ClusterId>, fresh: ClusterId) -> Binding {
        Binding::open(NodeId(3), dir.path().to_owned(), named, fresh).unwrap()
    }

    fn of(cluster: Option<ClusterId>) -> Caller {
        Caller { node: NodeId(1), cluster, address: None }
    }

    fn stranger() -> Refusal {
        Refusal::OtherCluster { caller: NodeId(1), theirs: B, node: NodeId(3), here: A }
    }

    #[tokio::test]
    async fn a_blank_node_is_the_first_callers_and_stays_that() {
        let dir = tempfile::tempdir().unwrap();
        let binding = open(&dir, None);
        assert_eq!(binding.admit(of(None), || true).await, Err(Refusal::NoCluster));
        for candidate in [A, B] {
            assert_eq!(binding.hear(of(Some(candidate)), || true), Ok(()), "a question binds nobody");
        }
        assert_eq!(binding.cluster_id(), None);
        assert_eq!(binding.admit(of(Some(A)), || true).await, Ok(()));
        for binding in [binding, open(&dir, None)] {
            assert_eq!(binding.admit(of(Some(A)), || true).await, Ok(()));
            assert_eq!(binding.admit(of(Some(B)), || true).await, Err(stranger()));
            assert_eq!(binding.hear(of(Some(B)), || true), Err(stranger()));
            assert_eq!(binding.found().await, Err(A), "somebody else's cluster is not founded");
        }
    }

    #[tokio::test]
    async fn of_two_who_call_at_once_one_is_refused() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let binding = open(&dir, None);
            let (first, second) =
                tokio::join!(binding.admit(of(Some(A)), || true), binding.admit(of(Some(B)), || true));
            assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        }
    }

    #[tokio::test]
    async fn a_caller_that_hangs_up_leaves_nothing_half_done() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let binding = open(&dir, None);
            {
                // Polled once: the file is being written.
                let mut hangs_up = Box::pin(binding.admit(of(Some(A)), || true));
                assert!(futures::poll!(&mut hangs_up).is_pending());
            }
            assert_eq!(binding.admit(of(Some(B)), || true).await, Err(stranger()));
            assert_eq!(open(&dir, None).cluster_id(), Some(A));
        }
    }

    #[tokio::test]
    async fn a_founder_goes_on_with_the_id_that_it_chose() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(would_found(&dir, None, A).found().await, Ok(A));
        let again = would_found(&dir, None, B);
        assert_eq!((again.chosen().await, again.found().await), (Ok(A), Ok(A)));
        assert_eq!(again.cluster_id(), Some(A));
    }

    #[tokio::test]
    async fn a_node_that_is_being_filled_knows_that_when_it_is_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let binding = open(&dir, None);
        binding.fill(Some(70)).await;
        assert_eq!(open(&dir, None).filled_at(), None, "it is in no cluster");
        assert_eq!(binding.admit(of(Some(A)), || true).await, Ok(()));
        binding.fill(Some(70)).await;
        binding.fill(Some(80)).await;
        let again = open(&dir, None);
        assert_eq!((again.filled_at(), again.cluster_id()), (Some(70), Some(A)));
        assert_eq!(open(&dir, Some(B)).filled_at(), None, "what is restored as another cluster is whole");
        assert_eq!(binding.admit(of(Some(A)), || false).await, Ok(()));
        binding.fill(None).await;
        assert_eq!((open(&dir, None).filled_at(), binding.filled_at()), (None, None));
        for whole in [binding, open(&dir, None)] {
            whole.fill(Some(90)).await;
            assert_eq!(whole.filled_at(), None, "it was away, no more");
        }
    }

    #[tokio::test]
    async fn the_state_counts_and_an_old_log_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        // A release that kept no file, started again without a snapshot: everybody it knows is heard, nobody believed.
        let binding = open(&dir, None);
        assert_eq!(binding.admit(of(Some(B)), || false).await, Ok(()));
        assert_eq!(binding.admit(of(None), || false).await, Ok(()));
        assert_eq!(binding.cluster_id(), None);
        let named = watch::Sender::new(None);
        let following = tokio::spawn(binding.clone().follow(named.subscribe()));
        named.send_replace(Some(A));
        binding.cluster_ids().wait_for(|id| *id == Some(A)).await.unwrap();
        assert_eq!(binding.admit(of(Some(B)), || false).await, Err(stranger()));
        drop(named);
        following.await.unwrap();
        assert_eq!(open(&dir, None).cluster_id(), Some(A));
        // Restored as another cluster.
        assert_eq!(open(&dir, Some(B)).cluster_id(), Some(B));
        assert_eq!(open(&dir, None).cluster_id(), Some(B));
    }
}
