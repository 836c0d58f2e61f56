//! The two buttons of a page that asks whether a client may have what it wants.

use oauth_core::form::Form;
use vocab::ErrorCode;

use super::visit::Visit;
use crate::pages::PageError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Allow,
    Deny,
}

impl Answer {
    pub(super) fn of(visit: &Visit<'_>, form: &Form<'_>) -> Result<Self, PageError> {
        match form.get("decision") {
            Some("allow") => Ok(Self::Allow),
            Some("deny") => Ok(Self::Deny),
            _ => Err(visit.error(ErrorCode::InvalidRequest, "Please press one of the two buttons.")),
        }
    }
}
