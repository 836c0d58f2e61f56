//! `hellojohn` as an operator's scripts use it, against a running system.

#[path = "cli/closed_pipe.rs"]
mod closed_pipe;

use serde_json::json;
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

    assert!(cli.text(&["admin", "list"]).contains("LAST USED"));
    let before = cli.json(&["key", "list", "-t", &slug]).to_string();
    cli.text(&["key", "rotate", "-t", &slug]);
    assert_ne!(cli.json(&["key", "list", "-t", &slug]).to_string(), before);
    cli.text(&["client", "delete", "worker", "-t", &slug]);
    cli.text(&["tenant", "delete", &slug]);
    cli.fails(&["tenant", "get", &slug], NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_limit_and_mail_server_are_set_and_taken_away() {
    let world = world::shared().await;
    let (cli, slug) = (Cli::new(&world.cluster), unique("flags"));
    cli.text(&["tenant", "create", &slug, "--rate-limit", "50"]);
    let shown = |name: &str| cli.json(&["tenant", "get", &slug])["settings"][name].clone();
    assert_eq!(shown("rate_limit")["requests_per_second"], 50);
    cli.text(&["tenant", "update", &slug, "--rate-limit-burst", "200"]);
    assert_eq!(shown("rate_limit"), json!({ "requests_per_second": 50, "burst": 200 }));

    let update = ["tenant", "update", &slug];
    let server = ["--smtp-host", "mail.example", "--smtp-from", "no-reply@acme.example", "--smtp-security", "tls"];
    let account = [&update[..], &server, &["--smtp-username", "acme"]].concat();
    let said = cli.fails(&account, USAGE);
    assert!(said.contains("/settings/smtp/password"), "{said}");
    let by_argument = [&account[..], &["--smtp-password", "s3cret-mail"]].concat();
    cli.fails(&by_argument, USAGE);
    let done = cli.command(&account).env("HJ_TENANT_SMTP_PASSWORD", "s3cret-mail").output().expect("hellojohn runs");
    assert!(done.status.success(), "{done:?}");
    let smtp = shown("smtp");
    assert_eq!(
        (&smtp["host"], &smtp["username"], &smtp["security"]),
        (&json!("mail.example"), &json!("acme"), &json!("tls"))
    );
    assert!(!format!("{smtp}{done:?}").contains("s3cret-mail"), "{smtp} {done:?}");
    // Without a password the one there is stays, for the same server alone.
    cli.text(&[&update[..], &["--smtp-from", "mail@acme.example"]].concat());
    cli.fails(&[&update[..], &["--smtp-host", "evil.example"]].concat(), USAGE);
    let file = tests::scratch::folder("smtp-password").join("password");
    std::fs::write(&file, "another\n").expect("a scratch file can be written");
    let file = file.display().to_string();
    cli.text(
        &[&update[..], &["--smtp-host", "mx.example", "--smtp-port", "4465", "--smtp-password-file", &file]].concat(),
    );
    let smtp = shown("smtp");
    assert_eq!(
        (&smtp["host"], &smtp["port"], &smtp["from"]),
        (&json!("mx.example"), &json!(4465), &json!("mail@acme.example"))
    );

    // What is set for one tenant in the shell is not meant for each change of another.
    let mut rename = cli.command(&[&update[..], &["--no-smtp", "--no-rate-limit"]].concat());
    let done = rename.env("HJ_TENANT_SMTP_PASSWORD", "s3cret-mail").output().expect("hellojohn runs");
    assert!(done.status.success(), "{done:?}");
    assert_eq!((shown("smtp"), shown("rate_limit")), (json!(null), json!(null)));
    cli.fails(&[&update[..], &["--no-smtp", "--smtp-port", "25"]].concat(), USAGE);
    cli.fails(&[&update[..], &["--no-rate-limit", "--rate-limit", "25"]].concat(), USAGE);
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
