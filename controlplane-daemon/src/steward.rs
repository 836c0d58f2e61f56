//! The leader's chores: the roster of pods, the rotation of signing keys, the retention of the audit. Whoever leads looks around every second, decides
//! by what it finds ([`crate::fleet::roster`], [`crate::rotation`], [`crate::audit`]) and proposes; whoever does not lead forgets what it saw.

use std::sync::Arc;
use std::time::{Duration, Instant};

use controlplane_core::audit::Chain;
use controlplane_core::model::KeyOwner;
use controlplane_core::{Actor, Command, Mutation, Origin, State};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;
use vocab::{Clock, Keyring, Revision};

use crate::audit;
use crate::control_plane::{Consistency, ControlPlane, ProposeError, StorageError};
use crate::fleet::Census;
use crate::fleet::roster::{Keep, Roster};
use crate::jws::SignError;
use crate::rotation::{self, Evidence, Rotation, Step};

const PAUSE: Duration = Duration::from_secs(1);
const BARRIER: Duration = Duration::from_secs(5);
/// Keys that are made at the same time: each costs the leader some work.
const STEPS_AT_ONCE: usize = 16;

/// Runs until `stop`.
pub async fn run(control: ControlPlane, clock: Arc<dyn Clock>, keeper: Keeper, stop: CancellationToken) {
    let mut leading = control.leadership();
    let work = async {
        loop {
            if leading.wait_for(|leads| *leads).await.is_err() {
                return;
            }
            let mut office = Office::default();
            // What was seen in an earlier term of office counts for nothing: others may have led in between.
            while *leading.borrow_and_update() {
                office.look_around(&control, &*clock).await;
                keeper.retain(&control, &*clock).await;
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    _ = leading.changed() => {}
                }
            }
            // Who does not lead waits for nobody: what it told last would stand for ever.
            Rotation::default().record_metrics();
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// What a leader has seen since it leads.
#[derive(Default)]
struct Office {
    roster: Roster,
    rotation: Rotation,
}

impl Office {
    async fn look_around(&mut self, control: &ControlPlane, clock: &dyn Clock) {
        // Whoever was deposed without knowing learns it here, and decides nothing by what is old.
        if control.barrier(Consistency::Linearizable, BARRIER).await.is_err() {
            return;
        }
        let census = control.census(Revision::ZERO, Duration::ZERO).await;
        // After the census: a pod on the roster that is missing there was connected before, not after.
        let state = control.read(State::clone);
        self.mind_roster(control, &state, &census).await;
        self.rotate(control, &state, &census, clock).await;
    }

    async fn mind_roster(&mut self, control: &ControlPlane, state: &State, census: &Census) {
        let stopped = Duration::from_secs(state.settings().spec.gone_pods_kept_secs.into());
        let keep = Keep { stopped, gone: stopped.max(rotation::longest_cut_off(state)) };
        if let Some(mutation) = self.roster.due(state, census, keep, Instant::now()) {
            let command = Command { origin: origin("fleet-roster"), ..Command::new(Actor::System, mutation) };
            if let Err(error) = control.propose(command).await {
                tracing::warn!(%error, "the roster of pods could not be written");
            }
        }
    }

    async fn rotate(&mut self, control: &ControlPlane, state: &State, census: &Census, clock: &dyn Clock) {
        let evidence = Evidence::of(census, state);
        let steps = self.rotation.due(state, &evidence, Instant::now(), clock.now());
        self.rotation.record_metrics();
        futures::stream::iter(steps).for_each_concurrent(STEPS_AT_ONCE, |step| take(control, step)).await;
    }
}

async fn take(control: &ControlPlane, step: Step) {
    let Step { name, tenant, mutation, expected } = step;
    let owner = tenant.map_or_else(|| "global".to_owned(), |slug| slug.to_string());
    let command = Command {
        expected_revision: Some(expected),
        origin: origin("key-rotation"),
        ..Command::new(Actor::System, mutation)
    };
    let outcome = control.propose(command).await;
    let result = outcome.as_ref().map_or_else(|error| error.code().as_str(), |_| "ok");
    metrics::counter!("hj_cp_key_rotation_steps_total", "step" => name, "result" => result).increment(1);
    match outcome {
        Ok(applied) => tracing::info!(owner, step = name, revision = %applied.revision, "key rotation"),
        // Somebody rotated by hand meanwhile: the next look sees it.
        Err(ProposeError::Rejected(why)) => tracing::info!(owner, step = name, %why, "key rotation: not now"),
        Err(error) => tracing::warn!(owner, step = name, %error, "key rotation has to wait"),
    }
}

/// Why audit records are still there.
#[derive(Debug, thiserror::Error)]
pub enum NotRemoved {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Signing(#[from] SignError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

/// Keeps as much of the audit as is asked for.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// To sign with.
    pub keyring: Keyring,
    /// What these have not got yet is kept.
    pub sinks: Vec<&'static str>,
}

impl Keeper {
    async fn retain(&self, control: &ControlPlane, clock: &dyn Clock) {
        let state = control.read(State::clone);
        let cut = match self.due(control, &state, clock).await {
            Ok(Some(cut)) => cut,
            Ok(None) => return,
            Err(error) => return tracing::error!(%error, "audit records cannot be read"),
        };
        match self.remove(control, &state, cut).await {
            Ok(()) => {}
            Err(NotRemoved::Signing(error)) => tracing::error!(%error, "the removal of audit records cannot be signed"),
            Err(error) => tracing::warn!(%error, "audit records could not be removed"),
        }
    }

    /// Records that nobody can have any more, since this node's cluster was made anew with this node alone: what is missing
    /// is final, and signed for like any other removal.
    pub async fn close_gap(&self, control: &ControlPlane) -> Result<(), NotRemoved> {
        let state = control.read(State::clone);
        match gap(control, state.audit().clone()).await? {
            Some(cut) => self.remove(control, &state, cut).await,
            None => Ok(()),
        }
    }

    /// Without a key nothing is signed, and nothing removed: the cluster makes one before long.
    async fn remove(&self, control: &ControlPlane, state: &State, cut: audit::Cut) -> Result<(), NotRemoved> {
        let Some(key) = state.active_keys(KeyOwner::Global).next() else { return Ok(()) };
        let truncation = audit::sign(key, &self.keyring, cut.through_seq, cut.last_hash, cut.removed)?;
        let mutation = Mutation::AuditTruncate { truncation, removed_bytes: cut.removed_bytes };
        let command = Command { origin: origin("audit-retention"), ..Command::new(Actor::System, mutation) };
        control.propose(command).await?;
        metrics::counter!("hj_cp_audit_removed_total").increment(cut.removed);
        tracing::info!(through = cut.through_seq, removed = cut.removed, "audit records were removed");
        Ok(())
    }

    async fn due(
        &self,
        control: &ControlPlane,
        state: &State,
        clock: &dyn Clock,
    ) -> Result<Option<audit::Cut>, StorageError> {
        let chain = state.audit().clone();
        // Who is alone gets no records from anybody.
        if control.status().members.len() == 1
            && let Some(cut) = gap(control, chain.clone()).await?
        {
            return Ok(Some(cut));
        }
        let policy = state.settings().spec.audit;
        let is_bounded = policy.max_age_secs.is_some() || policy.max_bytes.is_some();
        let cut = if is_bounded {
            let of = |sink: &&str| chain.cursors.get(*sink).copied().unwrap_or(0);
            let delivered = self.sinks.iter().map(of).min().unwrap_or(u64::MAX);
            let (store, chain, now) = (control.records().clone(), chain.clone(), clock.now());
            let looked = tokio::task::spawn_blocking(move || audit::due(&store, &chain, policy, delivered, now)).await;
            looked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?
        } else {
            None
        };
        Ok(cut.or_else(|| renewal(state, &chain)))
    }
}

async fn gap(control: &ControlPlane, chain: Chain) -> Result<Option<audit::Cut>, StorageError> {
    if control.records().extent().missing().is_none() {
        return Ok(None);
    }
    let store = control.records().clone();
    let looked = tokio::task::spawn_blocking(move || audit::gap(&store, &chain)).await;
    looked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Removes nothing: signs again for what was removed, before the key that signed is forgotten.
fn renewal(state: &State, chain: &Chain) -> Option<audit::Cut> {
    let truncation = chain.truncation.as_ref()?;
    let is_good = audit::signer(truncation)
        .is_ok_and(|kid| state.published_keys(KeyOwner::Global).any(|published| published.kid == kid));
    let (through_seq, last_hash) = (truncation.through_seq, truncation.last_hash);
    (!is_good).then_some(audit::Cut { through_seq, last_hash, removed: 0, removed_bytes: 0 })
}

/// Which of the chores it was, for the audit.
fn origin(chore: &str) -> Origin {
    Origin { credential: Some(chore.to_owned()), ..Origin::default() }
}
