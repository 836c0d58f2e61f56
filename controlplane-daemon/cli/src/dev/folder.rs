//! `--data DIR`: what `dev` keeps between two starts.
//!
//! ```text
//!   dev.json   lock   secrets/*   run/*.json (who runs)   logs/*.log   node-N/   pod-N/   postgres/
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::progress::Progress;
use super::{child, postgres};
use crate::{private_file, random};

#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held as long as this runs, so that two never share a folder.
    _lock: File,
    pub(crate) kept: Kept,
}

/// `dev.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    pub(crate) layout: Option<Layout>,
    pub(crate) postgres_port: Option<u16>,
}

type Make = fn() -> String;

/// The secrets, one file each, made once.
const SECRETS: &[(&str, Make)] = &[
    ("master-key", random::master_key),
    ("cluster-hmac-secret", random::token),
    ("watch-token", random::token),
    ("postgres-password", random::token),
    ("tenant-database-password", random::token),
    ("user-password", random::token),
    ("owner-credential", || format!("hja_{}_{}", random::uuid_hex(), random::token())),
];

impl Folder {
    pub(crate) async fn open(path: &Path, reset: bool, progress: &Progress) -> anyhow::Result<Self> {
        let fresh = fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
        let ours = path.join("dev.json").is_file() || path.join("lock").is_file();
        if !fresh && !ours {
            bail!("{} holds something else; give another directory with --data", path.display());
        }
        // PostgreSQL's user must get to its data; everything else inside is closed.
        private_file::create_dir_to_pass(path)?;
        let path = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .with_context(|| format!("cannot write into {}", path.display()))?;
        if lock.try_lock().is_err() {
            bail!(
                "another `hellojohn dev` runs with {}; stop it, or give another directory with --data",
                path.display()
            );
        }
        child::sweep(&path.join("run"), progress).await?;
        if reset {
            progress.step("Deleting what was there");
            wipe(&path)?;
        }
        for part in ["secrets", "run", "logs"] {
            private_file::create_dir(&path.join(part))?;
        }
        let mut folder = Self { path, _lock: lock, kept: Kept::default() };
        for (name, make) in SECRETS {
            if !folder.secret_path(name).exists() {
                folder.keep_secret(name, &make())?;
            }
        }
        if let Ok(text) = fs::read_to_string(folder.path.join("dev.json")) {
            let wrong = || format!("{}/dev.json is not readable; start afresh with --reset", folder.path.display());
            folder.kept = serde_json::from_str(&text).with_context(wrong)?;
        }
        folder.save()?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    pub(crate) fn secret_path(&self, name: &str) -> PathBuf {
        self.path.join("secrets").join(name)
    }

    pub(crate) fn secret(&self, name: &str) -> anyhow::Result<String> {
        private_file::read(&self.secret_path(name))
    }

    pub(crate) fn keep_secret(&self, name: &str, value: &str) -> anyhow::Result<()> {
        private_file::write(&self.secret_path(name), value)
    }

    pub(crate) fn keep_layout(&mut self, layout: &Layout) -> anyhow::Result<()> {
        self.kept.layout = Some(layout.clone());
        self.save()
    }

    pub(crate) fn save(&self) -> anyhow::Result<()> {
        private_file::write(&self.path.join("dev.json"), &serde_json::to_string_pretty(&self.kept)?)
    }
}

/// Everything but the lock, which is held.
fn wipe(path: &Path) -> anyhow::Result<()> {
    postgres::remove_data_elsewhere(path)?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() == "lock" {
            continue;
        }
        let path = entry.path();
        let removed = if entry.file_type()?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot delete {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn secrets_are_kept_until_reset_and_a_folder_is_used_once_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dev");
        let progress = Progress::new();
        let first = Folder::open(&path, false, &progress).await.unwrap();
        let key = first.secret("master-key").unwrap();
        assert!(Folder::open(&path, false, &progress).await.unwrap_err().to_string().contains("another"));
        drop(first);
        let second = Folder::open(&path, false, &progress).await.unwrap();
        assert_eq!(second.secret("master-key").unwrap(), key);
        drop(second);
        let third = Folder::open(&path, true, &progress).await.unwrap();
        assert_ne!(third.secret("master-key").unwrap(), key);
    }

    #[tokio::test]
    async fn a_folder_that_holds_something_else_is_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "x").unwrap();
        assert!(Folder::open(dir.path(), true, &Progress::new()).await.is_err());
        assert!(dir.path().join("thesis.tex").exists());
    }
}
