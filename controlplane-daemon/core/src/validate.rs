//! The rules of each document, every problem of it collected at once.
//!
//! Each `validate` names fields by JSON pointers (RFC 6901) into its own document; whoever holds it inside a larger one
//! nests the result. Rules that need the rest of the configuration (a host that another tenant has) are `apply`'s.

mod admin;
mod authorization_details;
mod branding;
pub(crate) mod client;
mod identity_provider;
mod manifest_set;
mod node;
mod oauth;
mod policy;
pub(crate) mod registration;
mod scope;
mod smtp;
mod tenant;
mod text;
mod uri;

pub use manifest_set::manifest_set_problems;
pub use node::is_host_port;
pub use scope::{STANDARD_SCOPES, scope_name_problems};
pub use tenant::slug_problems;
