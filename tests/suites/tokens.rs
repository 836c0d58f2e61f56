//! What becomes of tokens after they were issued: told about, given up, exchanged.

#[path = "tokens/exchange.rs"]
mod exchange;
#[path = "tokens/grace.rs"]
mod grace;
#[path = "tokens/introspection.rs"]
mod introspection;
#[path = "tokens/opaque.rs"]
mod opaque;
#[path = "tokens/revocation.rs"]
mod revocation;
