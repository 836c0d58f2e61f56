//! The configuration and its rules, pure.
//!
//! ```text
//!   Command ──(the leader adds a Stamp)──▶ Entry ──▶ apply(&mut State, Revision, Entry) ──▶ Vec<Change> | Rejection
//! ```
//!
//! A [`Command`] is what somebody asked for. The leader adds a [`Stamp`] with everything that is not deterministic
//! (time, a fresh id, a freshly generated and sealed key) and proposes the [`Entry`]. Every node applies committed
//! entries with [`apply`], which either changes the [`State`] and says how ([`Change`]s, the one list that is stored,
//! watched, audited and shown), or refuses ([`Rejection`]) and changes nothing.
//!
//! Law: no clock, no randomness, no I/O, no hash-ordered map, no float. Same state and entry, same result, for ever.
//!
//! # How to add a mutation
//!
//! 1. A variant of [`Mutation`] and its name in [`Mutation::name`]; its generated parts, if it has any, in
//!    `apply/replay.rs`.
//! 2. Its arm in `apply`'s `decide`, and a function beside the others of its resource. It only decides; what can become
//!    different is a [`Change`], and `state/write.rs` is where a change is carried out.
//! 3. A new resource also needs a snapshot record ([`snapshot`]), its caps ([`limits`]), its rules ([`validate`]) and what
//!    must hold of it ([`State::check_invariants`]).
//! 4. A row in the tests' `catalogue` (a test compares it with the source), its refusals, and the golden file.
//! 5. A node of an older build stops at what it does not know: its level in [`level`]; and raise [`entry::FORMAT`] when the
//!    shape of entries themselves changes.
//!
//! Start reading at [`mutation`] (what can be asked), then [`apply`] (what it does), then [`model`] (what there is).

#![deny(clippy::float_arithmetic)]

pub mod apply;
pub mod audit;
pub mod entry;
pub mod level;
pub mod limits;
pub mod model;
pub mod mutation;
pub mod note;
pub mod rejection;
pub mod seals;
pub mod snapshot;
pub mod state;
pub mod validate;

pub use apply::apply;
pub use entry::{Actor, Command, Entry, FreshKey, Origin, Stamp};
pub use model::{Admin, Client, ClusterSettings, NodeRecord, Role, Scope, SigningKey, Tenant};
pub use mutation::{Change, Mutation, ResourceRef};
pub use note::{Note, Noted};
pub use rejection::Rejection;
pub use seals::SealedPlace;
pub use state::{Applied, Resource, State};

#[cfg(test)]
mod tests;
