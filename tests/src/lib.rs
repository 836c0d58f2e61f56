//! The harness: real control-plane nodes, real pods, a real PostgreSQL, and clients that talk to them as outsiders do.
//!
//! A suite (`suites/*.rs`, one test binary each) asks [`world::shared`] for a running system and makes its own tenants
//! in it, or starts a [`cluster::Cluster`] of its own when it is going to break something. Nothing here reaches into the
//! programs: everything goes through their sockets, flags and signals.
//!
//! ```text
//! suites ─▶ world ─▶ cluster, pod ─▶ process ─▶ scratch
//!    │        └────▶ tenant ─▶ admin, postgres
//!    └─▶ relying_party, browser ─▶ web
//! ```
//!
//! The programs are those beside the test executable (`target/<profile>`), or in `HJ_BIN_DIR`. Processes die with the
//! test process, whatever becomes of it; their logs are shown when a test fails. Await conditions with [`wait::until`];
//! nothing sleeps for a fixed time.

//!
//! # How to add a suite
//!
//! 1. A file in `suites/` and its `[[test]]` in `Cargo.toml`; a module of an existing suite is cheaper to link.
//! 2. Law: outsiders' view only, and every run makes its own tenants, so that tests run side by side.
//!
//! `suites/architecture.rs` keeps the rules between the packages, `suites/docs.rs` keeps `docs/` true.

pub mod admin;
pub mod authenticator_app;
pub mod balancer;
pub mod browser;
pub mod cluster;
pub mod collector;
pub mod counters;
pub mod cpu;
pub mod export;
pub mod forger;
pub mod gate;
pub mod hello;
pub mod instance;
pub mod listener;
pub mod loop_disk;
pub mod memory;
pub mod name_server;
pub mod network;
pub mod operator;
pub mod pages;
pub mod peer_call;
pub mod pki;
pub mod pod;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod published;
pub mod relying_party;
pub mod routes;
pub mod scratch;
pub mod security_key;
pub mod sluice;
pub mod stores;
pub mod table;
pub mod tenant;
pub mod tls;
pub mod tokens;
pub mod tools;
pub mod traces;
pub mod voter;
pub mod wait;
pub mod wall_clock;
pub mod web;
pub mod webdriver;
pub mod wire;
pub mod world;
pub mod writes;
