//! Configuration by documents: what a set of manifests says is made so, in one batch, and said again it changes nothing.
//!
//! ```text
//!   documents ─▶ wanted ─▶ plan (against a state) ─▶ rehearse ─▶ propose: one batch, tied to that state
//!                                 ▲                                    │
//!                                 └───────── overtaken: again ◀────────┘
//! ```
//!
//! Two doors lead here: `POST /apply` and the leader's `--gitops-dir`. What a document's members mean is read by the same
//! code as in the rest of the admin API.

mod diff;
mod outline;
mod plan;
mod prune;
mod run;
mod secret;
mod wanted;

pub use outline::{Action, Bounds, Fault, Ownership, Plan, Prune, Request, Step};
pub use run::{Applier, ApplyError, Asker, Outcome};
