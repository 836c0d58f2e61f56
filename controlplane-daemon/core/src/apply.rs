//! What a committed entry does.

use vocab::Revision;

use crate::entry::Entry;
use crate::rejection::Rejection;
use crate::state::{Applied, State};

/// Applies the entry committed at `revision`.
pub fn apply(state: &mut State, revision: Revision, entry: Entry) -> Result<Applied, Rejection> {
    let _ = (state, revision);
    Err(Rejection::Conflict { why: format!("{} is not built yet", entry.command.mutation.name()) })
}
