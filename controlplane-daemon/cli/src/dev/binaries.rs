//! Where the programs are: ours beside this one, PostgreSQL's in the usual places.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) control_plane: PathBuf,
    pub(crate) data_plane: PathBuf,
    pub(crate) initdb: PathBuf,
    pub(crate) postgres: PathBuf,
    /// `setpriv` when it can make a child die with its parent, also when that is killed.
    pub(crate) setpriv: Option<PathBuf>,
}

impl Binaries {
    pub(crate) fn find(postgres_bin: Option<&Path>) -> anyhow::Result<Self> {
        let this = std::env::current_exe().context("cannot tell where this program is")?;
        let ours = |name: &str| {
            let path = this.with_file_name(name);
            if path.is_file() {
                return Ok(path);
            }
            bail!("{} is missing; build it with `cargo build --workspace --bins`", path.display())
        };
        let (initdb, postgres) = postgres_programs(postgres_bin)?;
        Ok(Self {
            control_plane: ours("controlplane-daemon")?,
            data_plane: ours("dataplane-service")?,
            initdb,
            postgres,
            setpriv: setpriv(),
        })
    }
}

fn postgres_programs(given: Option<&Path>) -> anyhow::Result<(PathBuf, PathBuf)> {
    let pair = |directory: &Path| {
        let (initdb, postgres) = (directory.join("initdb"), directory.join("postgres"));
        (initdb.is_file() && postgres.is_file()).then_some((initdb, postgres))
    };
    if let Some(given) = given {
        return pair(given).with_context(|| format!("{} does not hold initdb and postgres", given.display()));
    }
    path_directories()
        .chain(versioned("/usr/lib/postgresql", "", "bin"))
        .chain(versioned("/opt/homebrew/opt", "postgresql@", "bin"))
        .chain(versioned("/usr/local/opt", "postgresql@", "bin"))
        .find_map(|directory| pair(&directory))
        .context(
            "PostgreSQL's programs initdb and postgres were not found: install PostgreSQL 15 or newer \
             (Debian: apt-get install postgresql) or give --postgres-bin DIR",
        )
}

fn path_directories() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

/// `{parent}/{prefix}{version}/{leaf}`, the newest version first.
fn versioned(parent: &str, prefix: &str, leaf: &str) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join(leaf)))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path)
}

fn setpriv() -> Option<PathBuf> {
    let path = path_directories().map(|directory| directory.join("setpriv")).find(|path| path.is_file())?;
    let help = std::process::Command::new(&path).arg("--help").output().ok()?;
    String::from_utf8_lossy(&help.stdout).contains("--pdeathsig").then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        for version in ["9", "15", "x", "17"] {
            std::fs::create_dir(dir.path().join(version)).unwrap();
        }
        let found: Vec<PathBuf> = versioned(dir.path().to_str().unwrap(), "", "bin").collect();
        let want: Vec<PathBuf> = ["17", "15", "9"].iter().map(|v| dir.path().join(v).join("bin")).collect();
        assert_eq!(found, want);
    }
}
