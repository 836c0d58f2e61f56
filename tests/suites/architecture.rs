//! The house rules that a compiler does not know: who may import whom, and where things stand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};
use tests::programs::repository;

/// Package → the packages of ours that it may depend on. `tests` may import everything.
const IMPORTS: [(&str, &[&str]); 10] = [
    ("vocab", &[]),
    ("shared-proto", &["vocab"]),
    ("telemetry", &[]),
    ("transport", &["vocab"]),
    ("manifest", &[]),
    ("controlplane-core", &["vocab"]),
    ("controlplane-daemon", &["controlplane-core", "manifest", "shared-proto", "telemetry", "transport", "vocab"]),
    ("hellojohn", &["manifest", "vocab"]),
    ("oauth-core", &["vocab"]),
    ("dataplane-service", &["oauth-core", "shared-proto", "telemetry", "transport", "vocab"]),
];

/// Packages without async, clock, randomness and sockets, and what they therefore never depend on.
const PURE: [&str; 3] = ["vocab", "controlplane-core", "oauth-core"];
const IMPURE: [&str; 12] = [
    "tokio",
    "tokio-stream",
    "futures",
    "actix-web",
    "tonic",
    "reqwest",
    "rand",
    "openraft",
    "redb",
    "tokio-postgres",
    "parking_lot",
    "tracing-subscriber",
];

fn metadata() -> Metadata {
    let manifest = repository().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata runs")
}

#[test]
fn packages_import_only_what_the_table_allows() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let table: BTreeMap<&str, &[&str]> = IMPORTS.into_iter().collect();
    let mut wrong = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.name.as_str() != "tests") {
        let Some(allowed) = table.get(package.name.as_str()) else {
            wrong.push(format!("{} is not in the table", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            if ours.contains(dependency.name.as_str()) && !allowed.contains(&dependency.name.as_str()) {
                wrong.push(format!("{} imports {}", package.name, dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_packages_depend_on_nothing_impure() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.packages.iter().filter(|package| PURE.contains(&package.name.as_str())) {
        let dependencies =
            package.dependencies.iter().filter(|it| it.kind != cargo_metadata::DependencyKind::Development);
        for dependency in dependencies.filter(|it| IMPURE.contains(&it.name.as_str())) {
            wrong.push(format!("{} depends on {}", package.name, dependency.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_packages_have_no_async_and_no_clock() {
    let forbidden = ["async fn", "async move", "SystemTime::now", "Instant::now", "std::net::Tcp", "std::fs::"];
    let pure = ["shared-proto/vocab/src", "controlplane-daemon/core/src", "dataplane-service/core/src"];
    let exempt = |path: &Path| path.ends_with("vocab/src/time.rs"); // the one system clock
    assert_absent(&pure, &forbidden, exempt);
}

/// `core ← storage, feed, … ← raft, … ← the facade ← transports`: a transport knows nothing of what lies below the facade.
#[test]
fn transports_know_neither_raft_nor_storage_nor_sql() {
    let control_plane = ["controlplane-daemon/src/admin", "controlplane-daemon/src/watch"];
    assert_absent(&control_plane, &["openraft::", "redb::", "crate::storage"], |_| false);
    // The watch is fed by the replica itself; the admin API has the facade only.
    assert_absent(&control_plane[..1], &["crate::raft"], |_| false);
    let data_plane = ["dataplane-service/src/http", "dataplane-service/src/pages"];
    let forbidden = ["tokio_postgres::", "deadpool_postgres::", "refinery::", "tonic::"];
    assert_absent(&data_plane, &forbidden, |_| false);
}

#[test]
fn only_the_raft_folder_knows_openraft() {
    let exempt = |path: &Path| path.to_string_lossy().contains("/src/raft");
    assert_absent(&["controlplane-daemon/src"], &["openraft::"], exempt);
}

#[test]
fn only_server_rs_constructs() {
    let constructs = ["HttpServer::new(", "listener::tls(", "transport::Server::builder(", "control_plane::start("];
    let exempt = |path: &Path| path.ends_with("src/server.rs") || path.to_string_lossy().contains("/src/server/");
    assert_absent(&["controlplane-daemon/src", "dataplane-service/src"], &constructs, exempt);
}

#[test]
fn main_files_are_short() {
    for main in ["controlplane-daemon/src/main.rs", "dataplane-service/src/main.rs"] {
        let text = fs::read_to_string(repository().join(main)).expect("a main.rs");
        assert!(text.lines().count() < 40, "{main} has {} lines", text.lines().count());
    }
}

#[test]
fn there_is_no_mod_rs_and_every_module_says_what_it_is() {
    let mut wrong = Vec::new();
    for path in rust_files(repository()) {
        if path.ends_with("mod.rs") {
            wrong.push(format!("{} is a mod.rs", path.display()));
        }
        let text = fs::read_to_string(&path).expect("a source file is UTF-8");
        let generated = path.to_string_lossy().contains("/src/gen/");
        if !generated && !is_test(&path) && !text.starts_with("//!") {
            wrong.push(format!("{} does not begin with its `//!` sentence", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let folder = repository().join("migrations/postgres/tenant");
    let entries = fs::read_dir(&folder).expect("the migrations' folder").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for (place, name) in names.iter().enumerate() {
        let prefix = format!("V{:04}__", place + 1);
        let is_sql = Path::new(name).extension().is_some_and(|extension| extension == "sql");
        assert!(name.starts_with(&prefix) && is_sql, "{name}: want {prefix}what_it_does.sql");
    }
    assert!(!names.is_empty());
}

/// No line of code below these folders (or in the `.rs` file of the same name) may contain one of the words. Comments
/// and the tests beside the code may.
fn assert_absent(folders: &[&str], words: &[&str], exempt: impl Fn(&Path) -> bool) {
    let mut wrong = Vec::new();
    for folder in folders {
        let folder = repository().join(folder);
        let beside = folder.with_extension("rs");
        for path in rust_files(&folder).into_iter().chain(beside.is_file().then_some(beside)) {
            if exempt(&path) || is_test(&path) {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source file is UTF-8");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in code.lines().enumerate() {
                let line = line.split("//").next().unwrap_or_default();
                for word in words.iter().filter(|word| line.contains(**word)) {
                    wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Unit tests that stand in files of their own, `tests.rs` or `tests/…`, beside what they test.
fn is_test(path: &Path) -> bool {
    let source = path.to_string_lossy();
    let inside = source.split_once("/src/").map_or("", |(_, inside)| inside);
    inside.ends_with("tests.rs") || inside.split('/').any(|folder| folder == "tests")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            files.extend(rust_files(&path));
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files
}
