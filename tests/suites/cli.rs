//! `hellojohn` as an operator's scripts use it, against a running system.

use tests::operator::Cli;
use tests::tenant::unique;
use tests::world;

/// Exit codes, as `hellojohn --help` documents them.
const USAGE: Option<i32> = Some(2);
const NOT_FOUND: Option<i32> = Some(3);
const CONFLICT: Option<i32> = Some(4);
const REFUSED: Option<i32> = Some(5);
const UNREACHABLE: Option<i32> = Some(6);

#[tokio::test(flavor = "multi_thread")]
async fn tenants_clients_scopes_and_keys_from_the_command_line() {
    let world = world::shared().await;
    let (cli, slug) = (Cli::new(&world.cluster), unique("cli"));
    let created = cli.json(&["tenant", "create", &slug, "--display-name", "By CLI", "--signing-algorithm", "EdDSA"]);
    assert_eq!(created["slug"], slug.as_str());
    assert!(cli.text(&["tenant", "list"]).contains(&slug));
    cli.text(&["tenant", "update", &slug, "--display-name", "Renamed"]);
    assert_eq!(cli.json(&["tenant", "get", &slug])["display_name"], "Renamed");

    cli.text(&["scope", "create", "orders.read", "-t", &slug, "--description", "Read orders"]);
    assert!(cli.text(&["scope", "list", "-t", &slug]).contains("orders.read"));
    let client = cli.json(&[
        "client",
        "create",
        "worker",
        "-t",
        &slug,
        "--name",
        "Worker",
        "--grant",
        "client_credentials",
        "--scope",
        "orders.read",
        "--wait",
        "fleet",
    ]);
    let secret = client["client_secret"].as_str().expect("shown once").to_owned();
    assert!(!cli.json(&["client", "get", "worker", "-t", &slug]).to_string().contains(&secret));

    let issuer = format!("{}/t/{slug}", world.pods[0].url());
    let mut token = cli.command(&["token", "--issuer", &issuer, "--client-id", "worker", "--raw"]);
    let token = token.env("HJ_CLIENT_SECRET", &secret).output().expect("hellojohn runs");
    assert!(token.status.success(), "{token:?}");
    assert_eq!(String::from_utf8_lossy(&token.stdout).trim().split('.').count(), 3, "a JWT: {token:?}");

    let before = cli.json(&["key", "list", "-t", &slug]).to_string();
    cli.text(&["key", "rotate", "-t", &slug]);
    assert_ne!(cli.json(&["key", "list", "-t", &slug]).to_string(), before);
    cli.text(&["client", "delete", "worker", "-t", &slug]);
    cli.text(&["tenant", "delete", &slug]);
    cli.fails(&["tenant", "get", &slug], NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_and_its_fleet_are_shown() {
    let world = world::shared().await;
    let cli = Cli::new(&world.cluster);
    assert_eq!(cli.json(&["cluster", "status"])["role"], "leader");
    let fleet = cli.text(&["fleet"]);
    assert!(fleet.contains("pod-0") && fleet.contains("pod-1"), "{fleet}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_remembered_and_guarded() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = world::shared().await;
    let mut cli = Cli::new(&world.cluster);
    cli.text(&["login"]);
    cli.credential = None;
    cli.text(&["tenant", "list"]);
    let mut files = vec![cli.home.clone()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).expect("readable").flatten().map(|entry| entry.path()));
        } else if std::fs::read_to_string(&path).is_ok_and(|text| text.contains("hja_")) {
            let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "others can read {}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_exit_codes() {
    let world = world::shared().await;
    let (mut cli, slug) = (Cli::new(&world.cluster), unique("codes"));
    cli.fails(&["tenant", "frobnicate"], USAGE);
    cli.fails(&["tenant", "get", "nobody"], NOT_FOUND);
    cli.text(&["tenant", "create", &slug, "--display-name", "X"]);
    let said = cli.fails(&["tenant", "create", &slug, "--display-name", "X"], CONFLICT);
    assert!(said.contains(&slug), "{said}");
    let said = cli.fails(&["tenant", "create", "No Slug", "--display-name", "X"], USAGE);
    assert!(said.contains("slug"), "{said}");
    let credential = cli.credential.replace("hja_00000000000000000000000000000000_wrong".to_owned());
    let said = cli.fails(&["tenant", "list"], REFUSED);
    assert!(!said.contains("_wrong"), "{said}");
    cli.credential = credential;
    cli.server = format!("http://127.0.0.1:{}", tests::postgres::free_port());
    let said = cli.fails(&["tenant", "list"], UNREACHABLE);
    assert!(said.contains(&cli.server), "{said}");
}
