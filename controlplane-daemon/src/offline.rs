//! `controlplane-daemon recover` and `restore`: what an operator does to the data of a node that does not run.

use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use telemetry::console::{note, say};
use vocab::SystemClock;

use crate::raft::offline::{self, NewCluster, OfflineError, Place, Recovery};
use crate::settings::{EXIT_CONFIG, Settings};
use crate::storage::StorageError;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    Recover(Consent),
    Restore { from: PathBuf },
}

/// Whether the operator has agreed to a recovery beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    Given,
    /// On the terminal, by typing a phrase.
    Asked,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error(transparent)]
    Offline(#[from] OfflineError),
    #[error("nothing was changed: {PHRASE:?} was not typed; --yes does without")]
    NotConfirmed,
    #[error("the terminal: {0}")]
    Terminal(#[from] io::Error),
}

const PHRASE: &str = "recover with this node alone";

impl TaskError {
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Offline(OfflineError::Storage(why)) => why.exit_code(),
            Self::Offline(_) => EXIT_CONFIG,
            Self::NotConfirmed => 64,
            Self::Terminal(_) => 1,
        }
    }
}

pub fn run(task: &Task, settings: &Settings) -> Result<(), TaskError> {
    let place = Place {
        data_dir: settings.data_dir.clone(),
        node_id: settings.node_id,
        advertise_addr: settings.advertise_addr.clone().or_else(|| settings.peers.get(&settings.node_id).cloned()),
        keyring: settings.keyring.clone(),
        clock: Arc::new(SystemClock),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (what, made) = match task {
        Task::Recover(consent) => {
            let recovery = Recovery::examine(place).map_err(in_use)?;
            say(recovery.report().to_string().trim_end())?;
            confirm(*consent)?;
            ("Recovered", runtime.block_on(recovery.carry_out())?)
        }
        Task::Restore { from } => ("Restored", runtime.block_on(offline::restore(place, from))?),
    };
    let NewCluster { cluster_id, revision, advertise_addr, kept } = made;
    let node = settings.node_id;
    say(format_args!(
        "{what}: cluster {cluster_id} with node {node} at {advertise_addr} alone, at revision {revision}."
    ))?;
    if let Some(kept) = kept {
        say(format_args!("What was there before is kept in {}.", kept.display()))?;
    }
    say("Start this node, then add the others, each with an empty data directory: they take all from this one.")?;
    Ok(())
}

/// The usual mistake deserves its own words.
fn in_use(error: OfflineError) -> OfflineError {
    if matches!(error, OfflineError::Storage(StorageError::InUse { .. })) {
        note("The node still runs: stop it first.");
    }
    error
}

fn confirm(consent: Consent) -> Result<(), TaskError> {
    if consent == Consent::Given {
        return Ok(());
    }
    // Who cannot be asked has not agreed.
    let mut out = io::stdout();
    write!(out, "Type {PHRASE:?} to go on: ")?;
    out.flush()?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == PHRASE { Ok(()) } else { Err(TaskError::NotConfirmed) }
}
