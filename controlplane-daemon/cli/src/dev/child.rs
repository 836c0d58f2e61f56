//! One child process: started apart from the terminal's signals, recorded so that a later start can find it.
//!
//! A child dies with this process even when that is killed: `setpriv --pdeathsig` asks the kernel for it. Where there
//! is no `setpriv`, the next start sweeps what is left.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::binaries::Binaries;
use super::progress::Progress;
use crate::private_file;

/// How long an ordered stop may take before the child is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// What to start.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    setpriv: Option<PathBuf>,
    user: Option<(u32, u32)>,
    directory: Option<PathBuf>,
    /// The signal of an ordered stop.
    stop_signal: Signal,
}

impl Process {
    pub(crate) fn new(name: String, program: &Path, arguments: Vec<OsString>, binaries: &Binaries) -> Self {
        Self {
            name,
            program: program.to_owned(),
            arguments,
            setpriv: binaries.setpriv.clone(),
            user: None,
            directory: None,
            stop_signal: Signal::SIGTERM,
        }
    }

    pub(crate) fn stopped_by(self, stop_signal: Signal) -> Self {
        Self { stop_signal, ..self }
    }

    /// As this user and group, in a directory it may enter.
    pub(crate) fn owned_by(self, user: Option<(u32, u32)>, directory: PathBuf) -> Self {
        Self { user, directory: Some(directory), ..self }
    }

    fn command(&self) -> Command {
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                let signal = self.stop_signal.as_str().trim_start_matches("SIG");
                command.args(["--pdeathsig", signal, "--"]).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.args(&self.arguments);
        // What is in the operator's environment is not meant for the children: `HJ_PORT_BASE`, `PGDATA`, `NODE_ID` …
        command.env_clear();
        for name in ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "RUST_LOG", "RUST_BACKTRACE", "TMPDIR", "LD_LIBRARY_PATH"]
        {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        // The files are for people, too.
        command.env("HJ_LOG_FORMAT", "human");
        // An own group: Ctrl-C on the terminal is for us; we stop the children in their order.
        command.process_group(0);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) name: String,
    child: Child,
    pid: Pid,
    stop_signal: Signal,
    log: PathBuf,
    record: PathBuf,
}

/// `run/NAME.json`: enough to know the process again, also after its number was given to another.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    pid: i32,
    start_ticks: u64,
    boot_id: String,
    stop_signal: String,
}

impl Running {
    pub(crate) fn spawn(process: &Process, logs: &Path, run: &Path) -> anyhow::Result<Self> {
        let log = logs.join(format!("{}.log", process.name));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = process.command();
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", process.program.display()))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).context("the child ended at once")?;
        let record = run.join(format!("{}.json", process.name));
        if let Some((start_ticks, boot_id)) = start_ticks(pid).zip(boot_id()) {
            let stop_signal = process.stop_signal.as_str().to_owned();
            let text = serde_json::to_string(&Record { pid, start_ticks, boot_id, stop_signal })?;
            if let Err(error) = private_file::write(&record, &text) {
                // It could not be found again: better not to have it.
                let _ = child.start_kill();
                return Err(error);
            }
        }
        let (name, stop_signal) = (process.name.clone(), process.stop_signal);
        Ok(Self { name, child, pid: Pid::from_raw(pid), stop_signal, log, record })
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What to say when it ended by itself.
    pub(crate) fn obituary(&self, status: ExitStatus) -> String {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown reason".to_owned(),
        };
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default();
        format!("{} ended with {how}. The end of {}:\n  | {}", self.name, self.log.display(), last.join("\n  | "))
    }

    /// Ordered and bounded: its signal, then, after a while, SIGKILL.
    pub(crate) async fn stop(&mut self) {
        if self.has_ended().is_none() {
            let _ = kill(self.pid, self.stop_signal);
            if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
                self.kill().await;
            }
        }
        let _ = std::fs::remove_file(&self.record);
    }

    pub(crate) async fn kill(&mut self) {
        let _ = self.child.kill().await;
        let _ = std::fs::remove_file(&self.record);
    }
}

/// Ends the children of a start that was killed before it could end them.
pub(crate) async fn sweep(run: &Path, progress: &Progress) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(run).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension() != Some(OsStr::new("json")) {
            continue;
        }
        let record = std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Record>(&text).ok());
        if let Some(record) = record
            && record.runs()
        {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            progress.step(&format!("Ending {name} (process {}), left over from a start that was killed", record.pid));
            record.end().await.with_context(|| format!("cannot end {name}, process {}", record.pid))?;
        }
        std::fs::remove_file(&path).with_context(|| format!("cannot delete {}", path.display()))?;
    }
    Ok(())
}

impl Record {
    /// Number, start time and boot together belong to one process only.
    fn runs(&self) -> bool {
        boot_id().as_deref() == Some(&self.boot_id) && start_ticks(self.pid) == Some(self.start_ticks)
    }

    async fn end(&self) -> anyhow::Result<()> {
        let signal: Signal = self.stop_signal.parse().unwrap_or(Signal::SIGTERM);
        for signal in [signal, Signal::SIGKILL] {
            let _ = kill(Pid::from_raw(self.pid), signal);
            let deadline = Instant::now() + STOP_TIMEOUT;
            while self.runs() && Instant::now() < deadline {
                sleep(Duration::from_millis(20)).await;
            }
            if !self.runs() {
                return Ok(());
            }
        }
        anyhow::bail!("it does not end")
    }
}

/// Field 22 of /proc/PID/stat; the name in field 2 may hold anything, so counting begins behind it. A zombie has ended.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn boot_id() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}
