//! A network of the test's own: a namespace for each node, joined by a bridge, where any two can be kept apart.
//!
//! ```text
//!   tests ── bridge 10.77.n.1 ──┬── 10.77.n.11  node 1's namespace, its own nftables
//!                               ├── 10.77.n.12  node 2's
//!                               └── …           dropped at the receiver: a connection hangs, it is not refused
//! ```
//!
//! The tests reach every node whatever is cut: only what nodes send to one another is dropped. Needs root, iproute2 and
//! nftables; `HJ_SKIP_NETWORK_TESTS=1` says that a machine cannot give them, nothing else does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

const PREFIX: &str = "hj";

/// Gone when dropped.
#[derive(Debug)]
pub struct Network {
    number: u8,
    nodes: BTreeSet<u64>,
}

impl Network {
    /// `None` when the machine is declared unable.
    #[expect(clippy::print_stderr, reason = "the test runner shows it")]
    pub fn new(nodes: u64) -> Option<Self> {
        if std::env::var_os("HJ_SKIP_NETWORK_TESTS").is_some() {
            eprintln!("skipped: HJ_SKIP_NETWORK_TESTS is set");
            return None;
        }
        sweep();
        let network = Self { number: free_number(), nodes: (1..=nodes).collect() };
        let bridge = network.bridge();
        run("ip", &["link", "add", &bridge, "type", "bridge"]);
        run("ip", &["addr", "add", &format!("{}/24", network.address(0)), "dev", &bridge]);
        run("ip", &["link", "set", &bridge, "up"]);
        for node in &network.nodes {
            network.attach(*node, &bridge);
        }
        Some(network)
    }

    fn attach(&self, node: u64, bridge: &str) {
        let (namespace, outside, inside) = (self.namespace(node), self.link(node), "inside");
        run("ip", &["netns", "add", &namespace]);
        run("ip", &["link", "add", &outside, "type", "veth", "peer", "name", inside, "netns", &namespace]);
        run("ip", &["link", "set", &outside, "master", bridge, "up"]);
        run("ip", &["-n", &namespace, "addr", "add", &format!("{}/24", self.address(node)), "dev", inside]);
        for link in ["lo", inside] {
            run("ip", &["-n", &namespace, "link", "set", link, "up"]);
        }
        self.filter(node, &["add", "table", "inet", "cuts"]);
        self.filter(node, &["add", "chain", "inet", "cuts", "in", "{ type filter hook input priority 0; }"]);
    }

    /// The node's, or the tests' own with 0.
    pub fn address(&self, node: u64) -> String {
        let last = if node == 0 { 1 } else { 10 + node };
        format!("10.77.{}.{last}", self.number)
    }

    /// An address of the tests that is on the public Internet as far as anybody here can tell: what it is routed to out
    /// there nobody on this machine asks for. The nodes reach it, and in their namespaces `name` leads to it.
    pub fn lend_public_address(&self, name: &str) -> String {
        let address = format!("11.77.{}.1", self.number);
        run("ip", &["addr", "add", &format!("{address}/32"), "dev", &self.bridge()]);
        for node in &self.nodes {
            let namespace = self.namespace(*node);
            run("ip", &["-n", &namespace, "route", "add", &address, "via", &self.address(0)]);
            // `ip netns exec` shows it in the place of the machine's own (ip-netns(8)).
            let folder = resolution(&namespace);
            std::fs::create_dir_all(&folder).expect("root may write below /etc/netns");
            let hosts = format!("127.0.0.1 localhost\n{address} {name}\n{} private.{name}\n", self.address(0));
            std::fs::write(folder.join("hosts"), hosts).expect("root may write below /etc/netns");
        }
        address
    }

    pub fn namespace(&self, node: u64) -> String {
        format!("{PREFIX}-{}-{}-{node}", std::process::id(), self.number)
    }

    /// Nothing passes between the node and any other.
    pub fn isolate(&self, node: u64) {
        for other in self.nodes.iter().filter(|other| **other != node) {
            self.silence(node, *other);
            self.silence(*other, node);
        }
    }

    /// What `from` sends does not reach `to`; the other way stays open.
    pub fn silence(&self, from: u64, to: u64) {
        self.filter(to, &["add", "rule", "inet", "cuts", "in", "ip", "saddr", &self.address(from), "drop"]);
    }

    /// What `from` sends to that port of `to` does not reach it: `to` can call `from`, and not the other way.
    pub fn silence_calls(&self, from: u64, to: u64, port: &str) {
        let from = self.address(from);
        self.filter(to, &["add", "rule", "inet", "cuts", "in", "ip", "saddr", &from, "tcp", "dport", port, "drop"]);
    }

    /// Everybody reaches everybody again.
    pub fn heal(&self) {
        for node in &self.nodes {
            self.filter(*node, &["flush", "chain", "inet", "cuts", "in"]);
        }
    }

    fn filter(&self, node: u64, rule: &[&str]) {
        let namespace = self.namespace(node);
        run("ip", &[&["netns", "exec", &namespace, "nft"], rule].concat());
    }

    fn bridge(&self) -> String {
        format!("{PREFIX}{}b{}", std::process::id() % 100_000, self.number)
    }

    fn link(&self, node: u64) -> String {
        format!("{PREFIX}{}v{}n{node}", std::process::id() % 100_000, self.number)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in &self.nodes {
            let namespace = self.namespace(*node);
            quietly("ip", &["netns", "del", &namespace]);
            let _ = std::fs::remove_dir_all(resolution(&namespace));
        }
        quietly("ip", &["link", "del", &self.bridge()]);
    }
}

/// Files that stand in for those of `/etc` in a namespace.
fn resolution(namespace: &str) -> PathBuf {
    Path::new("/etc/netns").join(namespace)
}

/// The third byte of the addresses: of no bridge that there is, and of no other test here.
fn free_number() -> u8 {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let start = u8::try_from(std::process::id() % 200).expect("below 200");
    let taken = output("ip", &["-o", "-4", "addr", "show"]);
    for _ in 0..=u8::MAX {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        if !taken.contains(&format!("10.77.{number}.1/")) {
            return number;
        }
    }
    panic!("every network 10.77.*.0/24 is taken");
}

/// Removes what test processes that are no more left behind.
fn sweep() {
    for line in output("ip", &["netns", "list"]).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let mut parts = name.split('-');
        let (prefix, owner, number) = (parts.next(), parts.next(), parts.next());
        let (Some(PREFIX), Some(owner), Some(number)) = (prefix, owner, number) else { continue };
        let Ok(process) = owner.parse::<u32>() else { continue };
        if !Path::new("/proc").join(owner).exists() {
            quietly("ip", &["netns", "del", name]);
            let _ = std::fs::remove_dir_all(resolution(name));
            quietly("ip", &["link", "del", &format!("{PREFIX}{}b{number}", process % 100_000)]);
        }
    }
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output();
    match done {
        Ok(done) if done.status.success() => {}
        other => panic!("{program} {}: {other:?} (needs root, iproute2, nftables)", arguments.join(" ")),
    }
}

fn quietly(program: &str, arguments: &[&str]) {
    let _ = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn output(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output();
    done.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default()
}
