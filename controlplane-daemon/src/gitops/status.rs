//! What the leader found and did, for `/cluster/status`.

use std::path::PathBuf;

use serde::Serialize;
use vocab::Revision;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    pub dir: PathBuf,
    pub set: String,
    /// Whether this node does it: it leads.
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileStatus {
    pub path: String,
    pub documents: usize,
    pub errors: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    pub at: String,
    pub put_back: Vec<String>,
}
