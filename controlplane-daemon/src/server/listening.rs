//! Where the node listens: four ports, bound before anything is started.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::ServerError;
use crate::settings::Settings;

pub(super) struct Bound {
    pub(super) raft: TcpListener,
    pub(super) watch: TcpListener,
    pub(super) admin: TcpListener,
    pub(super) ops: TcpListener,
}

impl Bound {
    pub(super) fn of(settings: &Settings) -> Result<Self, ServerError> {
        Ok(Self {
            raft: bind("raft-addr", settings.raft_addr)?,
            watch: bind("watch-addr", settings.watch_addr)?,
            admin: bind("admin-addr", settings.admin_addr)?,
            ops: bind("ops-addr", settings.ops_addr)?,
        })
    }

    pub(super) fn addresses(&self) -> Result<Listening, ServerError> {
        Ok(Listening {
            raft: local(&self.raft)?,
            watch: local(&self.watch)?,
            admin: local(&self.admin)?,
            ops: local(&self.ops)?,
        })
    }
}

/// The addresses that were bound; with port 0 only the system knew them before.
pub(super) struct Listening {
    pub(super) raft: SocketAddr,
    pub(super) watch: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) ops: SocketAddr,
}

impl Listening {
    /// Whole or not at all: who waits for the file never reads half of it.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let document = json!({
            "raft": reachable(self.raft),
            "watch": reachable(self.watch),
            "admin": reachable(self.admin),
            "ops": reachable(self.ops),
        });
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let mut file = std::fs::File::create(&temporary)?;
        writeln!(file, "{document}")?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    }
}

fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, ServerError> {
    let listener = TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listener.map_err(|source| ServerError::Bind { setting, address, source })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, ServerError> {
    listener.local_addr().map_err(|source| ServerError::Io { what: "a listener", source })
}

/// As this machine reaches it: the unspecified address is no destination.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

pub(super) fn hint(address: SocketAddr, error: &io::Error, setting: &str) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        format!("port {} is in use by another process; choose another with --{setting}", address.port())
    } else {
        error.to_string()
    }
}
