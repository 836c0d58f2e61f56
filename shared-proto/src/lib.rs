//! The contract between processes: `.proto` files, the code generated from them, and the way between wire and `vocab`.
//!
//! ```text
//!   proto/hellojohn/watch/v1   pod  ◀──▶ control-plane node
//!   proto/hellojohn/peer/v1    node ◀──▶ node
//! ```
//!
//! Law: what is on the wire only grows: a field's number and meaning never change (protobuf's own rules), so that nodes
//! and pods of two releases understand each other. There is one table of error codes and gRPC statuses, [`status`].
//!
//! Start reading at the `.proto` files: each message says when it is sent and what the other side does.
//!
//! # How to add a field or a message
//!
//! 1. It goes into the `.proto` file, with a number that was never used and a comment that says what its absence means.
//! 2. The generated code is made anew, see below.
//! 3. What the watch gained is encoded in `controlplane-daemon/src/feed/encode.rs` and decoded in
//!    `dataplane-service/src/sync/decode.rs`; what peers gained, in `controlplane-daemon/src/raft/wire.rs`.
//! 4. `tests/wire.rs` fails, and says which lines pin it: they are added to `tests/golden/messages-v2.txt`. What stands
//!    there stays as it is.
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
