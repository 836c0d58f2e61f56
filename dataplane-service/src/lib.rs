//! The data plane: authenticates users, issues and checks tokens, for many tenants at once.
//!
//! ```text
//!   control plane ══ watch ══▶ sync ──▶ directory ──▶ resolve ──▶ http ──▶ store ──▶ the tenant's Postgres
//!                               │       (one atomic pointer        │
//!                               ▼        to immutable tenants)     ▼
//!                          sealed state                         signing
//! ```
//!
//! Law: a request takes one [`directory::Directory`] when it arrives and sees nothing newer until it is answered.
//! Configuration is only ever read from memory; what is written goes to the tenant's own database.
//!
//! Start reading at [`server`], which constructs everything, then [`http`] for the routes and [`sync`] for where the
//! configuration comes from. Rules of OAuth are not here: they are in `oauth-core`.

pub mod app;
pub mod directory;
pub mod email;
pub mod exchange;
#[cfg(test)]
mod fixture;
pub mod http;
pub mod opaque;
pub mod ops;
pub mod pages;
pub mod password;
pub mod problem;
pub mod resolve;
pub mod server;
pub mod settings;
pub mod signing;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod tenant;
pub mod throttle;
