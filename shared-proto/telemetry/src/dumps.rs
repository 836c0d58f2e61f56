//! What a crash must not tell: a core dump holds every key, password and token that was in memory.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids this process to leave a core dump, for good: the hard limit cannot be raised again without privilege.
pub fn forbid() {
    if let Err(why) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        // Lowering a limit is always allowed, unless a sandbox filters the call: then it is the sandbox's to forbid dumps.
        tracing::warn!(%why, "a crash of this process may leave a core dump");
    }
}
