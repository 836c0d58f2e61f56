//! The rules of OAuth 2.0 and OpenID Connect: facts in, decision out.
//!
//! ```text
//!   bytes ──▶ form ──▶ authorize::validate ──▶ authorize::decide     the authorization endpoint
//!                 └──▶ client_auth ──▶ grant::*::decide ──▶ issue    the token endpoint
//! ```
//!
//! The shell loads the facts before and carries out the effects after; nothing here waits, reads a clock or draws a
//! random number. Each rule names the RFC section that forces it. Refusals are [`error::OAuthError`]s: the RFCs' own
//! codes, which the shell's `http/respond.rs` turns into answers.
//!
//! Law: no clock, no randomness, no I/O, no hash-ordered map, no float.
//!
//! Start reading at [`form`] (what came in), then [`authorize`] or [`client_auth`] and [`grant`].

pub mod authorize;
pub mod bearer;
pub mod client;
pub mod client_auth;
pub mod discovery;
pub mod error;
pub mod form;
pub mod grant;
pub mod issue;
pub mod pkce;
pub mod scope;
pub mod userinfo;
