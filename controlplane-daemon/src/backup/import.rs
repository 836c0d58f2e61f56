//! Carrying out an import: everything is tried on a copy of the state before the first entry is proposed.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::time::Duration;

use controlplane_core::entry::Stamp;
use controlplane_core::{Actor, Command, Entry, Mutation, Origin, Rejection, State, apply};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use vocab::{AdminId, ErrorCode, Keyring, Revision, Timestamp};

use super::read::{self, ReadError, Survey};
use super::steps::{Basis, Mode, Step, Tally, steps};
use crate::control_plane::{BarrierError, Consistency, ControlPlane, ProposeError, SnapshotFile};

/// How long one entry may find no leader, or nobody knowing what became of it.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(200);
const FRESHNESS_TIMEOUT: Duration = Duration::from_secs(5);
/// Steps that are made while one is being committed.
const AHEAD: usize = 4;

/// An import that was asked for.
#[derive(Debug)]
pub struct Import {
    pub control: ControlPlane,
    pub keyring: Keyring,
    pub importer: Actor,
    pub origin: Origin,
    pub mode: Mode,
    pub now: Timestamp,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub tally: Tally,
    /// Of the last change.
    pub revision: Revision,
}

/// Why nothing was done; for [`ImportError::Stopped`], not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Stale(#[from] BarrierError),
    #[error(
        "its secrets are sealed with master keys that this node does not have: {}; \
         add them to SECRETBOX_MASTER_KEY of every node and import again",
        list(.0)
    )]
    MissingKeys(BTreeSet<String>),
    #[error(
        "{} resources are there already and different: {}; mode=merge puts the file's in their place, mode=replace \
         removes all else, too",
        .0.len(),
        first(.0)
    )]
    Conflicts(Vec<String>),
    #[error("up to line {line}: {why}")]
    Refused { line: usize, why: ProposeError },
    #[error("{done} of {of} changes were made before this one came to nothing: {why}; import again to go on")]
    Stopped { done: usize, of: usize, why: ProposeError },
    #[error("the import broke down")]
    Broken,
}

fn list(ids: &BTreeSet<String>) -> String {
    ids.iter().cloned().collect::<Vec<_>>().join(", ")
}

fn first(all: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

impl ImportError {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Read(_) => ErrorCode::InvalidRequest,
            Self::Stale(why) => why.code(),
            // Overtaken: no failed precondition, the importer stated none.
            Self::MissingKeys(_)
            | Self::Conflicts(_)
            | Self::Refused { why: ProposeError::Rejected(Rejection::Overtaken { .. }), .. }
            | Self::Stopped { why: ProposeError::Rejected(Rejection::Overtaken { .. }), .. } => ErrorCode::Conflict,
            Self::Refused { why, .. } | Self::Stopped { why, .. } => why.code(),
            Self::Broken => ErrorCode::Internal,
        }
    }
}

/// What an import will come to.
#[derive(Debug)]
pub struct Plan {
    survey: Survey,
    /// Against which it was made. What the file was found to say already is not put: who changes it meanwhile is not undone.
    state: State,
    revision: Revision,
    steps: usize,
    pub tally: Tally,
}

impl Import {
    /// Reads all of the file and tries all of it. Nothing is changed.
    pub async fn plan(&self, file: &SnapshotFile) -> Result<Plan, ImportError> {
        let file = file.clone();
        // A follower may still have what was removed elsewhere, and would leave it out.
        self.control.barrier(Consistency::Linearizable, FRESHNESS_TIMEOUT).await?;
        let (revision, state) = self.control.state();
        let known: BTreeSet<String> = self.keyring.keys().map(|key| key.id().to_owned()).collect();
        let (mode, importer, now) = (self.mode, self.importer.clone(), self.now);
        let control = self.control.clone();
        let planned = tokio::task::spawn_blocking(move || {
            let survey = read::survey(BufReader::new(file.raw()))?;
            let missing: BTreeSet<String> = survey.key_ids.difference(&known).cloned().collect();
            if !missing.is_empty() {
                return Err(ImportError::MissingKeys(missing));
            }
            let basis = Basis { state: &state, survey: &survey, mode, importer: credential(&importer) };
            let mut trial = Trial { control, state: state.clone(), revision, now, importer, refused: None, steps: 0 };
            let (tally, conflicts) = steps(BufReader::new(file.raw()), &basis, |step| {
                trial.take(step);
                Ok(())
            })?;
            if !conflicts.is_empty() {
                return Err(ImportError::Conflicts(conflicts));
            }
            match trial.refused {
                Some((line, why)) => Err(ImportError::Refused { line, why }),
                None => Ok(Plan { steps: trial.steps, survey, tally, state, revision }),
            }
        });
        planned.await.map_err(|_| ImportError::Broken)?
    }

    /// Makes the changes, one entry after the other.
    pub async fn carry_out(&self, plan: Plan, file: SnapshotFile) -> Result<Report, ImportError> {
        let Plan { survey, state, mut revision, steps: of, tally } = plan;
        let (mode, importer) = (self.mode, credential(&self.importer));
        let (made, mut next) = mpsc::channel(AHEAD);
        let maker = tokio::task::spawn_blocking(move || {
            let basis = Basis { state: &state, survey: &survey, mode, importer };
            // Nobody takes it any more: the import has ended, and says why itself.
            let gone = |_| ReadError::Io(std::io::ErrorKind::BrokenPipe.into());
            steps(BufReader::new(file.raw()), &basis, |step| made.blocking_send(step).map_err(gone)).map(|_| ())
        });
        let mut done = 0;
        while let Some(Step { line, mutation }) = next.recv().await {
            revision = match self.make(mutation).await {
                Ok(at) => at.unwrap_or(revision),
                Err(why @ ProposeError::Rejected(_)) if done == 0 => return Err(ImportError::Refused { line, why }),
                Err(why) => return Err(ImportError::Stopped { done, of, why }),
            };
            done += 1;
        }
        maker.await.map_err(|_| ImportError::Broken)??;
        Ok(Report { tally, revision })
    }

    /// What is to be new is refused once it is there, whoever made it: a second attempt is known by the request id. The
    /// others come to the same when they are made twice, and may be too many to be remembered.
    pub(crate) fn command(&self, mutation: Mutation) -> Command {
        let makes = matches!(mutation, Mutation::Batch { .. });
        Command {
            request_id: if makes { format!("import-{:032x}", rand::random::<u128>()).parse().ok() } else { None },
            origin: self.origin.clone(),
            ..Command::new(self.importer.clone(), mutation)
        }
    }

    /// Until it is made.
    async fn make(&self, mutation: Mutation) -> Result<Option<Revision>, ProposeError> {
        let removes = !matches!(mutation, Mutation::Restore { .. } | Mutation::Batch { .. });
        let command = self.command(mutation);
        let deadline = Instant::now() + PATIENCE;
        let mut again = false;
        loop {
            match self.control.propose(command.clone()).await {
                Ok(applied) => return Ok(Some(applied.revision)),
                // It was removed by the attempt before, of which nobody knew.
                Err(ProposeError::Rejected(Rejection::NotFound { .. })) if removes && again => return Ok(None),
                Err(ProposeError::NoLeader | ProposeError::OutcomeUnknown) if Instant::now() < deadline => {
                    again = true;
                    tokio::time::sleep(RETRY).await;
                }
                Err(why) => return Err(alone(why)),
            }
        }
    }
}

/// What is put on a condition is the one item of a batch, which is nothing that the importer knows of.
fn alone(why: ProposeError) -> ProposeError {
    match why {
        ProposeError::Rejected(Rejection::Items { mut items }) if items.len() == 1 => {
            ProposeError::Rejected(items.remove(0).rejection)
        }
        other => other,
    }
}

/// The credential that an import leaves alone: its own.
const fn credential(importer: &Actor) -> Option<AdminId> {
    match importer {
        Actor::Admin { id } => Some(*id),
        _ => None,
    }
}

/// What the steps come to on a copy of the state.
struct Trial {
    control: ControlPlane,
    state: State,
    revision: Revision,
    now: Timestamp,
    importer: Actor,
    refused: Option<(usize, ProposeError)>,
    steps: usize,
}

impl Trial {
    /// After the first refusal nothing is tried any more: much of the rest would only follow from it.
    fn take(&mut self, step: Step) {
        if self.refused.is_some() {
            return;
        }
        self.steps += 1;
        self.revision = Revision(self.revision.get() + 1);
        let tried = self.control.judge_level(&step.mutation).and_then(|()| {
            let command = Command::new(self.importer.clone(), step.mutation);
            let stamp = Stamp { at: self.now, id: uuid::Uuid::nil(), key: None, more_keys: Vec::new() };
            Ok(apply(&mut self.state, self.revision, Entry::new(command, stamp)).map(drop)?)
        });
        self.refused = tried.err().map(|why| (step.line, alone(why)));
    }
}
