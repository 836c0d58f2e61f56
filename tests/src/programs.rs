//! Where the programs under test are, and whether they are what the sources say.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub fn controlplane_daemon() -> PathBuf {
    find("controlplane-daemon")
}

pub fn dataplane_service() -> PathBuf {
    find("dataplane-service")
}

pub fn hellojohn() -> PathBuf {
    find("hellojohn")
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent folder")
}

/// The folder `target`, for what tests install (npm packages, a Python environment).
pub fn target_folder() -> PathBuf {
    profile_folder().parent().expect("the profile's folder is in target").to_owned()
}

/// `target/<profile>`: programs (the benches) stand there, tests in its folder `deps`.
fn profile_folder() -> PathBuf {
    let executable = std::env::current_exe().expect("the executable has a path");
    let folder = executable.parent().expect("the executable is in a folder");
    let is_of_tests = folder.file_name().is_some_and(|name| name == "deps");
    folder.parent().filter(|_| is_of_tests).unwrap_or(folder).to_owned()
}

fn find(program: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("HJ_BIN_DIR") {
        let path = PathBuf::from(folder).join(program);
        assert!(path.is_file(), "HJ_BIN_DIR is set, but there is no {}", path.display());
        return path;
    }
    let path = profile_folder().join(program);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    if let Some(newer) = newer_source(&path) {
        panic!("{program} is older than {}: run `cargo build --workspace --bins` first", newer.display());
    }
    path
}

/// A source of the program, by cargo's list beside it, that was changed after the program was built.
fn newer_source(program: &Path) -> Option<PathBuf> {
    let changed = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let built = changed(program);
    let list = fs::read_to_string(program.with_extension("d")).ok()?;
    let (_, sources) = list.split_once(": ")?;
    sources.split_whitespace().map(PathBuf::from).find(|source| changed(source) > built)
}
