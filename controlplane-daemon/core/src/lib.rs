//! The configuration and its rules, pure.
//!
//! ```text
//!   Command ──(the leader adds a Stamp)──▶ Entry ──▶ apply(&mut State, Revision, Entry) ──▶ Vec<Change> | Rejection
//! ```
//!
//! A [`Command`] is what somebody asked for. The leader adds a [`Stamp`] with everything that is not deterministic
//! (time, a fresh id, a freshly generated and sealed key) and proposes the [`Entry`]. Every node applies committed
//! entries with [`apply`], which either changes the [`State`] and says how ([`Change`]s, the one list that is stored,
//! watched, audited and shown), or refuses ([`Rejection`]) and changes nothing but the memory of the request.
//!
//! Law: no clock, no randomness, no I/O, no hash-ordered map, no float. Same state and entry, same result, for ever.
//!
//! Start reading at [`mutation`] (what can be asked), then [`apply`] (what it does), then [`model`] (what there is).

pub mod apply;
pub mod entry;
pub mod limits;
pub mod model;
pub mod mutation;
pub mod rejection;
pub mod snapshot;
pub mod state;
pub mod validate;

pub use apply::apply;
pub use entry::{Actor, Command, Entry, FreshKey, Stamp};
pub use model::{Admin, Client, Role, Scope, SigningKey, Tenant};
pub use mutation::{Change, Mutation, ResourceRef};
pub use rejection::Rejection;
pub use state::{Applied, Resource, State};
