//! `hellojohn import DIR` that takes long, or is interrupted on its way.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::cluster::Cluster;
use tests::postgres::free_port;
use tests::sluice::Sluice;
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
    // The first administrator is there, and can sign in.
    let _ = cluster.admin(0).await;
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

/// Of as many clients, the first with a secret, what goes in one piece. Three such are too much for one request.
const CLIENTS: usize = 950;

fn write(shell: &Shell, slug: &str) {
    let uri = |number: usize, of: &str| format!("https://{number}.example/{of}/{}", "u".repeat(1_950));
    let client = |number: usize| {
        let kind = if number == 0 { "confidential" } else { "public" };
        let uris = [uri(number, "a"), uri(number, "b")];
        json!({"clientId": format!("app-{number}"), "name": "C", "type": kind, "redirectUris": uris})
    };
    shell.write(&format!("v1/tenants/{slug}/tenant.json"), &json!({"name": slug, "slug": slug}).to_string());
    let clients: Value = (0..CLIENTS).map(client).collect();
    shell.write(&format!("v1/tenants/{slug}/clients.json"), &clients.to_string());
}

async fn is_made(admin: &Admin, slug: &str, within: Duration) {
    until(&format!("{slug} is made"), within, async || {
        let client =
            admin.try_get(&format!("/tenants/{slug}/clients/app-0")).await.map_err(|error| error.to_string())?;
        if client.status == 200 { Ok(()) } else { Err(client.text) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_with_an_answer_that_never_comes() {
    let mut cluster = Cluster::start(1).await;
    let admin = cluster.admin(0).await;
    let mut shell = Shell::new(&cluster, &cluster.secrets.owner);
    let (sluice, address) = (Sluice::default(), format!("127.0.0.1:{}", free_port()));
    sluice.stand(&address, &cluster.nodes[0].addresses().admin).await;
    shell.server = format!("http://{address}");
    for slug in ["first", "second", "third"] {
        write(&shell, slug);
    }
    // The last piece alone waits for the fleet; when it is only tried, a flag more follows.
    sluice.hold_answers_to("wait=fleet&timeout=20s&set=default&plain_secrets=true HTTP/1.1");
    let importing = start(&mut shell.command(&["import", "v1", "--wait", "fleet", "--wait-timeout", "20"]));
    // All are tried first; beside other tests that takes its time.
    is_made(&admin, "second", PATIENCE * 5).await;
    sluice.holds().await;
    is_made(&admin, "third", PATIENCE).await;
    let revision = admin.get("/tenants/second").await.expect(200).json["revision"].clone();
    cluster.nodes[0].kill();
    sluice.open();

    // Nobody is there to answer when it is sent again, nor to tell of the fleet.
    let output = importing.wait_with_output().expect("it ends");
    let (shown, said) = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8")).into();
    assert!(output.status.code() == Some(7) && said.contains("the outcome is unknown"), "{said}");
    let (each, slugs) = (CLIENTS + 1, ["first", "second"]);
    assert!(
        said.contains(&format!("This was {} of {} documents, up to revision {revision};", 2 * each, 3 * each)),
        "{said}"
    );
    let last = format!("Whether {each} documents are made is not known: from tenant third to client third/app-");
    assert!(
        said.contains(&last)
            && said.contains(&format!("Whether every connected pod has revision {revision} is not known")),
        "{said}"
    );
    assert!(
        slugs.iter().all(|slug| shown.contains(&format!("+ tenant {slug}\n"))) && !shown.contains("third"),
        "{shown:.500}"
    );

    // The secret is the client's, which was made.
    let secret = said.split_once("If third/app-0 is made, its secret is ").expect("it is told").1;
    let secret = secret.lines().next().expect("a line");
    cluster.nodes[0].start().await;
    cluster.nodes[0].ready().await;
    shell.server = cluster.nodes[0].admin_url();
    let shown = cluster.admin(0).await.get("/tenants/third/clients/app-0").await.expect(200).json;
    for (secret, is_other) in [(secret, false), ("another-secret-of-thirty-two-and-more", true)] {
        let document = json!({
            "kind": "Client", "tenant": "third", "client_id": "app-0", "name": "C",
            "redirect_uris": shown["redirect_uris"], "secret": secret,
        });
        fs::write(shell.folder.join("client.json"), document.to_string()).expect("written");
        let output = shell.run(&["diff", "-f", "client.json", "--allow-plain-secrets"]);
        let differences = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(differences.contains(" secret: "), is_other, "{differences}");
    }
}
