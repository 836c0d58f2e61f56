//! The control plane's shell around `controlplane-core`: everything that has a socket, a disk, a clock or a key.
//!
//! ```text
//!   core ← storage, feed ← raft ← control_plane (the facade) ← admin, watch ← server ← main
//! ```
//!
//! Law: imports point inwards only; transports never touch raft or redb; only [`server`] constructs.
//! Start reading at [`server`] (what there is), then [`control_plane`] (what it promises).

pub mod admin;
pub mod bootstrap;
pub mod cluster_status;
pub mod control_plane;
pub mod credential;
pub mod feed;
pub mod fleet;
pub mod id;
pub mod keys;
pub mod ops;
pub mod raft;
pub mod server;
pub mod settings;
pub mod storage;
pub mod telemetry;
pub mod tls;
pub mod watch;
