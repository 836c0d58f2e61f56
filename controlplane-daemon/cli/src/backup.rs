//! `hellojohn export`, `import` and `cluster snapshot`: files that hold everything, and back.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::api::Api;
use crate::failure::Failure;
use crate::output::say;

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Where to write it; readable by you alone
    file: PathBuf,
}

/// What becomes of what is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Refuse what is there and different
    #[default]
    Add,
    /// Put the file's in its place
    Merge,
    /// Remove all that is not in the file, too
    Replace,
}

impl Mode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Merge => "merge",
            Self::Replace => "replace",
        }
    }
}

pub(crate) async fn export(api: &Api, args: ExportArgs) -> Result<(), Failure> {
    download(api, &["export"], &args.file).await
}

pub(crate) async fn snapshot(api: &Api, file: &Path) -> Result<(), Failure> {
    download(api, &["cluster", "snapshot"], file).await
}

/// All or nothing: a file of that name is there only when it came whole.
async fn download(api: &Api, path: &[&str], file: &Path) -> Result<(), Failure> {
    let temporary = file.with_extension(format!("{}.part", std::process::id()));
    let written = api.download(path, &temporary).await;
    let placed = match written {
        Ok(()) => std::fs::rename(&temporary, file).with_context(|| format!("cannot write {}", file.display())),
        Err(failure) => {
            let _ = std::fs::remove_file(&temporary);
            return Err(failure);
        }
    };
    placed?;
    if api.output.is_table() {
        say(file.display())?;
    }
    Ok(())
}

pub(crate) async fn import(api: &Api, file: &Path, mode: Mode, dry_run: bool) -> Result<(), Failure> {
    let bytes = std::fs::read(file).map_err(|why| Failure::Usage(format!("cannot read {}: {why}", file.display())))?;
    let query = [("mode".to_owned(), mode.as_str().to_owned()), ("dry_run".to_owned(), dry_run.to_string())];
    let answer = api.upload(&["import"], &query, bytes).await?;
    api.output.answer(&answer, "imported")
}

/// `hellojohn cluster recover` works on files, not on the API: it becomes the daemon's own subcommand, with its settings.
pub(crate) fn recover(args: &[std::ffi::OsString]) -> Failure {
    use std::os::unix::process::CommandExt as _;
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("controlplane-daemon"));
    let program = beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("controlplane-daemon"));
    let failed = std::process::Command::new(&program).arg("recover").args(args).exec();
    anyhow::anyhow!("{} does not start: {failed}", program.display()).into()
}
