//! A child process: started so that it cannot outlive the tests, its output kept, signalled as an operator would.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;

use crate::wait::{PATIENCE, START, until};

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Another user and group to run as; only root can.
    pub user: Option<(u32, u32)>,
    /// The network namespace to run in, see [`crate::network`]; only root can.
    pub namespace: Option<String>,
    /// Where standard output and error go, appended.
    pub log: PathBuf,
}

#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// A process that came to its end by itself.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub output: String,
}

impl Launch {
    /// Changes the value of a flag that it has.
    #[track_caller]
    pub fn set(&mut self, flag: &str, value: &str) {
        let place = self.args.iter().position(|arg| arg == flag).and_then(|place| self.args.get_mut(place + 1));
        value.clone_into(place.unwrap_or_else(|| panic!("{} has no {flag}", self.name)));
    }

    /// Makes it look names up where this `resolv.conf` says instead of the machine's; only root can.
    pub fn resolve_by(&mut self, file: &Path) {
        let mounted = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        let program = std::mem::replace(&mut self.program, PathBuf::from("unshare"));
        let words = [file, &program].map(|path| path.display().to_string());
        let before = ["--mount", "sh", "-c", mounted].map(ToOwned::to_owned).into_iter().chain(words);
        self.args.splice(..0, before);
    }

    pub fn start(&self) -> Process {
        let log = File::options().create(true).append(true).open(&self.log).expect("the log file can be opened");
        let mut command = self.command();
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file handle can be copied")).stderr(log);
        let child = spawn(command).unwrap_or_else(|error| panic!("{} does not start: {error}", self.program.display()));
        Process { name: self.name.clone(), child, log: self.log.clone() }
    }

    /// Starts it and waits for its end.
    pub async fn run(&self, within: Duration) -> Finished {
        let mut process = self.start();
        let status = process.ended(within).await;
        Finished { code: status.code(), output: process.log() }
    }

    /// `setpriv` lets the kernel kill the child when the thread that started it ends, see [`spawn`].
    fn command(&self) -> Command {
        let mut words: Vec<String> = Vec::new();
        if let Some(namespace) = &self.namespace {
            words.extend(["ip", "netns", "exec", namespace].map(ToOwned::to_owned));
        }
        if self.user.is_some() || setpriv() {
            words.push("setpriv".to_owned());
            if let Some((user, group)) = &self.user {
                words.extend([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]);
            }
            words.extend(["--pdeathsig", "KILL", "--"].map(ToOwned::to_owned));
        }
        words.push(self.program.display().to_string());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().expect("the program is one of the words"));
        command.args(words).args(&self.args).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // Lines as people read them; what asks for JSON says so.
        command
            .env("NO_COLOR", "1")
            .env("HJ_LOG_FORMAT", "human")
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        // A process group of its own: Ctrl-C at the terminal goes to the test runner only.
        command.process_group(0);
        command
    }
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Returns once nothing of it runs any more. A signal alone does not say so: until one of its threads gets to handle
    /// it, which on a busy machine takes a while, the others go on.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        let deadline = Instant::now() + PATIENCE;
        while !self.is_stopped() {
            assert!(Instant::now() < deadline, "{} does not stop", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("it has threads");
        let states = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
        // proc_pid_stat(5): the state follows the name, which is in parentheses and may hold any character.
        states.into_iter().all(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
    }

    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Asks it to stop in order.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process ids are small");
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid), signal);
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let name = self.name.clone();
        until(&format!("{name} ends"), within, async || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        })
        .await
    }

    /// What it wrote to its `--addresses-file` once every listener was bound.
    pub async fn addresses<T: DeserializeOwned>(&mut self, file: &Path) -> T {
        let what = format!("{} binds its listeners and writes {}", self.name, file.display());
        until(&what, START, async || {
            self.assert_running();
            let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
            serde_json::from_str(&text).map_err(|error| error.to_string())
        })
        .await
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The end of the log, for a failing test's output.
    #[expect(clippy::print_stderr, reason = "the test runner keeps it for a test that fails")]
    pub fn show_log(&self) {
        const LINES: usize = 60;
        const WIDTH: usize = 400;
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
        eprintln!("──── {} ({}), last {} of {} lines", self.name, self.log.display(), tail.len(), lines.len());
        for line in tail {
            let line: String = line.chars().take(WIDTH).collect();
            eprintln!("{line}");
        }
    }

    /// Panics with its log when it has ended.
    #[track_caller]
    pub fn assert_running(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            self.show_log();
            panic!("{} has ended: code {:?}, signal {:?}", self.name, status.code(), status.signal());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.show_log();
        }
    }
}

fn setpriv() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_ok())
}

/// Starts it from a thread that lives as long as this process: the kernel's parent-death signal goes by thread, and the
/// thread of one test ends long before what it started for all.
fn spawn(command: Command) -> std::io::Result<Child> {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        let start = move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        };
        std::thread::Builder::new().name("spawner".to_owned()).spawn(start).expect("a thread can be started");
        sender
    });
    let (answer, result) = mpsc::channel();
    orders.send((command, answer)).expect("the spawner lives as long as the process");
    result.recv().expect("the spawner answers every order")
}
