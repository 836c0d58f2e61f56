//! The audit: what was done and what was turned away, on record for as long as the operators want.
//!
//! ```text
//!   whoever notices ──▶ notes ──▶ audit.note ─┐
//!   every change ─────────────────────────────┴▶ log ─▶ apply: records ──▶ store ──▶ query, verify ──▶ /audit, /events
//!                                                                           └─────▶ sinks
//! ```
//!
//! The chain of records is `controlplane_core::audit`'s; here is where its lines are kept and read.

mod notes;
mod query;
mod retention;
mod signature;
mod store;
mod verify;

pub use notes::{NotNow, Notes, Reported, notes};
pub use query::{Filter, Page, Query, page};
pub use retention::{Cut, due, gap};
pub use signature::{SignatureError, check, sign, signer};
pub use store::{Extent, Order, Store};
pub use verify::{Head, Report, verify};
