//! Who listens where, and the command line that tells it so.

use std::ffi::OsString;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::DevArgs;
use super::binaries::Binaries;
use super::child::Process;
use super::folder::Folder;
use super::ports;
use crate::private_file;

/// The demo tenant's slug.
pub(crate) const TENANT: &str = "local";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    pub(crate) nodes: Vec<Node>,
    pub(crate) pods: Vec<Pod>,
    /// Whether the ports were chosen by the system.
    ephemeral: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: u16,
    pub(crate) raft: u16,
    pub(crate) watch: u16,
    pub(crate) admin: u16,
    pub(crate) ops: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pod {
    pub(crate) id: u16,
    pub(crate) http: u16,
    pub(crate) ops: u16,
}

/// A port that must be free: what for, and which option chooses another.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) port: u16,
    pub(crate) purpose: String,
    pub(crate) option: &'static str,
}

impl Layout {
    pub(crate) fn of(args: &DevArgs, folder: &Folder) -> anyhow::Result<Self> {
        let kept = folder.kept.layout.as_ref();
        let layout = if args.ephemeral { Self::ephemeral(args, kept)? } else { Self::fixed(args) };
        // A cluster's members are in its log; other members or addresses would be another cluster.
        if let Some(kept) = kept
            && (kept.nodes.len() != layout.nodes.len() || (kept.nodes.len() > 1 && !kept.same_peers(&layout)))
        {
            bail!(
                "{} holds a cluster of {} node(s) with its peer ports from {}; start it so, give another directory \
                 with --data, or start afresh with --reset",
                folder.path().display(),
                kept.nodes.len(),
                kept.nodes.first().map_or(0, |node| node.raft),
            );
        }
        Ok(layout)
    }

    fn same_peers(&self, other: &Self) -> bool {
        self.nodes.iter().map(|node| node.raft).eq(other.nodes.iter().map(|node| node.raft))
    }

    fn fixed(args: &DevArgs) -> Self {
        let base = args.port_base;
        let http = args.http_port.unwrap_or(base + 1080);
        let ops = args.pod_ops_port.unwrap_or(base + 1090);
        let node = |i: u16| {
            let raft = base + 10 * i;
            Node { id: i + 1, raft, watch: raft + 100, admin: raft + 200, ops: raft + 300 }
        };
        let pod = |i: u16| Pod { id: i + 1, http: http + i, ops: ops + i };
        Self { nodes: (0..args.nodes).map(node).collect(), pods: (0..args.pods).map(pod).collect(), ephemeral: false }
    }

    /// The ports of last time, new ones where there are none.
    fn ephemeral(args: &DevArgs, kept: Option<&Self>) -> anyhow::Result<Self> {
        let kept = kept.filter(|kept| kept.ephemeral);
        // All are held until all are chosen, so that none is chosen twice.
        let mut held = Vec::new();
        let mut free = || -> anyhow::Result<u16> {
            let (listener, port) = ports::free()?;
            held.push(listener);
            Ok(port)
        };
        let mut nodes = kept.map_or_else(Vec::new, |kept| kept.nodes.clone());
        for id in u16::try_from(nodes.len())? + 1..=args.nodes {
            nodes.push(Node { id, raft: free()?, watch: free()?, admin: free()?, ops: free()? });
        }
        let mut pods = kept.map_or_else(Vec::new, |kept| kept.pods.clone());
        for id in u16::try_from(pods.len())? + 1..=args.pods {
            pods.push(Pod { id, http: free()?, ops: free()? });
        }
        pods.truncate(args.pods.into());
        Ok(Self { nodes, pods, ephemeral: true })
    }

    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let option = |option| if self.ephemeral { "--reset" } else { option };
        let mut wanted = Vec::new();
        let mut want =
            |port, purpose: String, name: &'static str| wanted.push(Wanted { port, purpose, option: option(name) });
        for node in &self.nodes {
            let of = format!("of control-plane node {}", node.id);
            want(node.raft, format!("the peer port {of}"), "--port-base");
            want(node.watch, format!("the watch port {of}"), "--port-base");
            want(node.admin, format!("the admin API {of}"), "--port-base");
            want(node.ops, format!("the ops port {of}"), "--port-base");
        }
        for pod in &self.pods {
            want(pod.http, format!("the OAuth endpoints of pod {}", pod.id), "--http-port");
            want(pod.ops, format!("the ops port of pod {}", pod.id), "--pod-ops-port");
        }
        wanted
    }

    pub(crate) fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.nodes.first().map_or(0, |node| node.admin))
    }

    /// One for all pods: they stand for one issuer.
    pub(crate) fn public_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.pods.first().map_or(0, |pod| pod.http))
    }

    pub(crate) fn issuer(&self) -> String {
        format!("{}/t/{TENANT}", self.public_url())
    }
}

/// A command line under way.
struct Line(Vec<OsString>);

impl Line {
    fn flag(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.0.extend([name.into(), value.into()]);
        self
    }

    fn address(self, name: &str, port: u16) -> Self {
        self.flag(name, format!("127.0.0.1:{port}"))
    }
}

impl Node {
    pub(crate) fn name(&self) -> String {
        format!("node-{}", self.id)
    }

    pub(crate) fn process(&self, layout: &Layout, binaries: &Binaries, folder: &Folder) -> anyhow::Result<Process> {
        let data = folder.path().join(self.name());
        private_file::create_dir(&data)?;
        let mut line = Line(Vec::new())
            .flag("--node-id", self.id.to_string())
            .address("--raft-addr", self.raft)
            .address("--watch-addr", self.watch)
            .address("--admin-addr", self.admin)
            .address("--ops-addr", self.ops)
            .address("--advertise-addr", self.raft)
            .flag("--advertise-admin-url", format!("http://127.0.0.1:{}", self.admin))
            .flag("--data-dir", data)
            .flag("--secretbox-master-key-file", folder.secret_path("master-key"))
            .flag("--cluster-hmac-secret-file", folder.secret_path("cluster-hmac-secret"))
            .flag("--watch-token-file", folder.secret_path("watch-token"))
            .flag("--bootstrap-admin-credential-file", folder.secret_path("owner-credential"));
        if layout.nodes.len() > 1 {
            let peers: Vec<String> =
                layout.nodes.iter().map(|node| format!("{}=127.0.0.1:{}", node.id, node.raft)).collect();
            line = line.flag("--peers", peers.join(","));
        }
        Ok(Process::new(self.name(), &binaries.control_plane, line.0, binaries))
    }
}

impl Pod {
    pub(crate) fn name(&self) -> String {
        format!("pod-{}", self.id)
    }

    pub(crate) fn process(&self, layout: &Layout, binaries: &Binaries, folder: &Folder) -> anyhow::Result<Process> {
        let state = folder.path().join(self.name());
        private_file::create_dir(&state)?;
        let watch: Vec<String> = layout.nodes.iter().map(|node| format!("http://127.0.0.1:{}", node.watch)).collect();
        let line = Line(Vec::new())
            .address("--http-addr", self.http)
            .address("--ops-addr", self.ops)
            .flag("--control-plane", watch.join(","))
            .flag("--watch-token-file", folder.secret_path("watch-token"))
            .flag("--secretbox-master-key-file", folder.secret_path("master-key"))
            .flag("--state-dir", state)
            .flag("--default-tenant", TENANT)
            .flag("--public-url", layout.public_url())
            .flag("--pod-name", self.name());
        Ok(Process::new(self.name(), &binaries.data_plane, line.0, binaries))
    }
}
