//! What is put on record: a chain of lines (`vocab::chain`), computed by every node from the same entries.
//!
//! ```text
//!   accepted entry ─▶ one record per tenant it touches, with what became different, before → after     difference
//!   audit.note     ─▶ one record per note
//! ```
//!
//! The records themselves are not part of the state, whose every byte is in each snapshot: [`Chain`] holds the end of the
//! chain only, and `apply` hands the new lines out. A shell stores them; it can make them anew from the log, or get them
//! from its peers and check them against the chain.
//!
//! Not on record: entries that were refused (a refusal of the admin API is a note), replays, entries of format 1 (they
//! were applied before there was a chain, and nodes differ in how many of them they still have), the sightings of
//! the fleet and of nodes, changes of the cluster's own bookkeeping that show nothing, and `audit.cursor`, or each delivery would give the next
//! one something to deliver.

mod difference;
mod leaves;
mod record;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vocab::{ChainHash, Revision};

pub(crate) use record::{Circumstances, Recorder};

use crate::mutation::Truncation;

/// The end of the chain, and how far it reaches back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chain {
    /// Of the newest record; 0: there is none yet. The first record is number 1.
    pub seq: u64,
    /// Of the newest record.
    pub hash: ChainHash,
    /// Everything before this was removed by `audit.truncate`.
    pub removed_through: u64,
    /// Of the records that are kept.
    pub bytes: u64,
    /// How far each sink has delivered.
    pub cursors: BTreeMap<String, u64>,
    /// What signs for the records that are gone: the newest one signs for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncation: Option<Truncation>,
}

impl Chain {
    /// The number of the oldest record that is kept, or of the next one when none is.
    pub const fn first_seq(&self) -> u64 {
        self.removed_through + 1
    }
}

/// A record: a line of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub seq: u64,
    pub revision: Revision,
    /// JSON, and so UTF-8.
    pub line: Vec<u8>,
}

impl Record {
    /// # Panics
    ///
    /// When the line is not what [`Link::write_object`](vocab::Link::write_object) makes.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.line).expect("JSON is UTF-8")
    }
}
