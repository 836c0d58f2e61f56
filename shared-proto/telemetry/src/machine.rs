//! What the kernel counts and nobody else sees: connections that were turned away before a program could accept them.

use std::fs;

/// Connections that found the accept queue of a listener full, since this network namespace (a pod's, on Kubernetes)
/// began; `None` where the kernel does not say. Which listener it was is not known.
pub fn listen_overflows() -> Option<u64> {
    value_of(&fs::read_to_string("/proc/net/netstat").ok()?, "TcpExt:", "ListenOverflows")
}

/// The file has two lines of each group: names, then values.
fn value_of(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group)).map(str::split_ascii_whitespace);
    let place = lines.next()?.position(|word| word == name)?;
    lines.next()?.nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_stand_in_two_lines() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 0 17 19\nIpExt: A ListenOverflows\nIpExt: 1 2\n";
        assert_eq!(value_of(text, "TcpExt:", "ListenOverflows"), Some(17));
        assert_eq!(value_of(text, "TcpExt:", "Nothing"), None);
        assert_eq!(value_of("", "TcpExt:", "ListenOverflows"), None);
    }
}
