//! The audit: what this node has to report, on its way into the log.

mod notes;

pub use notes::{NotNow, Notes, Reported, notes};
