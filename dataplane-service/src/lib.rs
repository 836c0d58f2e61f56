//! The data plane: authenticates users, issues and checks tokens, for many tenants at once.
//!
//! ```text
//!   control plane ══ watch ══▶ sync ──▶ directory ──▶ resolve ──▶ http ──▶ store ──▶ the tenant's Postgres
//!                               │       (one atomic pointer        │
//!                               ▼        to immutable tenants)     ▼                             │
//!                          sealed state                         signing  clients, mail ◀── outbox ◀──┘
//! ```
//!
//! Law: a request takes one [`directory::Directory`] when it arrives and sees nothing newer until it is answered.
//! Configuration is only ever read from memory; what is written goes to the tenant's own database.
//!
//! Start reading at [`server`], which constructs everything, then [`http`] for the routes and [`sync`] for where the
//! configuration comes from. Rules of OAuth are not here: they are in `oauth-core`.
//!
//! # How to add an endpoint
//!
//! 1. A file in `http/` with a handler that begins with the extractor [`resolve::Tenant`]: so it is answered below
//!    `/t/{slug}` and at the root, for known and active tenants only. That of a page is given the visit of a person's
//!    browser, and one that takes its form the form (`page` and `form` in `http/endpoint.rs`).
//! 2. Its path in `http.rs`, `tenant_routes`; metadata that names it in `oauth_core::discovery`.
//! 3. Statements go into `store/`, one function per use, each with a bound in time; rules of OAuth into `oauth-core`.
//! 4. `docs/data-plane.md`.
//!
//! A grant begins in `oauth-core`, whose page says how.
//!
//! # How to add a setting
//!
//! 1. Its row in `settings/sources.rs`; flag, variables and TOML key come from it.
//! 2. Its field in [`settings::Settings`], what is allowed beside it, and the same in words in `settings/reference.rs`.
//! 3. `UPDATE_DOCS=1 cargo test --workspace --test docs` writes it into `docs/configuration.md`.
//!
//! # How to change the schema
//!
//! 1. A new file in `migrations/postgres/tenant`, `V0002__what.sql`. A released file is never edited.
//! 2. Its row in `store/migrate.rs`; a test compares the rows with the files.
//! 3. Pods of the release before run and start while it is applied: add first, remove a release later, and then raise
//!    `READABLE_FROM` beside the rows. `docs/compatibility.md` tells operators.
//!
//! # Decisions
//!
//! * Migrations are ours, not refinery's: many pods may find an old schema at once, so a lock is needed that ends with the
//!   transaction, because a lock of the session does not survive PgBouncer in transaction mode.
//! * A code exchange or a rotation is one SQL statement instead of a transaction of several: one round trip, and of two
//!   requests at once one alone wins.
//! * Access tokens are put together around keys that were parsed once ([`signing`]); `jsonwebtoken` only verifies.
//! * There is no SCIM yet.

pub mod access_token;
pub mod app;
pub mod caller;
pub mod client_certificates;
pub mod client_keys;
pub mod decryption;
pub mod directory;
pub mod email;
pub mod encryption;
pub mod exchange;
pub mod federation;
pub mod fetch;
#[cfg(test)]
mod fixture;
pub mod http;
pub mod introspect;
pub mod issued;
pub mod mail;
pub mod opaque;
pub mod ops;
pub mod outbox;
pub mod pace;
pub mod pages;
pub mod password;
pub mod problem;
pub mod rate_limit;
pub mod recorder;
pub mod registrar;
pub mod request_object;
pub mod resolve;
pub mod revoke;
pub mod second_factor;
pub mod sector;
pub mod server;
pub mod settings;
pub mod signing;
pub mod staleness;
pub mod store;
pub mod successor;
pub mod sync;
pub mod tenant;
pub mod throttle;
pub mod tls;
pub mod waiting;
