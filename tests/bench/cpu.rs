//! What a process has used, from `/proc`.

use std::fs;
use std::time::Duration;

/// User and system time of that process so far. Linux counts it in hundredths of a second (`USER_HZ`).
pub(crate) fn time(process: u32) -> Duration {
    let stat = Stat::of(process);
    Duration::from_millis((stat.number(14) + stat.number(15)) * 10)
}

/// That of a process and of all its children, also those that have ended.
pub(crate) fn of_family(parent: u32) -> Duration {
    let stat = Stat::of(parent);
    let ended = Duration::from_millis((stat.number(16) + stat.number(17)) * 10);
    children(parent).into_iter().map(time).sum::<Duration>() + time(parent) + ended
}

/// Those that it started and that have not ended.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    ids.filter(|process| self::parent(*process) == Some(parent)).collect()
}

/// Which process started that one.
pub(crate) fn parent(process: u32) -> Option<u32> {
    u32::try_from(Stat::of(process).number(4)).ok()
}

/// `/proc/*/stat`, its fields numbered as in proc(5).
struct Stat(Vec<String>);

impl Stat {
    fn of(process: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The second field, the name, is in parentheses and may hold blanks: count from behind it.
        let rest = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().map(str::to_owned).collect());
        Self(rest.unwrap_or_default())
    }

    fn number(&self, field: usize) -> u64 {
        field.checked_sub(3).and_then(|at| self.0.get(at)).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// User and system time of this thread so far, in nanoseconds of resolution.
pub(crate) fn this_thread() -> Duration {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock");
    Duration::from(now)
}

/// Resident memory of that process, MiB.
pub(crate) fn resident_mib(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0);
    kib / 1024.0
}
