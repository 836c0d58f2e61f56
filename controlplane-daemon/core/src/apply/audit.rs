//! What the audit itself is told.

use vocab::Revision;

use super::{Context, Decision, conflict};
use crate::limits;
use crate::mutation::ResourceRef;
use crate::note::Noted;
use crate::rejection::Rejection;

/// Changes nothing: being in the log is all that a note is for.
pub(super) fn note(cx: &Context<'_>, notes: &[Noted]) -> Result<Decision, Rejection> {
    cx.check_precondition(Revision::ZERO)?;
    if notes.is_empty() || notes.len() > limits::NOTES {
        return Err(conflict(format!("an entry carries 1 to {} notes", limits::NOTES)));
    }
    Ok(Decision { resource: ResourceRef::Audit, changes: Vec::new() })
}
