//! What a cluster needs before anybody can use it: a global signing key and a first owner. The leader sees to both, again
//! and again until they are there; two leaders that both try are told apart by the request id.
//!
//! A generated credential is sealed into the data directory before it is proposed and removed once it was printed, so
//! that a node that dies in between prints it after its restart. Printed twice is harmless; printed never is not.

pub mod unprinted;

use std::io::{self, Write};
use std::time::Duration;

use controlplane_core::model::{AdminSpec, KeyOwner};
use controlplane_core::mutation::RotateStep;
use controlplane_core::{Actor, Command, Mutation, Rejection, Role};
use tokio_util::sync::CancellationToken;
use vocab::RequestId;

use self::unprinted::Unprinted;
use crate::control_plane::{BarrierError, Consistency, ControlPlane, ProposeError};
use crate::credential::Credential;
use crate::raft::offline::Unannounced;
use crate::steward::Keeper;
use crate::storage::StorageError;

const RETRY: Duration = Duration::from_millis(500);
const BARRIER: Duration = Duration::from_secs(5);

/// Who becomes the first owner when this node finds none.
#[derive(Debug)]
pub enum FirstOwner {
    /// From a setting: whoever set it knows it.
    Given(Credential),
    /// Made here, and printed once stored.
    Generated(Unprinted),
}

impl FirstOwner {
    fn credential(&self) -> &Credential {
        match self {
            Self::Given(credential) => credential,
            Self::Generated(unprinted) => unprinted.credential(),
        }
    }

    /// Whether an earlier life of this node may have stored it without printing it.
    fn is_owed(&self) -> bool {
        matches!(self, Self::Generated(unprinted) if unprinted.is_kept())
    }
}

#[derive(Debug, thiserror::Error)]
enum BootstrapError {
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the credential cannot be printed; it will be tried again after a restart: {0}")]
    Print(#[source] io::Error),
}

/// Runs until both are there, or `stop`. A node that does not lead waits for its turn.
pub async fn run(control: ControlPlane, owner: FirstOwner, out: &mut (dyn Write + Send), stop: CancellationToken) {
    let mut leading = control.leadership();
    let work = async {
        loop {
            let leads = *leading.borrow_and_update();
            if !leads && !owner.is_owed() {
                if leading.changed().await.is_err() {
                    return;
                }
                continue;
            }
            match ensure(&control, &owner, leads, out).await {
                Ok(Progress::Done) => return,
                Ok(Progress::Waiting) => {}
                Err(error @ BootstrapError::Print(_)) => return tracing::error!(%error, "bootstrap"),
                Err(error) => tracing::warn!(%error, "bootstrap has to wait"),
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// Tells the audit what was done to this node's data while it did not run, until it is told. Then what the audit lacks since
/// is settled: no node of this cluster has more of it.
pub async fn tell(control: &ControlPlane, owed: Unannounced, keeper: &Keeper, stop: &CancellationToken) {
    let mut command = Command::new(Actor::System, Mutation::AuditNote { notes: vec![owed.noted.clone()] });
    // Told once, though the node may die before it has noted that.
    command.request_id = format!("announcement-{}", owed.noted.at.millis()).parse().ok();
    while !stop.is_cancelled() {
        let told = match control.propose(command.clone()).await {
            Ok(_) => keeper.close_gap(control).await,
            Err(error) => Err(error.into()),
        };
        match told {
            Ok(()) => {
                if let Err(error) = owed.done() {
                    tracing::warn!(%error, "what was announced is still on file");
                }
                return;
            }
            Err(error) => tracing::warn!(%error, "the announcement has to wait"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Once there, neither the key nor the owner can go: the core lets nobody remove the last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Done,
    Waiting,
}

async fn ensure(
    control: &ControlPlane,
    owner: &FirstOwner,
    leads: bool,
    out: &mut (dyn Write + Send),
) -> Result<Progress, BootstrapError> {
    let has_key = || control.read(|state| state.active_keys(KeyOwner::Global).next().is_some());
    let has_owner = || control.read(|state| state.admins_after(None).next().is_some());
    // What an earlier leader committed must be seen before anything is missed.
    control.barrier(Consistency::Linearizable, BARRIER).await?;
    if leads && !has_key() {
        let mutation = Mutation::KeyRotate { tenant: None, step: RotateStep::Now, family: None };
        propose(control, "bootstrap-global-key", mutation).await?;
        tracing::info!("the cluster has its first global signing key");
    }
    let credential = owner.credential();
    if leads && !has_owner() {
        if let FirstOwner::Generated(unprinted) = owner {
            unprinted.keep()?;
        }
        let spec = AdminSpec { name: "first owner".to_owned(), role: Role::Owner, expires_at: None };
        let mutation = Mutation::AdminCreate { id: credential.id, spec, digest: credential.digest() };
        propose(control, "bootstrap-first-owner", mutation).await?;
    }
    if let (true, FirstOwner::Generated(unprinted)) = (has_owner(), owner) {
        // Another leader may have been faster with one of its own: only what is stored is worth showing.
        let stored =
            control.read(|state| state.admin(credential.id).is_some_and(|admin| credential.matches(&admin.digest)));
        if stored {
            announce(credential, out).map_err(BootstrapError::Print)?;
        }
        unprinted.forget()?;
    }
    Ok(if has_key() && has_owner() { Progress::Done } else { Progress::Waiting })
}

/// On stdout, which carries nothing else: logs go to stderr and never hold it.
fn announce(credential: &Credential, out: &mut (dyn Write + Send)) -> io::Result<()> {
    writeln!(out, "first owner credential: {}", credential.reveal().expose())?;
    out.flush()
}

/// The request id makes it happen once, whoever leads.
async fn propose(control: &ControlPlane, request_id: &str, mutation: Mutation) -> Result<(), ProposeError> {
    let request_id: RequestId = request_id.parse().expect("a literal of visible ASCII is a request id");
    let command = Command { request_id: Some(request_id), ..Command::new(Actor::System, mutation) };
    match control.propose(command).await {
        Ok(_) | Err(ProposeError::Rejected(Rejection::IdempotencyMismatch | Rejection::AlreadyExists { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
