//! The one number that orders every change.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The position of a change in the Raft log. *Who has seen what* is always a comparison of two revisions.
///
/// Zero means "before the first change": no resource ever carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    pub const ZERO: Self = Self(0);

    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many log positions `self` is behind `newest`; zero when it is ahead.
    pub const fn lag_behind(self, newest: Self) -> u64 {
        newest.0.saturating_sub(self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
