//! Whether the ports are free, and who has them where it can be told.

use std::collections::HashSet;
use std::net::TcpListener;
use std::path::Path;

use super::layout::{Layout, Wanted};
use crate::failure::Failure;

/// A port that is free, held until the listener is dropped. Below the range from which the kernel serves outgoing
/// connections (32768 on): one of those could have the port just when its owner starts again.
pub(crate) fn free() -> anyhow::Result<(TcpListener, u16)> {
    const TRIES: usize = 1000;
    let listener = |port: u16| TcpListener::bind(("127.0.0.1", port)).ok().map(|listener| (listener, port));
    let found = (0..TRIES).find_map(|_| listener(rand::random_range(10_000..32_000)));
    found.ok_or_else(|| anyhow::anyhow!("no free port was found between 10000 and 32000"))
}

/// All of them before anything is started, and every one that is taken.
pub(crate) fn check(layout: &Layout) -> Result<(), Failure> {
    let mut complaints = Vec::new();
    let mut seen = HashSet::new();
    for wanted in layout.wanted() {
        if !seen.insert(wanted.port) {
            complaints.push(format!(
                "port {} ({}) is wanted twice; choose another with {}",
                wanted.port, wanted.purpose, wanted.option
            ));
        } else if let Err(error) = TcpListener::bind(("127.0.0.1", wanted.port)) {
            complaints.push(complaint(&wanted, &error));
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(anyhow::anyhow!(complaints.join("\n  ")).into()) }
}

fn complaint(wanted: &Wanted, error: &std::io::Error) -> String {
    let Wanted { port, purpose, option } = wanted;
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return format!("port {port} ({purpose}) cannot be used: {error}; choose another with {option}");
    }
    let by = owner(*port).map_or_else(|| "another process".to_owned(), |owner| owner.to_string());
    format!("port {port} ({purpose}) is taken by {by}; choose another with {option}")
}

/// A process that listens.
struct Owner {
    pid: u32,
    name: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// From Linux's /proc: the listening socket's inode, then the process that has it open. Other users' processes are
/// seen by root only.
fn owner(port: u16) -> Option<Owner> {
    let inodes: HashSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        has_open(&entry.path(), &inodes).then(|| Owner { pid, name: name(&entry.path()) })
    })
}

/// Lines such as `0: 0100007F:1F90 00000000:0000 0A … inode`: local address, state 0A for LISTEN, tenth field.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|fields| fields.get(3) == Some(&"0A") && fields.get(1).is_some_and(|local| local.ends_with(&suffix)))
        .filter_map(|fields| fields.get(9).map(|inode| (*inode).to_owned()))
        .collect()
}

fn has_open(process: &Path, sockets: &HashSet<String>) -> bool {
    let descriptors = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    descriptors
        .filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
}

fn name(process: &Path) -> String {
    std::fs::read_to_string(process.join("comm")).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_reported_with_purpose_owner_and_option() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let wanted =
            Wanted { port, purpose: "the admin API of control-plane node 1".to_owned(), option: "--port-base" };
        let error = TcpListener::bind(("127.0.0.1", port)).unwrap_err();
        let text = complaint(&wanted, &error);
        assert!(
            text.contains(&port.to_string()) && text.contains("admin API") && text.contains("--port-base"),
            "{text}"
        );
        if cfg!(target_os = "linux") {
            assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        }
    }
}
