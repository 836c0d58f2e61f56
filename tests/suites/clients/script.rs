//! A client that is a program of its own. On a line of its output it asks for a person (`{"authorize": URL}`,
//! `{"allow": URL}`) and gets a line back; its last line is `{"done": OUTCOME}`.

use std::process::Stdio;

use serde_json::Value;
use tests::browser::Browser;
use tests::tenant::User;
use tests::tools;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// One of the scripts for Node.js.
pub(super) fn node(script: &str, args: &[&str]) -> Command {
    let folder = tools::npm("tests/clients");
    let mut command = Command::new("node");
    // Debian 12's Node.js 18 has Web Crypto behind this flag; later ones have it anyway.
    command.arg("--experimental-global-webcrypto").arg(folder.join(script)).args(args);
    command
}

/// One of the scripts for Python.
pub(super) fn python(script: &str, args: &[&str]) -> Command {
    let packages = tools::python("tests/clients/python");
    let folder = packages.parent().expect("a folder above");
    let mut command = Command::new(folder.join("venv/bin/python"));
    command.arg(folder.join(script)).args(args).env("PYTHONPATH", &packages);
    command
}

/// Runs it to its end as the client of that user; its outcome. What it says of errors is seen above a failure.
pub(super) async fn run(mut command: Command, user: &User) -> Value {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = piped.spawn().expect("the interpreter is there: ./hj test installs it");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let mut outcome = None;
    while let Some(line) = lines.next_line().await.expect("readable") {
        let mut said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let url =
            |name: &str| said[name].as_str().map(|url| url.parse().unwrap_or_else(|error| panic!("{url}: {error}")));
        let reply = if let Some(url) = url("authorize") {
            Browser::new().authorize(&url, user).await.to_string()
        } else if let Some(url) = url("allow") {
            let browser = Browser::new();
            let form = browser.open_page(&url).await.expect_form();
            let page = browser.sign_in(&form, &user.email, &user.password).await;
            assert_eq!(browser.consent(&page.expect_form()).await.status, 200);
            "allowed".to_owned()
        } else {
            outcome = Some(said["done"].take());
            break;
        };
        stdin.write_all(format!("{reply}\n").as_bytes()).await.expect("the script reads");
    }
    drop(stdin);
    assert!(child.wait().await.expect("it ends").success(), "its errors are above");
    outcome.expect("a script says what came of it")
}
