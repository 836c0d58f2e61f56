//! Each bad setting is named, all of them at once, and no secret is ever shown.

use std::collections::HashMap;
use std::ffi::OsString;

use super::*;

const KEY: &str = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";

fn run(args: &[&str], env: &[(&str, &str)]) -> Result<Invocation, SettingsError> {
    let env: HashMap<String, OsString> =
        env.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    let args = std::iter::once("controlplane-daemon").chain(args.iter().copied()).map(OsString::from);
    read(args, &|name| env.get(name).cloned())
}

fn settings(args: &[&str], env: &[(&str, &str)]) -> Settings {
    match run(args, env) {
        Ok(Invocation::Serve(settings)) => *settings,
        other => panic!("{other:?}"),
    }
}

fn problems(args: &[&str], env: &[(&str, &str)]) -> Vec<String> {
    run(args, env).expect_err("these settings are wrong").problems
}

#[test]
fn the_defaults_need_a_master_key_only() {
    let all = settings(&[], &[("SECRETBOX_MASTER_KEY", KEY)]);
    assert_eq!(all.raft_addr.to_string(), "0.0.0.0:7000");
    assert_eq!(all.node_id, NodeId(1));
    assert_eq!(all.heartbeat, Duration::from_millis(100));
    assert_eq!(problems(&[], &[]).len(), 1);
}

#[test]
fn flag_before_environment_before_file_before_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hj.toml");
    std::fs::write(&file, "node_id = 3\nsnapshot_every = 7\nheartbeat_ms = 50\n").unwrap();
    let config = file.to_str().unwrap();
    let env = [("HJ_SECRETBOX_MASTER_KEY", KEY), ("NODE_ID", "controlplane-2"), ("HJ_SNAPSHOT_EVERY", "8")];
    let all = settings(&["--config", config, "--snapshot-every", "9"], &env);
    assert_eq!((all.snapshot_every, all.node_id, all.heartbeat), (9, NodeId(2), Duration::from_millis(50)));
    let all = settings(&["--config", config], &env);
    assert_eq!(all.snapshot_every, 8);
    // `HJ_` before the bare name.
    let all = settings(&["--config", config], &[env[0], ("NODE_ID", "4"), ("HJ_NODE_ID", "5")]);
    assert_eq!(all.node_id, NodeId(5));
}

#[test]
fn documents_get_no_file_that_a_setting_names() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (key, config) = (file("key", KEY), file("hj.toml", "addresses_file = \"/own/no-secret\"\n"));
    let flags = ["--gitops-dir", "/files", "--config", &config, "--secretbox-master-key-file", &key];
    let reserved = settings(&flags, &[]).gitops.expect("there are files to follow").reserved;
    for own in [&*key, &config, "/own/no-secret", "/proc", "/sys", "/dev"] {
        assert!(reserved.paths.iter().any(|path| path == std::path::Path::new(own)), "{own}: {:?}", reserved.paths);
    }
}

#[test]
fn secrets_come_from_files_too_and_only_one_way() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let path = file.to_str().unwrap();
    settings(&["--secretbox-master-key-file", path], &[]);
    settings(&[], &[("SECRETBOX_MASTER_KEY_FILE", path)]);
    settings(&[], &[("HJ_SECRETBOX_MASTER_KEY_FILE", path)]);
    let both = problems(&[], &[("SECRETBOX_MASTER_KEY_FILE", path), ("SECRETBOX_MASTER_KEY", KEY)]);
    assert!(both[0].contains("give one of them"), "{both:?}");
    let missing = problems(&[], &[("SECRETBOX_MASTER_KEY_FILE", "/nowhere")]);
    assert!(missing[0].contains("/nowhere"), "{missing:?}");
}

#[test]
fn every_unknown_key_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hj.toml");
    std::fs::write(&file, "nodeid = 3\nraft_adr = \"x\"\n[nested]\na = 1\n").unwrap();
    let all = problems(&["--config", file.to_str().unwrap()], &[("SECRETBOX_MASTER_KEY", KEY)]);
    assert_eq!(all.len(), 3, "{all:?}");
    for name in ["nodeid", "raft_adr", "nested"] {
        assert!(all.iter().any(|problem| problem.starts_with(name)), "{all:?}");
    }
}

/// One row per setting that can be wrong: the flag, a value, a word of the complaint.
#[test]
fn each_bad_setting_is_named() {
    let rows = [
        ("node-id", "one", "number"),
        ("raft-addr", "7000", "IP:port"),
        ("watch-addr", "localhost", "IP:port"),
        ("admin-addr", "1.2.3.4:99999", "IP:port"),
        ("ops-addr", "", "IP:port"),
        ("advertise-addr", "nohost", "host:port"),
        ("advertise-admin-url", "ftp://x", "http"),
        ("peers", "1:2", "ID=host:port"),
        ("peers", "1=a:1,1=b:1", "twice"),
        ("peers", "1=a:1,2=a:1", "twice"),
        ("secretbox-master-key", "c2hvcnQ=", "32"),
        ("cluster-hmac-secret", "short", "32 bytes"),
        ("watch-token", "short", "16"),
        ("bootstrap-admin-credential", "admin", "hja_"),
        ("tls-cert-file", "/nowhere", "read"),
        ("tls-peer-names", "no name", "DNS name"),
        ("tls-watch-names", "pods.example", "of no use"),
        ("admin-tls-cert-file", "/nowhere", "read"),
        ("admin-tls-key-file", "/nowhere", "read"),
        ("trusted-proxies", "10.0.0.0/40", "network"),
        ("trusted-proxy-header", "via", "forwarded"),
        ("heartbeat-ms", "0", "from 10"),
        ("election-timeout-min-ms", "150", "twice"),
        ("election-timeout-max-ms", "300", "more than"),
        ("snapshot-every", "-1", "from 1"),
        ("follower-writes", "drop", "forward or redirect"),
        ("log-format", "xml", "human or json"),
        ("log-level", "a=b=c", "log-level"),
    ];
    for (flag, value, word) in rows {
        let env = if flag == "secretbox-master-key" { vec![] } else { vec![("SECRETBOX_MASTER_KEY", KEY)] };
        let all = problems(&[&format!("--{flag}"), value], &env);
        let named = all.iter().any(|problem| problem.starts_with(&format!("--{flag}")) && problem.contains(word));
        assert!(named, "--{flag} {value}: {all:?}");
    }
}

#[test]
fn all_problems_come_in_one_message() {
    let env = [("HJ_RAFT_ADDR", "x"), ("CLUSTER_HMAC_SECRET", "tiny-secret"), ("PEERS", "1=a:7000,2=b:7000")];
    let error = run(&["--node-id", "3", "--log-format", "xml", "--ops-addr", "0.0.0.0:7100"], &env).unwrap_err();
    assert_eq!(error.problems.len(), 6, "{error}");
    let text = error.to_string();
    for part in ["HJ_RAFT_ADDR", "--node-id", "--log-format", "same port as --watch-addr", "cluster-hmac", "master-key"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("tiny-secret"), "{text}");
}

#[test]
fn several_peers_demand_an_hmac_secret_and_this_node_among_them() {
    let env = [("SECRETBOX_MASTER_KEY", KEY), ("PEERS", "1=a:7000,2=b:7000,3=c:7000")];
    let all = problems(&["--node-id", "4"], &env);
    assert_eq!(all.len(), 2, "{all:?}");
    let secret = "0123456789abcdef0123456789abcdef";
    let two = format!("{secret},{secret}x");
    let all = settings(&["--node-id", "controlplane-3", "--cluster-hmac-secret", &two], &env);
    assert_eq!((all.peers.len(), all.cluster_hmac_secrets.len()), (3, 2));
}

/// One template for all nodes: the founders are named, whoever comes later asks DNS.
#[test]
fn a_node_beyond_the_peers_joins_by_discovery() {
    let env = [
        ("SECRETBOX_MASTER_KEY", KEY),
        ("CLUSTER_HMAC_SECRET", "0123456789abcdef0123456789abcdef"),
        ("PEERS", "0=cp-0:7000,1=cp-1:7000,2=cp-2:7000"),
        ("HJ_DISCOVER_DNS", "_admin._tcp.cp.test"),
    ];
    for (pod, bootstrap) in [("cp-0", Bootstrap::LowestId), ("cp-2", Bootstrap::LowestId), ("cp-3", Bootstrap::Others)]
    {
        assert_eq!(settings(&["--node-id", pod], &env).bootstrap, bootstrap, "{pod}");
    }
}

#[test]
fn print_shows_everything_but_secrets() {
    let Ok(Invocation::Print(text)) =
        run(&["config", "--print", "--snapshot-every", "5"], &[("SECRETBOX_MASTER_KEY", KEY)])
    else {
        panic!("config --print prints")
    };
    assert!(text.contains("snapshot_every = \"5\"  # --snapshot-every"), "{text}");
    assert!(text.contains("secretbox_master_key = (hidden)  # SECRETBOX_MASTER_KEY"), "{text}");
    assert!(!text.contains(KEY), "{text}");
    assert_eq!(text.lines().count(), catalogue::ALL.len());
}

#[test]
fn a_broken_file_is_told_by_line_without_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hj.toml");
    std::fs::write(&file, "node_id = 1\nwatch_token = \"hunter2-hunter2\n").unwrap();
    let all = problems(&["--config", file.to_str().unwrap()], &[("SECRETBOX_MASTER_KEY", KEY)]);
    assert!(all[0].contains("line 2") && !all[0].contains("hunter2"), "{all:?}");
}
