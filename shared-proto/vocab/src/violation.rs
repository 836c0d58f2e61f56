//! What was wrong with a document: every problem, each with the place it stands at.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One problem of a document. `pointer` is a JSON pointer (RFC 6901) to the field; `detail` says what was wrong and
/// what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub pointer: String,
    pub detail: String,
}

/// All problems of a document, collected so that they are reported at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Violations(Vec<Violation>);

impl Violations {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn one(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut all = Self::new();
        all.add(pointer, detail);
        all
    }

    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Violation { pointer: pointer.into(), detail: detail.into() });
    }

    /// Adds `detail` at `pointer` unless `holds`.
    pub fn require(&mut self, holds: bool, pointer: &str, detail: impl FnOnce() -> String) {
        if !holds {
            self.add(pointer, detail());
        }
    }

    /// Takes over the problems of a part, each pointer below `prefix`.
    pub fn nest(&mut self, prefix: &str, part: Self) {
        self.0.extend(
            part.0.into_iter().map(|v| Violation { pointer: format!("{prefix}{}", v.pointer), detail: v.detail }),
        );
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.0.iter()
    }

    /// `Ok` when nothing was wrong.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = std::slice::Iter<'a, Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, v) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}: {}", if v.pointer.is_empty() { "(document)" } else { &v.pointer }, v.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}
