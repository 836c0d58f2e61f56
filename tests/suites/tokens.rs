//! What becomes of tokens after they were issued: told about, given up, exchanged; and the form of every answer.

#[path = "tokens/answers.rs"]
mod answers;
#[path = "tokens/assertions.rs"]
mod assertions;
#[path = "tokens/exchange.rs"]
mod exchange;
#[path = "tokens/grace.rs"]
mod grace;
#[path = "tokens/introspection.rs"]
mod introspection;
#[path = "tokens/opaque.rs"]
mod opaque;
#[path = "tokens/resources.rs"]
mod resources;
#[path = "tokens/revocation.rs"]
mod revocation;
#[path = "tokens/same_values.rs"]
mod same_values;
#[path = "tokens/tenants.rs"]
mod tenants;
