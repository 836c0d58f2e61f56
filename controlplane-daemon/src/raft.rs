//! One log on all nodes. The only folder that knows openraft, whose 0.10 line pipelines and batches but still moves.
//!
//! ```text
//!   forward ──▶ leader: stamp ──▶ gathering ──▶ openraft ──▶ log_storage (this disk)
//!                                                  │    └──▶ network ──▶ peers' service (their disks)
//!                                                  │ committed
//!                                                  ▼
//!                                           state_machine ──▶ replica (the state in memory) ──▶ feed
//! ```
//!
//! `types` names openraft's generics once; `record` is the format of a log entry on disk and on the wire.

pub mod acknowledged;
pub mod append_stream;
mod backfill;
pub mod binding;
pub mod cluster;
pub mod contact;
pub mod founding;
mod gathering;
pub mod log_storage;
pub mod membership;
pub mod network;
pub mod node;
pub mod offline;
pub mod panics;
pub mod peers;
pub mod proposals;
pub mod record;
pub mod replica;
pub mod retreat;
pub mod service;
pub mod snapshot;
pub mod state_machine;
pub mod tend;
pub mod thread;
pub mod types;
pub mod watchdog;
pub mod wire;
