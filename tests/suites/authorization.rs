//! The authorization endpoint beyond the plain code flow; one module per specification.

#[path = "authorization/authorization_details.rs"]
mod authorization_details;
#[path = "authorization/claims.rs"]
mod claims;
#[path = "authorization/par.rs"]
mod par;
#[path = "authorization/prompts.rs"]
mod prompts;
#[path = "authorization/response_modes.rs"]
mod response_modes;
#[path = "authorization/step_up.rs"]
mod step_up;
