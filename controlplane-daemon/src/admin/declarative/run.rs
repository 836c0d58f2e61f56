//! Carries a plan out: rehearsed on a copy of the state first, so that what would be refused never enters the log; then
//! proposed as one batch. A change of a touched resource in between makes it plan again.

use std::sync::Arc;
use std::time::Duration;

use controlplane_core::model::KeyFamily;
use controlplane_core::{Actor, Command, Entry, Mutation, Origin, Rejection, Stamp, State};
use vocab::{Clock, ErrorCode, Keyring, RequestId, Revision};

use super::outline::{Fault, Plan, Request, Source};
use super::plan::Planner;
use crate::admin::problem::Problem;
use crate::control_plane::{BarrierError, Consistency, ControlPlane, ProposeError};
use crate::{id, keys};

/// For how long it is planned again when something was changed meanwhile. Each time that somebody is overtaken somebody
/// else was not, so it takes as long as all who write at once take one after another.
const PATIENCE: Duration = Duration::from_secs(15);
/// Those who overtake one another wait for a random while. It does not grow: who has lost often would lose more often.
const LONGEST_PAUSE_MS: u64 = 20;
const FRESHNESS_TIMEOUT: Duration = Duration::from_secs(5);

/// Who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    pub actor: Actor,
    pub origin: Origin,
    pub request_id: Option<RequestId>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub plan: Plan,
    /// Of the batch; without one, what the plan was made against.
    pub revision: Revision,
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("the documents cannot be applied: {} problems", .0.len())]
    Faults(Vec<Fault>),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Stale(#[from] BarrierError),
    #[error("what the documents state keeps changing; try again")]
    KeepsChanging,
}

/// Applies documents to the configuration.
#[derive(Clone, Debug)]
pub struct Applier {
    pub control: ControlPlane,
    pub keyring: Keyring,
    pub clock: Arc<dyn Clock>,
}

impl Applier {
    /// What would be done, rehearsed.
    pub async fn plan(&self, request: &Request<'_>) -> Result<Outcome, ApplyError> {
        let revision = self.control.barrier(Consistency::Linearizable, FRESHNESS_TIMEOUT).await?;
        let plan = self.rehearsed(request)?;
        Ok(Outcome { plan, revision })
    }

    /// Nothing is proposed when nothing differs.
    pub async fn apply(&self, request: &Request<'_>, asker: &Asker) -> Result<Outcome, ApplyError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            // Each time: a follower that plans on what it has applied is overtaken by what it has yet to apply.
            let fresh = self.control.barrier(Consistency::Linearizable, FRESHNESS_TIMEOUT).await?;
            let plan = self.rehearsed(request)?;
            if plan.is_empty() {
                return Ok(Outcome { plan, revision: fresh });
            }
            let own_id = || id::fresh(&*self.clock).to_string().parse().ok();
            let command = Command {
                // With one, a leader that dies in the middle does not leave the outcome open.
                request_id: asker.request_id.clone().or_else(own_id),
                origin: asker.origin.clone(),
                ..Command::new(asker.actor.clone(), batch(&plan, request.set))
            };
            match self.control.propose(command).await {
                Ok(applied) => return Ok(Outcome { plan, revision: applied.revision }),
                Err(ProposeError::Rejected(Rejection::Overtaken { .. })) => {
                    if tokio::time::Instant::now() >= deadline {
                        return Err(ApplyError::KeepsChanging);
                    }
                    tokio::time::sleep(Duration::from_millis(rand::random_range(0..=LONGEST_PAUSE_MS))).await;
                }
                Err(ProposeError::Rejected(rejection @ Rejection::Items { .. })) => {
                    return Err(ApplyError::Faults(faults_of(rejection, &plan)));
                }
                Err(other) => return Err(other.into()),
            }
        }
    }

    fn rehearsed(&self, request: &Request<'_>) -> Result<Plan, ApplyError> {
        // Cheap: what the copy does not change it shares.
        let mut state = self.control.read(State::clone);
        let planner = Planner { state: &state, keyring: &self.keyring, clock: &*self.clock, request };
        let plan = planner.plan().map_err(ApplyError::Faults)?;
        if plan.is_empty() {
            return Ok(plan);
        }
        let mutation = batch(&plan, request.set);
        let stand_in = |(number, family): (usize, KeyFamily)| keys::stand_in(family, number, &self.keyring);
        let keys = mutation.fresh_keys(&state).into_iter().enumerate().map(stand_in).collect();
        let stamp = Stamp::new(self.clock.now(), id::fresh(&*self.clock), keys);
        let revision = Revision(self.control.applied_revision().0 + 1);
        let command = Command::new(Actor::System, mutation);
        let judged = self.control.judge(&command, &stamp);
        match controlplane_core::apply(&mut state, revision, Entry::new(command, stamp)) {
            Ok(_) => Ok(judged.map(|()| plan)?),
            Err(rejection) => Err(ApplyError::Faults(faults_of(rejection, &plan))),
        }
    }
}

fn batch(plan: &Plan, set: &str) -> Mutation {
    Mutation::Batch {
        items: plan.items.iter().map(|(mutation, _)| mutation.clone()).collect(),
        planned_on: plan.planned_on.clone(),
        managed_by: Some(set.to_owned()),
    }
}

fn faults_of(rejection: Rejection, plan: &Plan) -> Vec<Fault> {
    let Rejection::Items { items } = rejection else {
        let code = rejection.code();
        return vec![Fault { code, ..Fault::invalid(Source::nowhere(), rejection.to_string()) }];
    };
    let mut faults = Vec::new();
    for item in items {
        let source = plan.items.get(item.index).map_or_else(Source::nowhere, |(_, source)| source.clone());
        Fault::all_of(Problem::from(item.rejection), &source, &mut faults);
    }
    faults
}

impl ApplyError {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Faults(faults) => faults.first().map_or(ErrorCode::ValidationFailed, |fault| fault.code),
            Self::Propose(error) => error.code(),
            Self::Stale(error) => error.code(),
            Self::KeepsChanging => ErrorCode::Conflict,
        }
    }
}
