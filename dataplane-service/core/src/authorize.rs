//! The authorization endpoint (RFC 6749 §3.1, OIDC Core §3.1.2): from a form to a code, or to the reason why not.
//!
//! [`validate`] turns a form into an [`AuthorizationRequest`] or a [`Refusal`]; the request is kept while the user
//! signs in. [`decide`] is then asked, as often as needed, what has to happen next.

mod decision;
mod request;
mod response;

pub use decision::{Decision, Facts, IdTokenHint, SessionFacts, decide};
pub use request::{AuthorizationRequest, Prompt, Refusal, ResponseMode, validate};
pub use response::{ReturnAddress, error_url, success_url};
