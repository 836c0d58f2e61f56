//! What a process has cost so far, as the kernel counts it: what else the machine does is not in it.

use std::time::Duration;

/// By all of its threads that run.
pub fn spent(process: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    // Documentation/scheduler/sched-stats: the first number is nanoseconds on the processor.
    let nanos = threads.flatten().filter_map(|thread| {
        let counted = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        counted.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
