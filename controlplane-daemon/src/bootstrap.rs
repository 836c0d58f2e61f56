//! What a cluster needs before anybody can use it: a global signing key and a first owner. The leader sees to both, again
//! and again until they are there; two leaders that both try are told apart by the request id.

use std::sync::Arc;
use std::time::Duration;

use controlplane_core::model::{AdminSpec, KeyOwner};
use controlplane_core::mutation::RotateStep;
use controlplane_core::{Actor, Command, Mutation, Rejection, Role};
use tokio_util::sync::CancellationToken;
use vocab::{AdminId, Clock, RequestId};

use crate::control_plane::{Consistency, ControlPlane, ProposeError};
use crate::credential::Credential;
use crate::id;

const RETRY: Duration = Duration::from_millis(500);
const BARRIER: Duration = Duration::from_secs(5);

/// Runs until both are there, or `stop`. A node that does not lead waits for its turn.
pub async fn run(control: ControlPlane, setting: Option<Credential>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    // Made once, so that a try whose outcome was unknown is not followed by one with another credential.
    let owner = match setting {
        Some(credential) => Owner { credential, shown: Shown::Never },
        None => {
            Owner { credential: Credential::generate(AdminId::from_uuid(id::fresh(&*clock))), shown: Shown::OnceStored }
        }
    };
    let mut leading = control.leadership();
    let work = async {
        while leading.wait_for(|leads| *leads).await.is_ok() {
            match ensure(&control, &owner).await {
                Ok(()) => return,
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

struct Owner {
    credential: Credential,
    shown: Shown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// It came from a setting: whoever set it knows it.
    Never,
    OnceStored,
}

async fn ensure(control: &ControlPlane, owner: &Owner) -> Result<(), ProposeError> {
    // What an earlier leader committed must be seen before anything is missed.
    control.barrier(Consistency::Linearizable, BARRIER).await.map_err(|_| ProposeError::NoLeader)?;
    if control.read(|state| state.active_key(KeyOwner::Global).is_none()) {
        let mutation = Mutation::KeyRotate { tenant: None, step: RotateStep::Now };
        propose(control, "bootstrap-global-key", mutation).await?;
        tracing::info!("the cluster has its first global signing key");
    }
    let credential = &owner.credential;
    if control.read(|state| state.admins_after(None).next().is_none()) {
        let spec = AdminSpec { name: "first owner".to_owned(), role: Role::Owner, expires_at: None };
        let mutation = Mutation::AdminCreate { id: credential.id, spec, digest: credential.digest() };
        propose(control, "bootstrap-first-owner", mutation).await?;
    }
    // Another leader may have been faster with one of its own: only what is stored is worth showing.
    let stored =
        control.read(|state| state.admin(credential.id).is_some_and(|admin| credential.matches(&admin.digest)));
    if stored && owner.shown == Shown::OnceStored {
        announce(credential);
    }
    Ok(())
}

/// On stdout, which carries nothing else: logs go to stderr and never hold it.
fn announce(credential: &Credential) {
    println!("first owner credential: {}", credential.reveal().expose());
}

/// The request id makes it happen once, whoever leads.
async fn propose(control: &ControlPlane, request_id: &str, mutation: Mutation) -> Result<(), ProposeError> {
    let request_id: RequestId = request_id.parse().expect("a literal of visible ASCII is a request id");
    let command = Command {
        actor: Actor::System,
        request_id: Some(request_id),
        expected_revision: None,
        mutation,
        receipt: None,
    };
    match control.propose(command).await {
        Ok(_) | Err(ProposeError::Rejected(Rejection::IdempotencyMismatch | Rejection::AlreadyExists { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}
