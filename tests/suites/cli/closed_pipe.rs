//! Whoever reads may have read enough, as `head` has: a command is what it is without him, and one without an end ends.
//! Of `hellojohn`, and of what else is run at a shell.

use std::fs;
use std::io::PipeWriter;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tests::operator::Cli;
use tests::programs;
use tests::scratch;
use tests::tenant::unique;
use tests::wait::{PATIENCE, until};
use tests::world;

/// The end of a pipe whose other end nobody has any more.
fn unread() -> PipeWriter {
    std::io::pipe().expect("a pipe can be made").1
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("it runs")
}

/// Not left behind by a test that fails.
struct Endless(Child);

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As with a reader; where only the answer is not read, standard error complains of nothing but what it would anyway.
#[track_caller]
fn ends(command: impl Fn() -> Command, code: i32) {
    let read = output(&mut command());
    assert_eq!(read.status.code(), Some(code), "with a reader: {read:?}");
    let unheard = output(command().stdout(unread()));
    let [before, after] = [&read, &unheard].map(|output| String::from_utf8_lossy(&output.stderr));
    assert_eq!((unheard.status.code(), after), (Some(code), before), "without a reader: {:?}", command());
    // As of `2>&1 | head`.
    let silent = output(command().stdout(unread()).stderr(unread()));
    assert_eq!(silent.status.code(), Some(code), "without any reader: {:?}", command());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_the_same_without_a_reader() {
    let world = world::shared().await;
    let (cli, slug, made) = (Cli::new(&world.cluster), unique("unread"), unique("unmade"));
    let tenant = slug.as_str();
    cli.text(&["tenant", "create", tenant, "--display-name", "Unread"]);
    cli.text(&["scope", "create", "orders.read", "-t", tenant]);
    let client = ["client", "create", "worker", "-t", tenant, "--name", "Worker", "--scope", "orders.read"];
    let created = cli.json(&[&client[..], &["--grant", "client_credentials", "--wait", "fleet"]].concat());
    let secret = created["client_secret"].as_str().expect("shown once");
    let issuer = format!("{}/t/{tenant}", world.pods[0].url());

    let folder = scratch::folder("unread");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("a scratch folder can be made");
        fs::write(&path, text).expect("a scratch file can be written");
        path.display().to_string()
    };
    let document = file("document.yaml", &format!("kind: Tenant\nslug: {made}\ndisplay_name: Unmade\n"));
    file(&format!("tree/tenants/{made}/tenant.json"), &format!(r#"{{"slug": "{made}", "display_name": "Unmade"}}"#));
    let [tree, export, snapshot] = ["tree", "export", "snapshot"].map(|name| folder.join(name).display().to_string());

    let token = ["token", "--issuer", &issuer, "--client-id", "worker", "--client-secret", secret];
    let with_raw = [&token[..], &["--raw"]].concat();
    let commands: &[(&[&str], i32)] = &[
        (&["--help"], 0),
        (&["completions", "bash"], 0),
        (&["login"], 0),
        (&["tenant", "list"], 0),
        (&["tenant", "get", tenant], 0),
        (&["tenant", "get", tenant, "-o", "json"], 0),
        (&["tenant", "get", tenant, "-o", "yaml"], 0),
        (&["tenant", "update", tenant, "--display-name", "Still unread"], 0),
        (&["key", "list", "-t", tenant], 0),
        (&["settings", "get"], 0),
        (&["cluster", "status"], 0),
        (&["cluster", "members"], 0),
        (&["cluster", "snapshot", &snapshot], 0),
        (&["export", &export], 0),
        (&["diff", "-f", &document], 1),
        (&["apply", "-f", &document, "--dry-run"], 0),
        (&["import", &tree, "--dry-run"], 0),
        (&["fleet"], 0),
        (&["fleet", "wait", "1"], 0),
        (&["audit", "logs", "--tenant", tenant], 0),
        (&["audit", "verify"], 0),
        (&token, 0),
        (&with_raw, 0),
        (&["tenant", "get", "nobody"], 3),
        (&["tenant", "frobnicate"], 2),
    ];
    for (args, code) in commands {
        ends(|| cli.command(args), *code);
    }
    // Its verdict may change from one look to the next.
    let looked = output(cli.command(&["doctor"]).stdout(unread()));
    assert!(matches!(looked.status.code(), Some(0 | 9)), "{looked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemons_commands_are_the_same_without_a_reader() {
    let world = world::shared().await;
    let (cli, slug) = (Cli::new(&world.cluster), unique("unread"));
    cli.text(&["tenant", "create", &slug, "--display-name", "Unread"]);
    let control_plane = world.cluster.watch_urls();
    let migrate = ["migrate", "--tenant", &slug, "--control-plane", &control_plane];
    let printed = ["config", "--print", "--control-plane", &control_plane];
    let node_printed = ["config", "--print", "--snapshot-every", "5000"];
    let (node, pod) = (programs::controlplane_daemon(), programs::dataplane_service());
    for (program, args, code) in [
        (&node, &["--help"][..], 0),
        (&node, &node_printed, 0),
        (&node, &["--no-such-flag"], 78),
        (&pod, &["--help"], 0),
        (&pod, &printed, 0),
        (&pod, &["--no-such-flag"], 78),
        // It has no database.
        (&pod, &migrate, 1),
    ] {
        let command = || {
            let mut command = Command::new(program);
            command.env_clear().args(args).env("SECRETBOX_MASTER_KEY", &world.cluster.secrets.master_key);
            command.env("HJ_WATCH_TOKEN", &world.cluster.secrets.watch_token);
            command
        };
        let read = output(&mut command());
        assert_eq!(read.status.code(), Some(code), "{args:?}: {read:?}");
        let unheard = output(command().stdout(unread()));
        let said = String::from_utf8_lossy(&unheard.stderr);
        assert!(unheard.status.code() == Some(code) && !said.contains("panicked"), "{args:?}: {unheard:?}");
        let silent = output(command().stdout(unread()).stderr(unread()));
        assert_eq!(silent.status.code(), Some(code), "without any reader: {args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_an_end_ends_with_its_reader() {
    let world = world::shared().await;
    let (cli, slug) = (Cli::new(&world.cluster), unique("endless"));
    cli.text(&["tenant", "create", &slug, "--display-name", "Endless"]);
    let created: Value = cli.json(&["tenant", "get", &slug]);
    let since = (created["revision"].as_u64().expect("a revision") - 1).to_string();
    let endless: [&[&str]; 4] = [
        &["events", "--since", &since],
        &["audit", "logs", "--follow", "--tenant", &slug],
        &["fleet", "--watch"],
        &["fleet", "--watch", "-o", "json"],
    ];
    for args in endless {
        let errors = scratch::folder("endless").join("errors");
        let file = fs::File::create(&errors).expect("a scratch file can be made");
        let mut endless = Endless(cli.command(args).stdout(unread()).stderr(file).spawn().expect("it runs"));
        let ended = until(&format!("{args:?} ends"), PATIENCE, async || match endless.0.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        })
        .await;
        let said = fs::read_to_string(&errors).expect("readable");
        assert_eq!((ended.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}
