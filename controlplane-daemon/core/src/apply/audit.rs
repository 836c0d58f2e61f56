//! What the audit itself is told, and what every entry leaves in it.

use vocab::Revision;

use super::{Context, Decision, conflict};
use crate::audit::{Chain, Circumstances, Record, Recorder};
use crate::limits;
use crate::mutation::{Mutation, ResourceRef, Truncation};
use crate::note::Noted;
use crate::rejection::Rejection;

/// Changes nothing: being in the log is all that a note is for.
pub(super) fn note(cx: &Context<'_>, notes: &[Noted]) -> Result<Decision, Rejection> {
    cx.check_precondition(Revision::ZERO)?;
    if notes.is_empty() || notes.len() > limits::NOTES {
        return Err(conflict(format!("an entry carries 1 to {} notes", limits::NOTES)));
    }
    Ok(of_the_audit())
}

/// The newest record stays, so that the chain never ends in nothing. With nothing removed it renews the signature under
/// what was removed before.
pub(super) fn truncate(cx: &Context<'_>, truncation: &Truncation, removed_bytes: u64) -> Result<Decision, Rejection> {
    cx.check_precondition(Revision::ZERO)?;
    let chain = &cx.state.audit;
    let through = truncation.through_seq;
    let is_renewal = chain.truncation.as_ref().is_some_and(|known| {
        truncation.removed == 0 && through == known.through_seq && truncation.last_hash == known.last_hash
    });
    if !is_renewal && !(chain.first_seq()..chain.seq).contains(&through) {
        return Err(conflict(format!("the records go from {} to {}", chain.first_seq(), chain.seq)));
    }
    if truncation.removed != through - chain.removed_through || removed_bytes > chain.bytes {
        return Err(conflict("another truncation was faster"));
    }
    if truncation.signature.len() > limits::SIGNATURE_BYTES {
        return Err(conflict("the signature is too long"));
    }
    Ok(of_the_audit())
}

/// A cursor only moves on.
pub(super) fn cursor(cx: &Context<'_>, sink: &str, seq: u64) -> Result<Decision, Rejection> {
    cx.check_precondition(Revision::ZERO)?;
    let chain = &cx.state.audit;
    if seq > chain.seq {
        return Err(conflict(format!("the newest record is {}", chain.seq)));
    }
    if sink.is_empty() || sink.len() > limits::SINK_NAME_BYTES {
        return Err(conflict("a sink has a name, and a short one"));
    }
    if !chain.cursors.contains_key(sink) && chain.cursors.len() >= limits::SINKS {
        return Err(Rejection::LimitReached { what: "sinks".to_owned(), limit: limits::SINKS as u64 });
    }
    Ok(of_the_audit())
}

const fn of_the_audit() -> Decision {
    Decision { resource: ResourceRef::Audit, changes: Vec::new() }
}

/// What an accepted mutation is to the audit.
pub(super) enum Bookkeeping {
    Change,
    Notes(Vec<Noted>),
    Truncation {
        truncation: Truncation,
        removed_bytes: u64,
    },
    Cursor {
        sink: String,
        seq: u64,
    },
    /// What the cluster has seen of itself; nobody asked for it.
    Sighting,
}

impl Bookkeeping {
    pub(super) fn of(mutation: &Mutation) -> Self {
        match mutation {
            Mutation::AuditNote { notes } => Self::Notes(notes.clone()),
            Mutation::AuditTruncate { truncation, removed_bytes } => {
                Self::Truncation { truncation: truncation.clone(), removed_bytes: *removed_bytes }
            }
            Mutation::AuditCursor { sink, seq } => Self::Cursor { sink: sink.clone(), seq: *seq },
            Mutation::FleetUpdate { .. } | Mutation::AdminUsed { .. } | Mutation::NodeSeen { .. } => Self::Sighting,
            _ => Self::Change,
        }
    }

    /// Puts on record what was accepted. `format` is the entry's: see [`crate::audit`].
    pub(super) fn keep(
        self,
        chain: &mut Chain,
        who: &Circumstances,
        recorder: Recorder,
        about: &ResourceRef,
        format: u16,
    ) -> Vec<Record> {
        match self {
            Self::Sighting => Vec::new(),
            Self::Change if format < 2 => Vec::new(),
            Self::Change => recorder.finish(chain, who, about),
            Self::Notes(notes) => Recorder::notes(chain, who, &notes),
            Self::Truncation { truncation, removed_bytes } => {
                chain.removed_through = truncation.through_seq;
                chain.bytes -= removed_bytes;
                chain.truncation = Some(truncation.clone());
                vec![Recorder::truncation(chain, who, &truncation)]
            }
            Self::Cursor { sink, seq } => {
                let cursor = chain.cursors.entry(sink).or_default();
                *cursor = seq.max(*cursor);
                Vec::new()
            }
        }
    }
}
