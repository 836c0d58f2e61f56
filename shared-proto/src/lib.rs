//! The contract between processes: `.proto` files, the code generated from them, and the way between wire and `vocab`.
//!
//! ```text
//!   proto/hellojohn/watch/v1   pod  ◀──▶ control-plane node
//!   proto/hellojohn/peer/v1    node ◀──▶ node
//! ```
//!
//! The generated code is checked in, so that no build needs a protobuf compiler; `tests/generated.rs` fails when it is
//! not what the `.proto` files say, and `UPDATE_GENERATED=1 cargo test -p shared-proto` writes it anew.

pub mod status;

#[allow(clippy::all, clippy::pedantic, clippy::unwrap_used, missing_debug_implementations, unreachable_pub, clippy::allow_attributes, reason = "generated")]
#[rustfmt::skip]
#[path = "gen/hellojohn.watch.v1.rs"]
pub mod watch;

#[allow(clippy::all, clippy::pedantic, clippy::unwrap_used, missing_debug_implementations, unreachable_pub, clippy::allow_attributes, reason = "generated")]
#[rustfmt::skip]
#[path = "gen/hellojohn.peer.v1.rs"]
pub mod peer;
