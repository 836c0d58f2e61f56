//! Partial updates: RFC 7396 on the resource as it is shown, written as a full replacement of the revision it was based on.

use std::time::Duration;

use controlplane_core::{Mutation, State};
use serde::Serialize;
use serde_json::Value;
use vocab::{ErrorCode, Revision};

use super::auth::Principal;
use super::json::merge;
use super::problem::Problem;
use super::query::Write;
use super::{Api, Done};
use crate::control_plane::Consistency;

/// How often a patch is tried again when the resource changed between reading and writing.
const TRIES: usize = 8;
/// A precondition may name a revision that this node is about to apply.
const CATCH_UP: Duration = Duration::from_secs(2);

/// The full replacement that a patch comes to.
pub(super) struct Plan {
    pub(super) mutation: Mutation,
    /// The revision of the resource that it was made of. `None`: any will do.
    pub(super) based_on: Option<Revision>,
    /// The replacement is what there is already.
    pub(super) in_force: bool,
}

/// The shown document with the patch merged in.
pub(super) fn patched(view: &impl Serialize, patch: &Value) -> Result<Value, Problem> {
    let mut document = serde_json::to_value(view).map_err(Problem::internal)?;
    merge(&mut document, patch.clone());
    Ok(document)
}

/// `None`: the same request came before, and what it asked for is in force.
pub(super) async fn apply(
    api: &Api,
    who: &Principal,
    write: &Write,
    plan: impl Fn(&State) -> Result<Plan, Problem>,
) -> Result<Option<Done>, Problem> {
    if write.expected_revision.is_some_and(|expected| expected > api.control.applied_revision()) {
        // A node that has not applied it yet would judge by an older revision, and be refused for that. Followers hear
        // late of what is committed: the leader is asked.
        let _ = api.control.barrier(Consistency::Linearizable, CATCH_UP).await;
    }
    for _ in 0..TRIES {
        let Plan { mutation, based_on, in_force } = api.control.read(&plan)?;
        let based = Write { based_on, ..write.clone() };
        match api.change(who, &based, mutation, None).await {
            Err(problem) if problem.code() == ErrorCode::PreconditionFailed && write.expected_revision.is_none() => {}
            // Others changed the resource since, so that the same patch comes to another replacement than the first time;
            // what it asks for is there: it need not be applied to be answered.
            Err(problem) if problem.code() == ErrorCode::IdempotencyMismatch && in_force => return Ok(None),
            outcome => return outcome.map(Some),
        }
    }
    Err(Problem::new(ErrorCode::Conflict, "the resource keeps changing; try again"))
}
