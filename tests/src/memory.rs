//! What a process has in memory and holds open, as the kernel counts it.

/// Now.
pub fn resident_kib(process: u32) -> u64 {
    read(process, "VmRSS:")
}

/// The most that it ever had.
pub fn peak_kib(process: u32) -> u64 {
    read(process, "VmHWM:")
}

/// Files, sockets and the like.
pub fn open_files(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").count()
}

fn read(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
