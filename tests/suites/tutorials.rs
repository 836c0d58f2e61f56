//! The tutorials work: their shell commands, in their order, against the processes that `./hj dev` starts.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::pages::blocks;
use tests::process::{Launch, Process};
use tests::wait::until;
use tests::{programs, scratch, tools};

/// In this order: each goes on where the one before ended.
const PAGES: [&str; 4] = ["tutorial-first-tenant", "tutorial-apps", "how-to-rotate", "how-to-move-database"];
/// A first start makes a database cluster, on a machine that runs other tests, too.
const START: Duration = Duration::from_mins(2);

/// `hellojohn dev` at ports of its own.
async fn dev(data: &Path) -> Process {
    let args = ["dev", "--ephemeral", "--data"].into_iter().map(ToOwned::to_owned);
    let folder = data.parent().expect("a folder above");
    let launch = Launch {
        name: "hellojohn dev".to_owned(),
        program: programs::hellojohn(),
        args: args.chain([data.display().to_string()]).collect(),
        env: vec![("HOME".to_owned(), folder.display().to_string())],
        user: None,
        namespace: None,
        log: folder.join("dev.log"),
    };
    let mut process = launch.start();
    until("dev is ready", START, async || {
        process.assert_running();
        let log = process.log();
        if log.contains("Ready.") { Ok(()) } else { Err(log) }
    })
    .await;
    process
}

#[tokio::test]
async fn the_commands_of_the_tutorials_do_what_they_say() {
    let folder = scratch::folder("tutorials");
    let mut dev = dev(&folder.join("data")).await;
    let log = dev.log();
    let told = |label: &str| {
        let line = log.lines().find_map(|line| line.trim().strip_prefix(label));
        line.unwrap_or_else(|| panic!("no {label} in {log}")).trim().to_owned()
    };
    // What differs from the words of the page: where things listen and lie.
    let replaced = [("http://127.0.0.1:8080", told("Pod 1")), ("data/dev", folder.join("data").display().to_string())];
    let mut script = "set -euo pipefail\n".to_owned();
    for page in PAGES {
        let blocks = blocks(&format!("docs/{page}.md"), "sh");
        assert!(blocks.len() >= 3, "{page} has commands");
        for (number, block) in blocks.iter().enumerate().filter(|(_, block)| *block != "./hj dev") {
            let _ = write!(script, "echo '## {page}, block {number}'\n{block}\n");
        }
    }
    for (words, here) in &replaced {
        assert!(script.contains(words), "the pages do not say {words}");
        script = script.replace(words, here);
    }
    fs::write(folder.join("script.sh"), script).expect("a file");
    let mut bash = Command::new("bash");
    bash.args(["script.sh"]).current_dir(&folder).env_clear().env("HOME", &folder);
    bash.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = tools::run(&mut bash);
    let said = String::from_utf8_lossy(&output.stdout);
    for wanted in ["/t/acme/oauth2/authorize", "access_token", "ana@acme.example", "retiring", "\"token_type\""] {
        assert!(said.contains(wanted), "nothing said {wanted}: {said}");
    }
    dev.signal(Signal::SIGINT);
    assert_eq!(dev.ended(Duration::from_secs(30)).await.code(), Some(0));
}

/// Code that people paste is at least code.
#[test]
fn the_programs_of_the_tutorials_are_javascript() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blocks = blocks("docs/tutorial-apps.md", "js");
    assert_eq!(blocks.len(), 3);
    for (number, block) in blocks.iter().enumerate() {
        let file = folder.path().join(format!("{number}.mjs"));
        fs::write(&file, block).expect("a file");
        tools::run(Command::new("node").arg("--check").arg(&file));
    }
}
