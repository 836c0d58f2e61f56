//! `hellojohn import DIR` that takes long, or is interrupted on its way.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde_json::json;
use tests::cluster::Cluster;
use tests::wait::{PATIENCE, until};
use tests::wall_clock::WallClock;

use super::Shell;

fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("hellojohn runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_may_take_longer_than_a_token_lives() {
    let mut cluster = Cluster::prepare(1, &[]);
    let clock = WallClock::of(cluster.nodes[0].launch_mut());
    cluster.start_all().await;
    cluster.ready().await;
    let shell = Shell::new(&cluster, &cluster.secrets.owner);
    shell.write("v1/tenants/acme/tenant.json", &json!({"name": "Acme", "slug": "acme"}).to_string());
    // It is signed in when it reads the DSN, and asks for nothing before it has it.
    let pipe = shell.folder.join("dsn");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).expect("made");
    let importing = start(shell.command(&["import", "v1", "--dsn", "acme=dsn"]).envs(clock.variables()));
    let mut pipe = until("it reads the DSN", PATIENCE, async || {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&pipe).map_err(|error| error.to_string())
    })
    .await;
    // Of ten minutes eleven.
    clock.set("+11m");
    pipe.write_all(b"postgres://u:hunter2@db.example/acme\n").expect("it reads");
    drop(pipe);
    let output = importing.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    let there = cluster.admin(0).await.get("/tenants/acme").await.expect(200).json;
    assert_eq!(there["settings"]["database"]["configured"], true, "{there}");
}
