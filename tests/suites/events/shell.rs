//! `hellojohn events` and `hellojohn audit`, as somebody at a shell uses them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::operator::Cli;
use tests::wait::{PATIENCE, until};

use super::rename;

/// A command that goes on, and what it prints.
pub(super) struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    pub(super) fn start(cli: &Cli, args: &[&str]) -> Self {
        let mut child = cli.command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The next line whose `member` is `value`.
    pub(super) fn line(&self, member: &str, value: u64) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("a line comes");
            let document: Value = serde_json::from_str(&line).expect("a JSON line");
            if document[member].as_u64() == Some(value) {
                return document;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_follows_what_happens_also_through_a_restart() {
    let admin_port = tests::postgres::free_port();
    let mut cluster = Cluster::prepare(1, &[]);
    // A shell finds the node again after its restart.
    cluster.nodes[0].launch_mut().set("--admin-addr", &format!("127.0.0.1:{admin_port}"));
    cluster.start_all().await;
    cluster.ready().await;
    let owner = cluster.admin(0).await;
    let cli = Cli::new(&cluster);
    let _ = owner.create_tenant("acme", json!({})).await;
    let start = rename(&owner, "acme", "Acme 0").await;
    let first = rename(&owner, "acme", "Acme 1").await;
    let events = Running::start(&cli, &["events", "--since", &start.to_string()]);
    let records = Running::start(&cli, &["audit", "logs", "--follow", "--resource", "tenants/acme"]);
    assert_eq!(events.line("revision", first)["action"], "tenant.update");
    assert_eq!(records.line("revision", first)["changes"][0]["fields"][0]["after"], "Acme 1");

    assert_eq!(cluster.nodes[0].stop(PATIENCE).await, Some(0));
    cluster.nodes[0].start().await;
    cluster.nodes[0].ready().await;
    let owner = cluster.admin(0).await;
    let second = rename(&owner, "acme", "Acme 2").await;
    assert_eq!(events.line("revision", second)["changes"][0]["fields"][0]["after"], "Acme 2");
    assert_eq!(records.line("revision", second)["action"], "tenant.update");

    let found = cli.json(&["audit", "logs", "--action", "tenant.*", "--tenant", "acme"]);
    let actions: Vec<&str> = found.as_array().expect("a list").iter().filter_map(|it| it["action"].as_str()).collect();
    assert_eq!(actions, ["tenant.create", "tenant.update", "tenant.update", "tenant.update"]);
    let table = cli.text(&["audit", "logs", "--action", "tenant.create"]);
    assert!(table.contains("ACTION") && table.contains("tenants/acme"), "{table}");
    assert_eq!(cli.json(&["audit", "logs", "--actor", "nobody"]), json!([]));
    cli.fails(&["audit", "logs", "--since", "yesterday"], Some(2));
    let report = cli.json(&["audit", "verify"]);
    assert_eq!((&report["valid"], &report["first_seq"]), (&true.into(), &1.into()), "{report:#}");

    // Who may not is told so, and the stream of one whose credential goes ends.
    let credential = owner.create_admin("looker", json!("operator")).await;
    let theirs = Cli::at(&cluster.nodes[0].admin_url(), &credential);
    theirs.fails(&["audit", "logs"], Some(5));
    let mut following = Running::start(&theirs, &["events"]);
    until("it listens", PATIENCE, async || {
        rename(&owner, "acme", "Acme 3").await;
        following.lines.try_recv().map_err(|why| why.to_string())
    })
    .await;
    let id = credential.split('_').nth(1).expect("hja_<id>_<secret>");
    let _ = owner.delete(&format!("/admins/{id}")).await.expect(204);
    rename(&owner, "acme", "Acme 4").await;
    until("it ends", PATIENCE, async || match following.child.try_wait() {
        Ok(Some(status)) if status.code() == Some(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
