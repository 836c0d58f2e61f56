//! The rules of OAuth 2.0 and OpenID Connect: facts in, decision out.
//!
//! ```text
//!   bytes ──▶ form ──▶ authorize::validate ──▶ authorize::decide     the authorization endpoint
//!                 ├──▶ client_auth ──▶ grant::*::decide ──▶ issue    the token endpoint
//!                 ├──▶ waiting::{DeviceRequest, BackchannelRequest}      requests whose user answers elsewhere
//!                 └──▶ logout::validate ──▶ logout::decide           the end of a session
//! ```
//!
//! The shell loads the facts before and carries out the effects after; nothing here waits, reads a clock or draws a
//! random number. Each rule names the RFC section that forces it. Refusals are [`error::OAuthError`]s: the RFCs' own
//! codes, which the shell's `http/respond.rs` turns into answers.
//!
//! Law: no clock, no randomness, no I/O, no hash-ordered map, no float.
//!
//! Start reading at [`form`] (what came in), then [`authorize`] or [`client_auth`] and [`grant`].
//!
//! # How to add a grant
//!
//! 1. A [`client::GrantType`] and its text; discovery lists it by itself. The control plane has its own list, in
//!    `controlplane_core::model`, of what a client may be registered for.
//! 2. A file in `grant/` with the parameters that it reads and its `decide`: facts in, what to issue or a refusal out.
//! 3. Its variant in [`grant::Request`] and the arm in `Request::parse`.
//! 4. The use case in the shell's `exchange/`: load the facts, ask, sign, store in one statement.
//! 5. `docs/data-plane.md`.
//!
//! # How to add an error code
//!
//! A variant of [`error::Code`] with its row, if the registry of IANA has it; then its row in `docs/data-plane.md`, for
//! which a test asks.

#![deny(clippy::float_arithmetic)]

pub mod acr;
pub mod authorization_details;
pub mod authorize;
pub mod bearer;
pub mod certificate;
pub mod claims_request;
pub mod client;
pub mod client_auth;
pub mod confirmation;
pub mod discovery;
pub mod dpop;
pub mod error;
pub mod fapi;
pub mod federation;
pub mod form;
pub mod grant;
pub mod introspection;
pub mod issue;
pub mod jose;
pub mod logout;
pub mod pkce;
pub mod resource;
pub mod scope;
pub mod subject;
pub mod userinfo;
pub mod waiting;
