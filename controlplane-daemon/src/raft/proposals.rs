//! What only the leader does: it stamps a command, so that applying it is deterministic, and proposes the entry.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use controlplane_core::level::FIRST_LEVEL;
use controlplane_core::model::KeyFamily;
use controlplane_core::{Applied, Command, FreshKey, Mutation, Rejection, Stamp};
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver as _;
use telemetry::held::Held;
use tokio::sync::Semaphore;
use uuid::Uuid;
use vocab::{Clock, ClusterId, Keyring, NodeId, Timestamp};

use super::gathering::Gathering;
use super::log_storage::MESSAGE_BYTES;
use super::replica::Replica;
use super::types::{Answer, Payload, Raft};
use crate::keys;
use crate::signature::layer::MAX_BODY_BYTES;

/// Bytes of one entry. What a follower cannot be sent must not get into the log: the leader would try for ever, and nothing
/// behind it would ever be committed.
pub(super) const MAX_ENTRY_BYTES: usize = 16 << 20;
/// A message has one entry at least, and little besides that is not of the entries.
const _: () = assert!(MAX_ENTRY_BYTES + MESSAGE_BYTES <= MAX_BODY_BYTES, "an append carries any entry");
/// A commit takes milliseconds; without a majority it never comes.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// A leader that cannot reach a majority within this is none.
const READ_INDEX_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Proposals {
    inner: Arc<Inner>,
}

struct Inner {
    raft: Raft,
    gathering: Gathering,
    replica: Arc<Replica>,
    keyring: Keyring,
    clock: Arc<dyn Clock>,
    slow_keys: Semaphore,
}

impl fmt::Debug for Proposals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposals").finish_non_exhaustive()
    }
}

/// A committed and applied proposal.
#[derive(Debug)]
pub struct Done {
    pub outcome: Result<Applied, Rejection>,
    /// Where it stands in the log. Not always the revision of the answer: a replay answers with the first one's.
    pub log_index: u64,
}

/// Why a proposal came to nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotHere {
    /// Nothing was proposed.
    NotLeader,
    /// It was proposed, and may or may not be committed.
    Unknown,
    /// Nothing was proposed.
    KeyGeneration,
    /// Nothing was proposed: a voter would stop at it.
    TooNew,
    /// Nothing was proposed: the followers could not be sent it.
    TooLarge,
}

impl Proposals {
    /// Called on the thread of Raft.
    pub fn new(raft: Raft, replica: Arc<Replica>, keyring: Keyring, clock: Arc<dyn Clock>) -> Self {
        let gathering = Gathering::start(raft.clone());
        Self { inner: Arc::new(Inner { raft, gathering, replica, keyring, clock, slow_keys: Semaphore::new(1) }) }
    }

    /// Proposes at this node; it must lead.
    pub async fn propose(&self, command: &Command) -> Result<Done, NotHere> {
        if !self.inner.raft.is_leader() {
            return Err(NotHere::NotLeader);
        }
        if !self.is_understood(&command.mutation) {
            return Err(NotHere::TooNew);
        }
        let stamp = self.stamp(command).await?;
        let payload = payload(command, &stamp).ok_or(NotHere::TooLarge)?;
        let (answer, log_index) = self.write(payload).await?;
        match answer {
            Answer::Outcome(outcome) => Ok(Done { outcome: *outcome, log_index }),
            Answer::Nothing => Err(NotHere::Unknown),
        }
    }

    /// Whether no voter would stop at it.
    pub fn is_understood(&self, mutation: &Mutation) -> bool {
        let needed = mutation.needed_level();
        needed <= FIRST_LEVEL || needed <= self.agreed_level()
    }

    /// What every voter understands.
    pub fn agreed_level(&self) -> u16 {
        let metrics = self.inner.raft.metrics();
        let voters: Vec<_> = metrics.borrow_watched().membership_config.voter_ids().map(NodeId).collect();
        self.inner.replica.read(|state| state.agreed_level(voters))
    }

    /// Puts the cluster's id into the log, once.
    pub async fn name_cluster(&self, id: ClusterId) -> Result<(), NotHere> {
        self.write(Payload::cluster_id(id)).await.map(|_| ())
    }

    /// The position a linearizable read must have applied; `None` when this node does not lead.
    pub async fn read_index(&self) -> Option<u64> {
        let linearizer = self.inner.raft.get_read_linearizer(ReadPolicy::ReadIndex);
        let linearizer = tokio::time::timeout(READ_INDEX_TIMEOUT, linearizer).await.ok()?.ok()?;
        Some(linearizer.read_log_id().index())
    }

    async fn write(&self, payload: Payload) -> Result<(Answer, u64), NotHere> {
        match tokio::time::timeout(COMMIT_TIMEOUT, self.inner.gathering.propose(payload)).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) => Err(NotHere::Unknown),
        }
    }

    async fn stamp(&self, command: &Command) -> Result<Stamp, NotHere> {
        let families = self.inner.replica.read(|state| command.mutation.fresh_keys(state));
        let mut keys = Vec::with_capacity(families.len());
        for family in families {
            keys.push(self.fresh_key(family).await?);
        }
        let at = self.inner.clock.now();
        Ok(Stamp::new(at, fresh_id(at), keys))
    }

    async fn fresh_key(&self, family: KeyFamily) -> Result<FreshKey, NotHere> {
        let key = match family {
            // An RSA key takes a tenth of a second: not on a thread that others wait for, and one at a time, so that many
            // who ask at once leave the other processors to the log. Only those who ask for one wait.
            KeyFamily::Rsa | KeyFamily::RsaEncryption => {
                let keyring = self.inner.keyring.clone();
                let _held = Held::of(&metrics::gauge!("hj_cp_key_generations_in_flight"));
                let turn = self.inner.slow_keys.acquire().await.map_err(|_| NotHere::KeyGeneration)?;
                let generated = tokio::task::spawn_blocking(move || keys::generate(family, &keyring)).await;
                drop(turn);
                generated.map_err(|_| NotHere::KeyGeneration)?
            }
            KeyFamily::P256 | KeyFamily::Ed25519 | KeyFamily::P384 | KeyFamily::P256Encryption => {
                keys::generate(family, &self.inner.keyring)
            }
        };
        key.map_err(|_| NotHere::KeyGeneration)
    }
}

/// The entry, unless it would be too large.
pub fn payload(command: &Command, stamp: &Stamp) -> Option<Payload> {
    Some(Payload::entry(command, stamp)).filter(|payload| payload.0.len() <= MAX_ENTRY_BYTES)
}

/// A UUIDv7 (RFC 9562 §5.7).
fn fresh_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}
