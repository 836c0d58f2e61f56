//! The admin REST API, `/api/v1`.
//!
//! ```text
//!   routes (the table: route × role × handler)
//!     └─▶ auth (who, may they) ─▶ extractors (json, query) ─▶ handler: view.read ─▶ Api::change ─▶ view.show ─▶ answer
//! ```
//!
//! A handler decodes, calls the facade once and encodes. Add an endpoint: its row in [`routes`], its handler, its view;
//! the coverage test walks the table.

mod admins;
mod answer;
mod apply;
mod audit;
mod auth;
mod backup;
mod clients;
mod cluster;
pub mod declarative;
mod events;
mod fields;
mod fleet;
mod json;
mod keys;
mod members;
mod openapi;
mod origin;
mod page;
mod patch;
mod problem;
mod query;
mod registration_tokens;
pub mod routes;
mod scopes;
mod seals;
mod settings;
pub mod shown;
mod sign_in;
mod tenants;
mod throttle;
mod token;
mod transfer;
mod uses;
mod verified;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use fields::read_rest;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use controlplane_core::{Applied, Command, Mutation, ResourceRef, State};
use serde::Serialize;
use serde::de::DeserializeOwned;
use transport::forwarded::TrustedProxies;
use vocab::{Clock, Keyring, Revision, Sealed, Secret};

use crate::control_plane::{Consistency, ControlPlane};
use crate::fleet::FleetWait;
use crate::gitops;
use crate::oidc::Oidc;
use crate::settings::FollowerWrites;
use crate::tls::CertificateEnds;
use auth::Principal;
pub use events::Listeners;
use problem::Problem;
use query::{Read, Write};
pub use throttle::Throttle;
pub use uses::{Uses, report as report_uses};
pub use verified::VerifiedTokens;

/// What the handlers share.
pub struct Api {
    pub control: ControlPlane,
    pub keyring: Keyring,
    pub clock: Arc<dyn Clock>,
    pub follower_writes: FollowerWrites,
    pub throttle: Throttle,
    pub uses: Uses,
    /// The issuer at which administrators may sign in, too.
    pub oidc: Option<Oidc>,
    pub trusted_proxies: TrustedProxies,
    pub tokens: VerifiedTokens,
    /// What `--gitops-dir` is at; `None`: there is none.
    pub gitops: Option<gitops::Shared>,
    /// Who may read the audit without being an administrator.
    pub audit_token: Option<Secret<String>>,
    pub listeners: Listeners,
    pub certificates: CertificateEnds,
    /// Whether this node was told to stop.
    pub leaving: Arc<AtomicBool>,
}

/// A change that was made, and how far it has spread if that was asked.
struct Done {
    applied: Applied,
    fleet: Option<FleetWait>,
}

impl Done {
    /// Of several entries, or of none: what there is to tell is the revision.
    fn at(revision: Revision, fleet: Option<FleetWait>) -> Self {
        let resource = ResourceRef::Configuration;
        Self {
            applied: Applied {
                revision,
                resource,
                changes: Vec::new(),
                records: Vec::new(),
                replayed: false,
                receipt: None,
            },
            fleet,
        }
    }
}

impl Api {
    /// Looks at the state, as fresh as was asked. The revision is one that the state surely includes.
    async fn read<R>(&self, read: &Read, f: impl FnOnce(&State) -> R) -> Result<(Revision, R), Problem> {
        if read.consistency != Consistency::Local {
            self.control.barrier(read.consistency, read.timeout).await?;
        }
        let revision = self.control.applied_revision();
        Ok((revision, self.control.read(f)))
    }

    /// Proposes and, if asked, waits for the fleet.
    async fn change(
        &self,
        who: &Principal,
        write: &Write,
        mutation: Mutation,
        receipt: Option<Sealed>,
    ) -> Result<Done, Problem> {
        let name = mutation.name();
        let command = Command {
            actor: who.actor(),
            request_id: write.request_id.clone(),
            expected_revision: write.expected_revision,
            based_on: write.based_on,
            mutation: Box::new(mutation),
            receipt,
            origin: who.origin.clone(),
        };
        // The command goes by value through several steps: on the heap it is copied once.
        let outcome = Box::pin(self.control.propose(command)).await;
        let result = outcome.as_ref().map_or_else(|error| error.code().as_str(), |_| "ok");
        metrics::counter!("hj_cp_admin_changes_total", "mutation" => name, "result" => result).increment(1);
        match outcome {
            Ok(applied) => {
                // At this level only: the audit has it, on every node.
                tracing::debug!(actor = who.name(), action = name, revision = %applied.revision, replayed = applied.replayed, "changed");
                let fleet = match write.wait_for_fleet {
                    Some(timeout) => Some(self.control.wait_for_fleet(applied.revision, timeout).await),
                    None => None,
                };
                Ok(Done { applied, fleet })
            }
            Err(error) => {
                tracing::info!(actor = who.name(), action = name, code = %error.code(), "change refused");
                Err(error.into())
            }
        }
    }

    /// Carries documents out.
    pub fn applier(&self) -> declarative::Applier {
        let (control, keyring, clock) = (self.control.clone(), self.keyring.clone(), Arc::clone(&self.clock));
        declarative::Applier { control, keyring, clock }
    }

    /// Seals what is shown once, so that a replay can show it again.
    fn seal_receipt(&self, receipt: &impl Serialize) -> Result<Sealed, Problem> {
        let text = serde_json::to_vec(receipt).map(vocab::Secret::new).map_err(Problem::internal)?;
        Ok(self.keyring.seal(text.expose(), rand::random()))
    }

    /// What was shown the first time. `None`: nothing was, or not by this kind of request.
    fn open_receipt<T: DeserializeOwned>(&self, sealed: Option<&Sealed>) -> Result<Option<T>, Problem> {
        let Some(sealed) = sealed else { return Ok(None) };
        let text = self.keyring.open(sealed).map_err(Problem::internal)?;
        serde_json::from_slice(text.expose()).map(Some).map_err(Problem::internal)
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("control", &self.control).finish_non_exhaustive()
    }
}
