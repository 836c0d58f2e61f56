//! What the leader found and did, for `/cluster/status`.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use vocab::Revision;

use super::Settings;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    pub dir: PathBuf,
    pub set: String,
    /// Whether this node does it: it leads. One that does not knows nothing of what follows.
    pub active: bool,
    pub last_run: Option<String>,
    /// `ok`, `partial` (a file is broken) or `failed`.
    pub result: Option<&'static str>,
    /// At which the configuration was found, or made, to be what the files say.
    pub revision: Option<Revision>,
    pub error: Option<String>,
    pub files: Vec<FileStatus>,
    /// The last time that somebody had changed by hand what the files state.
    pub drift: Option<Drift>,
}

impl Status {
    /// Before the first look.
    pub(super) fn of(settings: &Settings) -> Self {
        Self { dir: settings.dir.clone(), set: settings.set.clone(), ..Self::default() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileStatus {
    pub path: String,
    pub documents: usize,
    pub errors: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    pub at: String,
    /// Each in a line for people.
    pub put_back: Vec<String>,
    pub resources: Vec<Made>,
}

/// What was done to a resource, so that it is as the files say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    pub action: &'static str,
    pub resource: String,
    /// Which declares it, below `dir`; `None`: none does, and it was deleted.
    pub file: Option<String>,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.resource)
    }
}
