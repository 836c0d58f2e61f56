//! What becomes of tokens after they were issued: told about, given up, exchanged.

#[path = "tokens/introspection.rs"]
mod introspection;
#[path = "tokens/revocation.rs"]
mod revocation;
