//! What a crash must not tell: a core dump holds every key, password and token that was in memory.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids this process to leave a core dump, for good: the hard limit cannot be raised again without privilege. Where
/// dumps go to a program, the limit does not count (core(5)): hence the mark, which also keeps other processes of the same
/// user from its memory.
pub fn forbid() {
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if let Err(why) = limited.and(set_dumpable_behavior(DumpableBehavior::NotDumpable)) {
        // Both are always allowed, unless a sandbox filters the call: then it is the sandbox's to forbid dumps.
        tracing::warn!(%why, "a crash of this process may leave a core dump");
    }
}
