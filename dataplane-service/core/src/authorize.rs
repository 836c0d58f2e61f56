//! The authorization endpoint (RFC 6749 §3.1, OIDC Core §3.1.2): from a form to a code, or to the reason why not.
//!
//! [`validate`] turns a form into an [`AuthorizationRequest`] or a [`Refusal`]; the request is kept while the user
//! signs in. [`decide`] is then asked, as often as needed, what has to happen next.

mod decision;
pub mod pushed;
mod request;
pub mod request_object;
mod response;
mod validate;

pub use decision::{Decision, Facts, IdTokenHint, SessionFacts, decide};
pub use request::{AuthorizationRequest, Prompt, ResponseMode, ResponseType};
pub use response::{Delivery, ReturnAddress, failure, success};
pub use validate::{Channel, Refusal, Site, known_client, return_address, validate};
