//! A private PostgreSQL: its own data, a free loopback port, a password.
//!
//! PostgreSQL refuses to run as root, so root starts it as `postgres` or `nobody`. That user may be unable to reach
//! `--data` (below /root, say); then its data lives in /var/tmp under a name made of DIR's path.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use tokio::process::Command;
use tokio_postgres::{Client, Config, NoTls};
use vocab::SecretDigest;

use super::binaries::Binaries;
use super::child::Process;
use super::folder::Folder;
use super::ports;
use super::progress::Progress;
use super::supervisor::Supervisor;
use crate::failure::Failure;
use crate::private_file;

/// The superuser of the private server.
pub(crate) const SUPERUSER: &str = "hellojohn";
/// Role and database of the demo tenant.
const TENANT_DATABASE: &str = "tenant_local";

#[derive(Debug)]
pub(crate) struct Postgres {
    port: u16,
    password: String,
}

impl Postgres {
    pub(crate) async fn start(
        binaries: &Binaries,
        folder: &mut Folder,
        supervisor: &mut Supervisor,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let user = server_user()?;
        let data = data_directory(folder.path(), user, progress).await?;
        if !data.join("PG_VERSION").exists() {
            progress.step("Creating the PostgreSQL data directory");
            init(binaries, folder, &data, user).await?;
        }
        let port = free_port(folder.kept.postgres_port)?;
        folder.kept.postgres_port = Some(port);
        folder.save()?;
        let line = ["-D", &data.to_string_lossy(), "-p", &port.to_string()]
            .into_iter()
            .chain(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=250"])
            .map(Into::into)
            .collect();
        // SIGINT is PostgreSQL's fast shutdown: sessions are ended, data is safe.
        let process = Process::new("postgres".to_owned(), &binaries.postgres, line, binaries);
        supervisor.spawn(&process.owned_by(user, data).stopped_by(Signal::SIGINT))?;
        let postgres = Self { port, password: folder.secret("postgres-password")? };
        supervisor
            .wait_until("postgres", async || postgres.connect().await.map(drop).map_err(|error| error.to_string()))
            .await?;
        Ok(postgres)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Makes the tenant's role and database if they are not there; gives the DSN.
    pub(crate) async fn tenant_database(&self, folder: &Folder) -> anyhow::Result<String> {
        let password = folder.secret("tenant-database-password")?;
        let client = self.connect().await.context("cannot connect to PostgreSQL")?;
        let name = TENANT_DATABASE;
        // The password is base64url: it needs no quoting, and DDL takes no parameters.
        if client.query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&name]).await?.is_none() {
            client.batch_execute(&format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'")).await?;
        }
        if client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await?.is_none() {
            client.batch_execute(&format!("CREATE DATABASE {name} OWNER {name}")).await?;
        }
        Ok(format!("postgres://{name}:{password}@127.0.0.1:{}/{name}", self.port))
    }

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(SUPERUSER).password(&self.password).dbname("postgres");
        let (client, connection) = config.connect_timeout(Duration::from_secs(5)).connect(NoTls).await?;
        // Ends by itself when the client is dropped.
        tokio::spawn(connection);
        Ok(client)
    }
}

/// Who runs the server, when that is not ourselves.
fn server_user() -> anyhow::Result<Option<(u32, u32)>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some((user.uid.as_raw(), user.gid.as_raw())));
        }
    }
    bail!("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}

/// `DIR/postgres`, or a place that the server's user can reach.
async fn data_directory(folder: &Path, user: Option<(u32, u32)>, progress: &Progress) -> anyhow::Result<PathBuf> {
    let Some((uid, gid)) = user else {
        let data = folder.join("postgres");
        private_file::create_dir(&data)?;
        return Ok(data);
    };
    let elsewhere = elsewhere(folder);
    if !elsewhere.exists() && reachable(folder, uid, gid).await {
        let data = folder.join("postgres");
        private_file::create_dir(&data)?;
        chown(&data, Some(uid), Some(gid))?;
        return Ok(data);
    }
    if !elsewhere.exists() {
        fs::DirBuilder::new().mode(0o700).create(&elsewhere)?;
        chown(&elsewhere, Some(uid), Some(gid))?;
    }
    // Anyone can make names in /var/tmp: it must be a directory, not a link, and its owner the one it was given to.
    let found = fs::symlink_metadata(&elsewhere)?;
    if !found.is_dir() || found.uid() != uid {
        bail!("{} is there already and is not ours; delete it or give another --data", elsewhere.display());
    }
    progress.note(&format!(
        "PostgreSQL cannot run as root, and its user cannot reach {}: its data is in {}",
        folder.display(),
        elsewhere.display()
    ));
    Ok(elsewhere)
}

/// Asked of the system itself: permissions of every directory above, ACLs and mounts all count.
async fn reachable(folder: &Path, uid: u32, gid: u32) -> bool {
    let mut probe = Command::new("/bin/sh");
    probe.args(["-c", "cd -- \"$1\"", "sh"]).arg(folder).uid(uid).gid(gid).current_dir("/");
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().await.is_ok_and(|status| status.success())
}

fn elsewhere(folder: &Path) -> PathBuf {
    let digest = SecretDigest::of(folder.as_os_str().as_encoded_bytes());
    let name = digest.as_bytes().iter().take(8).fold(0_u64, |name, byte| (name << 8) | u64::from(*byte));
    Path::new("/var/tmp").join(format!("hellojohn-dev-{name:016x}"))
}

/// For `--reset`.
pub(crate) fn remove_data_elsewhere(folder: &Path) -> anyhow::Result<()> {
    let path = elsewhere(folder);
    if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
        fs::remove_dir_all(&path).with_context(|| format!("cannot delete {}", path.display()))?;
    }
    Ok(())
}

async fn init(binaries: &Binaries, folder: &Folder, data: &Path, user: Option<(u32, u32)>) -> anyhow::Result<()> {
    // What a broken initdb left would stop the next one.
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    // The server's user must read it and cannot reach our secrets, and initdb wants an empty directory.
    let password = std::env::temp_dir().join(format!("hellojohn-{}", crate::random::uuid_hex()));
    private_file::write(&password, &folder.secret("postgres-password")?)?;
    if let Some((uid, gid)) = user {
        chown(&password, Some(uid), Some(gid))?;
    }
    let mut command = Command::new(&binaries.initdb);
    command.arg("-D").arg(data).args(["-U", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]);
    command.arg("--pwfile").arg(&password).stdin(Stdio::null()).current_dir(data).kill_on_drop(true);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    let output = command.output().await;
    let _ = fs::remove_file(&password);
    let output = output.with_context(|| format!("cannot run {}", binaries.initdb.display()))?;
    if !output.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The port of last time if it is free: tenants' DSNs name it.
fn free_port(last: Option<u16>) -> anyhow::Result<u16> {
    match last.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
        Some(port) => Ok(port),
        None => Ok(ports::free().context("for PostgreSQL")?.1),
    }
}
