//! `hellojohn dev` as somebody who tries it for the first time, or the tenth, uses it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::postgres::free_port;
use tests::process::{Launch, Process};
use tests::wait::until;
use tests::{programs, scratch, web};

/// A first start makes a database cluster and generates keys on a machine that runs other tests, too.
const START: Duration = Duration::from_mins(2);

struct Dev {
    process: Process,
}

impl Dev {
    fn launch(data: &Path, flags: &[&str]) -> Launch {
        let mut args = vec!["dev".to_owned(), "--data".to_owned(), data.display().to_string()];
        args.extend(flags.iter().map(ToString::to_string));
        let folder = scratch::folder("dev-log");
        let home = folder.display().to_string();
        Launch {
            name: "hellojohn dev".to_owned(),
            program: programs::hellojohn(),
            args,
            env: vec![("HOME".to_owned(), home)],
            user: None,
            namespace: None,
            log: folder.join("log"),
        }
    }

    /// Starts it and waits until it says that it is ready.
    async fn start(data: &Path, flags: &[&str]) -> Self {
        let mut process = Self::launch(data, flags).start();
        until("dev is ready", START, async || {
            process.assert_running();
            let log = process.log();
            if log.contains("Ready.") { Ok(()) } else { Err(log) }
        })
        .await;
        Self { process }
    }

    /// The line that the summary tells one to paste.
    fn curl(&self) -> String {
        let log = self.process.log();
        let line = log.lines().map(str::trim).find(|line| line.starts_with("curl "));
        line.expect("the summary has a curl line").to_owned()
    }

    /// What stands behind that label in the summary.
    fn line(&self, label: &str) -> String {
        let log = self.process.log();
        let found = log.lines().find_map(|line| line.trim().strip_prefix(label));
        found.unwrap_or_else(|| panic!("no {label} in {log}")).trim().to_owned()
    }

    /// Ctrl-C.
    async fn interrupt(mut self) -> Option<i32> {
        self.process.signal(Signal::SIGINT);
        self.process.ended(Duration::from_secs(30)).await.code()
    }
}

/// Runs the pasted line as a shell would, and gives the token it returns.
fn token_by(curl: &str) -> String {
    let words: Vec<&str> = curl.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().expect("curl is installed");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the answer is JSON");
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Processes whose command line names that folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let needle = folder.display().to_string();
    let command_line = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).ok();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(command_line);
    all.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " ")).filter(|line| line.contains(&needle)).collect()
}

#[tokio::test]
async fn it_starts_gives_a_token_stops_without_a_trace_and_starts_again_with_the_same_data() {
    let data: PathBuf = scratch::folder("dev").join("data");
    let dev = Dev::start(&data, &["--ephemeral", "--nodes", "3", "--pods", "2"]).await;
    let first = token_by(&dev.curl());
    assert_eq!(first.split('.').count(), 3, "a JWT: {first}");
    let discovery = web::send(web::client().get(dev.line("Discovery"))).await.expect(200);
    assert_eq!(discovery.json["issuer"], dev.line("Issuer").as_str());
    let remembered = [dev.curl(), dev.line("Owner credential"), dev.line("Demo user")];
    assert_eq!(dev.interrupt().await, Some(0));
    assert_eq!(processes_of(&data), Vec::<String>::new(), "no process is left");

    let dev = Dev::start(&data, &["--ephemeral", "--nodes", "3", "--pods", "2"]).await;
    assert_eq!([dev.curl(), dev.line("Owner credential"), dev.line("Demo user")], remembered);
    let _ = token_by(&dev.curl());
    assert_eq!(dev.interrupt().await, Some(0));

    let dev = Dev::start(&data, &["--ephemeral", "--reset"]).await;
    assert_ne!(dev.line("Owner credential"), remembered[1], "a fresh start has fresh secrets");
    let _ = token_by(&dev.curl());
    assert_eq!(dev.interrupt().await, Some(0));
    assert_eq!(processes_of(&data), Vec::<String>::new(), "no process is left");
}

#[tokio::test]
async fn what_a_killed_one_left_behind_is_swept_at_the_next_start() {
    let data = scratch::folder("dev").join("data");
    let mut dev = Dev::start(&data, &["--ephemeral"]).await;
    dev.process.kill();
    let dev = Dev::start(&data, &["--ephemeral"]).await;
    let _ = token_by(&dev.curl());
    assert_eq!(dev.interrupt().await, Some(0));
    assert_eq!(processes_of(&data), Vec::<String>::new(), "no process is left");
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_owner_and_the_way_out() {
    let data = scratch::folder("dev").join("data");
    let port = free_port();
    let _taken = TcpListener::bind(("127.0.0.1", port)).expect("it was free a moment ago");
    let port = port.to_string();
    let finished = Dev::launch(&data, &["--port-base", &port]).run(START).await;
    assert_ne!(finished.code, Some(0), "{}", finished.output);
    for part in [&port, "--port-base", &std::process::id().to_string()] {
        assert!(finished.output.contains(part), "{part} in {}", finished.output);
    }
    assert!(!data.join("postgres").exists(), "nothing was started");
}
