//! What happens here is told to the plane, which counts it under its own names.

use std::fmt;
use std::path::Path;

use vocab::Timestamp;

use crate::outcome::Outcome;

/// Which end of the connection this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Server,
    Client,
}

impl End {
    /// The label of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// What came of new files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Replaced,
    /// Those from before stay in use.
    Refused,
}

impl Reload {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Refused => "refused",
        }
    }
}

pub trait Observer: fmt::Debug + Send + Sync {
    fn handshake(&self, end: End, port: &'static str, outcome: Outcome);
    fn reloaded(&self, reload: Reload);
    /// When the first certificate of a file ends.
    fn not_after(&self, file: &Path, end: Timestamp);
}
