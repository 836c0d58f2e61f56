//! Proposals that come while others are on their way to the disks go there together.
//!
//! ```text
//!   propose ─▶ queue ─▶ at most ON_THE_WAY batches: openraft ─▶ log, followers, state ─▶ answers
//! ```
//!
//! A batch costs about as much as one proposal: an append to the log, a signed message to each follower and one back, the
//! threads that these wake. Who proposes alone waits for nobody; of many, each waits for less than they cost each other.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use openraft::errors::ClientWriteError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::proposals::NotHere;
use super::types::{Answer, Payload, Raft};

/// One is on the disks while the next one goes out and a third gathers.
const ON_THE_WAY: usize = 2;
/// A batch that takes longer holds nobody back any more: where there is no majority, everybody is to wait for it alone.
const PATIENCE: Duration = Duration::from_millis(50);
/// Proposals that may wait; then their senders do.
const QUEUE: usize = 4096;
const BATCH: usize = 1024;

type Outcome = Result<(Answer, u64), NotHere>;

/// A handle to the queue; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Gathering {
    queue: mpsc::Sender<Proposal>,
}

#[derive(Debug)]
struct Proposal {
    payload: Payload,
    asker: oneshot::Sender<Outcome>,
}

impl Gathering {
    /// Its task runs here, on the thread of Raft, until the last handle is gone.
    pub(super) fn start(raft: Raft) -> Self {
        let (queue, proposals) = mpsc::channel(QUEUE);
        tokio::spawn(gather(raft, proposals));
        Self { queue }
    }

    /// What came of it; `None` when Raft is gone.
    pub(super) async fn propose(&self, payload: Payload) -> Option<Outcome> {
        let (asker, answer) = oneshot::channel();
        self.queue.send(Proposal { payload, asker }).await.ok()?;
        answer.await.ok()
    }
}

async fn gather(raft: Raft, mut proposals: mpsc::Receiver<Proposal>) {
    let room = Arc::new(Semaphore::new(ON_THE_WAY));
    while let Ok(turn) = Arc::clone(&room).acquire_owned().await {
        let mut batch = Vec::new();
        if proposals.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        tokio::spawn(carry_out(raft.clone(), batch, turn));
    }
}

/// Whoever is left without an answer does not learn the outcome.
async fn carry_out(raft: Raft, batch: Vec<Proposal>, turn: OwnedSemaphorePermit) {
    let (payloads, askers): (Vec<_>, Vec<_>) = batch.into_iter().map(|it| (it.payload, it.asker)).unzip();
    let Ok(mut outcomes) = raft.client_write_many(payloads).await else { return };
    let mut turn = Some(turn);
    for asker in askers {
        let next = match turn.take() {
            Some(turn) => {
                if let Ok(next) = tokio::time::timeout(PATIENCE, outcomes.next()).await {
                    next
                } else {
                    drop(turn);
                    outcomes.next().await
                }
            }
            None => outcomes.next().await,
        };
        let Some(Ok(outcome)) = next else { return };
        let outcome = match outcome {
            Ok(written) => Ok((written.response, written.log_id.index)),
            Err(ClientWriteError::ForwardToLeader(_)) => Err(NotHere::NotLeader),
            Err(_) => Err(NotHere::Unknown),
        };
        // It may not have waited.
        let _ = asker.send(outcome);
    }
}
