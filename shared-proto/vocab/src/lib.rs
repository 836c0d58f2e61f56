//! The words both planes speak.
//!
//! ```text
//!   controlplane-core ─┐                ┌─ oauth-core
//!                      ├──▶  vocab  ◀──┤
//!   shared-proto ──────┘                └─ the shells, the CLI
//! ```
//!
//! A word belongs here when the control plane and the data plane must mean the same by it: identifiers, the
//! [`Revision`] that orders everything, [`Timestamp`]s, [`Secret`]s and the [`seal`] envelope that carries them
//! through the log, the [`ErrorCode`]s that outsiders see, and the [`Violation`]s that tell them which field was wrong.
//! What a [`client`] is registered with and a tenant's [`oauth`] settings are here because both planes and the log
//! between them must mean the same by every field; so are the algorithms of [`jose`] and a tenant's [`branding`]. The [`chain`] is here because the control plane writes it and the command line checks it.
//!
//! Law: no clock, no randomness, no I/O. Time and random bytes are arguments. (The one exception is
//! [`time::SystemClock`], which the shells construct and hand on.)
//!
//! Start reading at [`revision`], then [`id`] and [`seal`].
//!
//! # How to add an error code
//!
//! 1. A variant of [`ErrorCode`], its place in `ErrorCode::ALL`, its row in the table of texts, statuses and titles.
//! 2. Its gRPC status in `shared-proto`'s `status.rs`; the compiler asks for it.
//! 3. Its row in `docs/admin-api.md`; a test asks for it.

pub mod branding;
pub mod chain;
pub mod claims;
pub mod client;
pub mod error_code;
pub mod fapi;
pub mod id;
pub mod identity_provider;
pub mod jose;
pub mod json_schema;
pub mod jwe;
pub mod jwk;
pub mod jws;
pub mod oauth;
pub mod registration;
pub mod revision;
pub mod seal;
pub mod secret;
pub mod time;
pub mod violation;

pub use chain::{ChainError, ChainHash, ChainWalk, Link};
pub use error_code::ErrorCode;
pub use id::{
    AdminId, ClientId, ClusterId, InvalidId, KeyId, NodeId, PodId, RegistrationTokenId, RequestId, ScopeName, SecretId,
    Slug, TenantId,
};
pub use jose::{KeyFamily, SigningAlgorithm};
pub use revision::Revision;
pub use seal::{Keyring, KeyringError, MasterKey, SealError, Sealed};
pub use secret::{Secret, SecretDigest};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
pub use violation::{Violation, Violations};
