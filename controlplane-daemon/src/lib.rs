//! The control plane's shell around `controlplane-core`: everything that has a socket, a disk, a clock or a key.
//!
//! ```text
//!   core ← storage, feed, signature ← raft ← control_plane (the facade) ← admin, watch ← server ← main
//! ```
//!
//! Law: imports point inwards only; transports never touch raft or redb; only [`server`] constructs.
//! Start reading at [`server`] (what there is), then [`control_plane`] (what it promises).
//!
//! | module | what it owns |
//! |---|---|
//! | [`settings`] | flags, variables, the TOML file: read, judged all at once, typed |
//! | [`storage`] | bytes on disk: identity, log, snapshots |
//! | [`signature`] | which calls come from a node of this cluster |
//! | [`raft`] | what the bytes mean: log, state machine, peers, forwarding to the leader, stamping |
//! | [`feed`], [`watch`], [`fleet`] | changes encoded once, streams to pods, who has acknowledged what |
//! | [`audit`] | records of what was done and turned away: notes on their way in, the file, looking up, checking |
//! | [`sinks`] | where the leader delivers the records of the audit to |
//! | [`registration`] | clients that register themselves, as pods report them |
//! | [`membership`] | what can be asked of the cluster's members, and why it is refused |
//! | [`discovery`] | who is asked to take this node in, and told where it is |
//! | [`control_plane`] | the facade: propose, read, wait |
//! | [`steward`], [`rotation`] | what the leader does by itself: the roster of pods, key rotation |
//! | [`admin`], [`ops`] | HTTP for operators, HTTP for machines |
//! | [`gitops`], [`projection`] | configuration from files, and as files |
//! | [`tls`] | the certificates of the peer, watch and admin ports, and what is counted of them |
//! | [`hand_over`] | asking the node that runs here to give leadership away, before it is stopped |
//! | [`backup`], [`offline`] | export and import; recovering and restoring a node that does not run |
//! | [`bootstrap`], [`keys`], [`jws`], [`credential`] | the first owner, signing keys and with them, administrators' credentials |
//!
//! # How to add an endpoint
//!
//! 1. Its row in [`admin::routes`]: method, path, which roles, handler. Nothing is served that has no row there.
//! 2. Its handler beside the others of its resource: decode, one call of the facade, encode. What it takes from query and
//!    headers is an extractor of `admin/query.rs`; its document is read and shown in `admin/view`.
//! 3. A mutation that it needs is `controlplane-core`'s, whose page says how to add one.
//! 4. `UPDATE_DOCS=1 cargo test --workspace --test docs` writes its row into `docs/admin-api.md`; its documents and errors
//!    are described there by hand.
//!
//! # How to add a setting
//!
//! 1. Its row in `settings/catalogue.rs`; flag, variables, TOML key and help come from it.
//! 2. Its field in [`settings::Settings`], and what is allowed in `settings/judge.rs`, said in words in
//!    `settings/reference.rs`.
//! 3. `UPDATE_DOCS=1 cargo test --workspace --test docs` writes it into `docs/configuration.md`.
//!
//! # Decisions
//!
//! * Forwarding is not a layer of its own: [`raft::cluster`] proposes here or at the leader, since both end in the same
//!   outcomes and the same wait.
//! * [`watch`] is written on HTTP bodies instead of tonic's codec, so that a frame that was encoded once is the same memory
//!   for every subscriber; and on a server of its own instead of tonic's, so that a connection is one task.
//! * Raft's membership keeps the address under which a node was added and never changes it: where a node is now stands in
//!   the table of nodes. Changing it in the membership could split the voters between two machines under one id.
//! * The log is a journal of our own beside redb, not in it: [`storage::journal`] says why, and what a crash leaves.
//! * There is no console yet; the changes of `controlplane_core::apply` are the one list that it would be made of.

pub mod admin;
pub mod audit;
pub mod backup;
pub mod bootstrap;
pub mod cluster_status;
pub mod control_plane;
pub mod credential;
pub mod discovery;
pub mod feed;
pub mod fleet;
pub mod gitops;
pub mod hand_over;
pub mod id;
pub mod jws;
pub mod keys;
pub mod membership;
pub mod offline;
pub mod oidc;
pub mod ops;
pub mod projection;
pub mod raft;
pub mod recorder;
pub mod registration;
pub mod rotation;
pub mod sealed;
pub mod seals;
pub mod server;
pub mod settings;
pub mod signature;
pub mod sinks;
pub mod steward;
pub mod storage;
pub mod tls;
pub mod watch;
