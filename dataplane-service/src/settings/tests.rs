use rstest::rstest;

use super::*;

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn parse_with(args: &[&str], environment: &[(&str, &str)]) -> Result<Invocation, Refusal> {
    let args = std::iter::once("dataplane-service").chain(args.iter().copied()).map(OsString::from);
    let environment: std::collections::HashMap<_, _> = environment.iter().copied().collect();
    Invocation::parse(args, &|name| environment.get(name).map(|text| (*text).to_owned()))
}

fn settings(args: &[&str], environment: &[(&str, &str)]) -> Settings {
    match parse_with(args, environment) {
        Ok(Invocation::Serve(settings)) => *settings,
        other => panic!("{other:?}"),
    }
}

fn problems(args: &[&str], environment: &[(&str, &str)]) -> String {
    match parse_with(args, environment) {
        Err(refusal @ Refusal::Problems(_)) => refusal.to_string(),
        other => panic!("{other:?}"),
    }
}

const NEEDED: [&str; 4] = ["--control-plane", "http://a:7100,http://b:7100", "--secretbox-master-key", KEY];

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pod.toml");
    std::fs::write(&file, "http_addr = '127.0.0.1:1'\nops_addr = '127.0.0.1:1'\npool_idle_secs = 7\ncontrol_plane = ['http://c:1', 'http://d:2']\n").unwrap();
    let file = file.to_str().unwrap();
    let all = settings(
        &["--config", file, "--http-addr", "127.0.0.1:3", "--secretbox-master-key", KEY],
        &[("HJ_HTTP_ADDR", "127.0.0.1:2"), ("HJ_OPS_ADDR", "127.0.0.1:2")],
    );
    assert_eq!(all.http_addr.port(), 3);
    assert_eq!(all.ops_addr.port(), 2);
    assert_eq!(all.pools.idle, Duration::from_secs(7));
    assert_eq!(all.control_plane.len(), 2);
    assert_eq!(all.default_tenant.unwrap().as_str(), "local");
}

#[rstest]
#[case::own_variable(("HJ_SECRETBOX_MASTER_KEY", KEY))]
#[case::bare_variable(("SECRETBOX_MASTER_KEY", KEY))]
fn secrets_come_from_either_variable(#[case] variable: (&str, &str)) {
    settings(&["--control-plane", "http://a:1"], &[variable]);
}

#[rstest]
#[case("HJ_SECRETBOX_MASTER_KEY_FILE")]
#[case("SECRETBOX_MASTER_KEY_FILE")]
fn secrets_come_from_files(#[case] variable: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    settings(&["--control-plane", "http://a:1"], &[(variable, path.to_str().unwrap())]);
}

#[test]
fn every_problem_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pod.toml");
    std::fs::write(&file, "raft_addr = 'x'\nhttp_addr_file = 'y'\n[log]\nlevel = 1\n").unwrap();
    let text = problems(
        &[
            "--config",
            file.to_str().unwrap(),
            "--http-addr",
            "nowhere",
            "--migrate",
            "maybe",
            "--public-url",
            "ftp://x",
        ],
        &[("SECRETBOX_MASTER_KEY", "c2hvcnQ="), ("HJ_POOL_MAX_TOTAL", "0"), ("HJ_DEFAULT_TENANT", "No Slug")],
    );
    for part in [
        "http-addr:",
        "migrate:",
        "public-url:",
        "secretbox-master-key: key 1 has 5 bytes",
        "pool-max-total:",
        "default-tenant:",
        "raft_addr: no such setting",
        "http_addr_file: no such setting",
        "log: must be",
        "control-plane: needed",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains("c2hvcnQ"));
}

/// A pod that sends mail.
const MAIL: [&str; 8] = [
    "--control-plane",
    "http://a:1",
    "--secretbox-master-key",
    KEY,
    "--smtp-host",
    "mail.example",
    "--smtp-from",
    "no-reply@id.example",
];

#[rstest]
#[case(&["--control-plane", "https://a:1", "--secretbox-master-key", KEY], "tls-ca-file: needed")]
#[case(&["--control-plane", "http://a:1", "--secretbox-master-key", KEY, "--tls-addr", "127.0.0.1:1"], "public-tls-cert-file")]
#[case(&["--control-plane", "a:1", "--secretbox-master-key", KEY], "control-plane:")]
#[case(&["--control-plane", ",", "--secretbox-master-key", KEY], "control-plane: names no address")]
#[case(&["--control-plane", "http://a:1", "--secretbox-master-key", KEY, "--tls-key-file", "/nowhere"], "tls-key-file:")]
#[case(&["migrate", "--tenant", "A B", "--control-plane", "http://a:1", "--secretbox-master-key", KEY], "--tenant:")]
#[case(&["--control-plane", "http://a:1", "--secretbox-master-key", KEY, "--smtp-host", "mail"], "smtp-from: needed")]
#[case(&[&MAIL[..], &["--smtp-username", "u"]].concat(), "smtp-username and smtp-password: one")]
#[case(&[&MAIL[..], &["--smtp-username", "u", "--smtp-password", "p", "--smtp-security", "none"]].concat(), "smtp-security:")]
#[case(&[&MAIL[..], &["--smtp-security", "maybe"]].concat(), "smtp-security: must be")]
fn single_problems(#[case] args: &[&str], #[case] part: &str) {
    let text = problems(args, &[]);
    assert!(text.contains(part), "{text}");
}

#[test]
fn an_empty_default_tenant_is_none() {
    let all = settings(&[&NEEDED[..], &["--default-tenant", ""]].concat(), &[]);
    assert_eq!(all.default_tenant, None);
}

#[test]
fn unknown_flags_are_refused() {
    assert!(matches!(parse_with(&["--raft-addr", "x"], &[]), Err(Refusal::CommandLine(_))));
}

#[test]
fn the_printed_configuration_hides_secrets() {
    let args = [&["config", "--print"], &NEEDED[..], &["--watch-token", "t0k3n"]].concat();
    let Ok(Invocation::PrintConfig(text)) = parse_with(&args, &[]) else { panic!("no print") };
    assert!(text.contains("http_addr = \"0.0.0.0:8080\""), "{text}");
    assert!(!text.contains("t0k3n") && !text.contains(KEY), "{text}");
}

#[test]
fn a_job_takes_one_tenant() {
    for wanted in Job::ALL {
        let args = [&[wanted.as_str(), "--tenant", "acme"], &NEEDED[..]].concat();
        let Ok(Invocation::Once { job, tenant, .. }) = parse_with(&args, &[]) else { panic!("no job") };
        assert_eq!((job, tenant.unwrap().as_str()), (wanted, "acme"));
    }
}
