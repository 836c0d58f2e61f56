//! The secrets of the configuration and this node's master keys: whether it can open them all, and how they come under the
//! first of the keys.

use std::collections::BTreeMap;
use std::time::Duration;

use controlplane_core::mutation::Reseal;
use controlplane_core::{Command, Mutation, State};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::{Keyring, NodeId, Revision};

use crate::control_plane::{Consistency, ControlPlane, ProposeError, StartError};

/// Envelopes of one entry: a few hundred kilobytes of log.
const BATCH: usize = 256;
/// How much one request moves before it answers how far it came.
const BUDGET: Duration = Duration::from_secs(20);
/// How often a batch is tried that may or may not have been committed; it does nothing the second time.
const TRIES: usize = 3;
/// One attempt to learn what is committed; and the pause between looks at the keys that are needed.
const PAUSE: Duration = Duration::from_secs(1);

/// How far a reseal came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The key that all is sealed with in the end.
    pub to: String,
    /// What was sealed with other keys when the request came.
    pub total: usize,
    pub moved: usize,
    /// What still is, by key id.
    pub left: BTreeMap<String, usize>,
    /// Of the last entry that moved something.
    pub revision: Revision,
}

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// Members that could not open what is sealed anew, or would go on sealing with another key.
    #[error("{}", problems.join("; "))]
    NotEverywhere { problems: Vec<String> },
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

/// Nodes that hold other keys are a reason not to begin; nodes that do not answer are one, too, unless that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    Refuse,
    Accept,
}

/// Seals everything with the first key of `keyring`, batch by batch, until all is done or time is up. Asked again it goes
/// on where it stopped: what there is to do is read off the configuration.
pub async fn reseal(
    control: &ControlPlane,
    keyring: &Keyring,
    command: &Command,
    absent: Absent,
) -> Result<Progress, ResealError> {
    let to = keyring.first_id().to_owned();
    check_members(&control.master_keys().await, &to, absent)?;
    let mut progress = Progress {
        total: control.read(|state| left(state, &to)).values().sum(),
        moved: 0,
        left: BTreeMap::new(),
        revision: control.applied_revision(),
        to,
    };
    let deadline = Instant::now() + BUDGET;
    // What cannot be opened here stays behind, and must not be met again and again.
    let mut passed_over = 0;
    while Instant::now() < deadline {
        // A copy shares everything with the original, and writes need not wait for the scan.
        let state = control.read(State::clone);
        let (moves, stuck) = next_batch(&state, keyring, passed_over);
        passed_over += stuck;
        if moves.is_empty() {
            break;
        }
        let applied =
            propose(control, Command { mutation: Box::new(Mutation::KeyReseal { moves }), ..command.clone() }).await?;
        progress.moved += applied.changes.len();
        progress.revision = applied.revision;
    }
    progress.left = control.read(|state| left(state, &progress.to));
    tracing::info!(to = progress.to, moved = progress.moved, left = ?progress.left, "secrets were sealed anew");
    Ok(progress)
}

async fn propose(control: &ControlPlane, command: Command) -> Result<controlplane_core::Applied, ProposeError> {
    let mut tries = 1;
    loop {
        match control.propose(command.clone()).await {
            Err(ProposeError::OutcomeUnknown) if tries < TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

/// What is sealed with other keys than `to`.
fn left(state: &State, to: &str) -> BTreeMap<String, usize> {
    state.sealed_with().iter().filter(|(id, _)| *id != to).map(|(id, count)| (id.clone(), *count)).collect()
}

/// The next envelopes, sealed anew, and how many more than `passed_over` cannot be opened.
fn next_batch(state: &State, keyring: &Keyring, passed_over: usize) -> (Vec<Reseal>, usize) {
    let (mut moves, mut stuck) = (Vec::new(), 0);
    for (place, from) in state.seals().filter(|(_, from)| from.key_id() != keyring.first_id()).skip(passed_over) {
        match keyring.open(from) {
            Ok(secret) => {
                let to = keyring.seal(secret.expose(), rand::random());
                moves.push(Reseal { place, from: from.clone(), to });
            }
            Err(why) => {
                tracing::error!(?place, %why, "a secret cannot be opened and keeps its seal");
                stuck += 1;
            }
        }
        if moves.len() >= BATCH {
            break;
        }
    }
    (moves, stuck)
}

fn check_members(held: &BTreeMap<NodeId, Option<Vec<String>>>, to: &str, absent: Absent) -> Result<(), ResealError> {
    let problem = |(node, keys): (&NodeId, &Option<Vec<String>>)| match keys.as_deref() {
        None if absent == Absent::Accept => None,
        None => Some(format!("node {node} does not answer which master keys it holds")),
        Some([first, ..]) if first == to => None,
        Some(keys) if keys.iter().any(|key| key == to) => {
            Some(format!("node {node} seals with another master key first, {}", keys.join(", ")))
        }
        Some(keys) => Some(format!("node {node} does not hold master key {to}, only {}", keys.join(", "))),
    };
    let problems: Vec<String> = held.iter().filter_map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(ResealError::NotEverywhere { problems }) }
}

/// Looks after the keys that this node needs until `stop`. An error: it has caught up with the cluster for the first
/// time and cannot open what is there, so it must not serve. Later lacks are told in the log and by readiness: a node
/// that works is not taken down by what somebody sealed with a key of their own.
pub async fn mind(control: ControlPlane, stop: CancellationToken) -> Result<(), StartError> {
    let caught_up = async {
        while control.barrier(Consistency::Linearizable, PAUSE).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = caught_up => {}
        () = stop.cancelled() => return Ok(()),
    }
    let missing = control.missing_master_keys();
    if !missing.is_empty() {
        return Err(StartError::MissingMasterKeys { key_ids: missing });
    }
    let mut told = Vec::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let missing = control.missing_master_keys();
        if missing != told && !missing.is_empty() {
            tracing::error!(keys = missing.join(", "), "SECRETBOX_MASTER_KEY lacks keys that secrets are sealed with");
        }
        told = missing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_must_seal_with_the_key_and_says_so() {
        let held = |keys: &[&str]| Some(keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>());
        let members =
            |second: Option<Vec<String>>| BTreeMap::from([(NodeId(1), held(&["new", "old"])), (NodeId(2), second)]);
        check_members(&members(held(&["new"])), "new", Absent::Refuse).unwrap();
        check_members(&members(None), "new", Absent::Accept).unwrap();
        for (second, told) in [
            (held(&["old", "new"]), "node 2 seals with another master key first, old, new"),
            (held(&["old"]), "node 2 does not hold master key new, only old"),
            (None, "node 2 does not answer"),
        ] {
            let refused = check_members(&members(second), "new", Absent::Refuse).unwrap_err();
            assert!(refused.to_string().starts_with(told), "{refused}");
        }
    }
}
