//! Who is at the other end of a connection: what both planes need to know it, and to prove themselves.
//!
//! ```text
//!   PEM files ──▶ material (checked) ──▶ credentials (the current ones) ◀── watcher (the files have changed)
//!                                          │
//!      TCP ──▶ incoming (handshake, bounded) ──▶ connection ──▶ tonic          connector ──▶ tonic, to other nodes
//!                    server (mutual TLS; or one's own certificate only, for actix)   client
//! ```
//!
//! A package of its own since both planes need the same and may not import each other; beside the wire formats and not
//! in `vocab`, which has no sockets.
//!
//! | module | what it owns |
//! |---|---|
//! | [`material`] | certificate, key and authorities out of their files: checked, or refused with the file's name |
//! | [`credentials`], [`watcher`] | the ones in use, and their replacement while everything runs |
//! | [`host`] | whom callers look for, and whether the certificate is that host's |
//! | [`names`] | which certificates of our own authority are let in at a port |
//! | [`server`], [`incoming`], [`connection`] | accepting |
//! | `flood` | who sends frames that cost only us |
//! | [`listener`] | accepting for actix |
//! | [`one_task`], [`gather`] | a connection and its streams as one task, which sends together what it writes together |
//! | [`client`] | connecting |
//! | `suites` | which TLS is spoken at both ends |
//! | [`observer`], [`outcome`] | what metrics and logs are told |
//! | [`forwarded`] | whose request it is when a proxy passes it on |
//!
//! # Decisions
//!
//! * A connection keeps what it was made with. New material is for new handshakes, so nothing is dropped when it comes.
//! * Nothing is resumed on ports that demand certificates: a ticket would outlive the authority that its holder was let
//!   in by.
//! * TLS 1.3 and 1.2, of which rustls has the AEAD suites only. Authorities are the operator's own, never the system's.
//! * No metrics here: their names say the plane, so each plane has its [`observer::Observer`].

pub mod client;
pub mod connection;
pub mod credentials;
mod flood;
pub mod forwarded;
pub mod gather;
mod handshake_signatures;
pub mod head;
pub mod host;
pub mod incoming;
pub mod listener;
pub mod material;
pub mod names;
pub mod observer;
pub mod one_task;
pub mod outcome;
pub mod presented;
pub mod server;
mod suites;
pub mod watcher;
