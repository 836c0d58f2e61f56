//! Programs and data that others publish and that only tests need, installed below `target/` or found on the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::programs;

/// A program in `target/tools`, where `./hj test` puts what the machine lacks, or in the `PATH`.
pub fn program(name: &str) -> PathBuf {
    let ours = programs::target_folder().join("tools").join(name);
    if ours.is_file() {
        return ours;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: ./hj test installs it"))
}

/// A copy below `target/` of a folder of the repository that has a `package-lock.json`, with those packages installed.
pub fn npm(folder: &str) -> PathBuf {
    install(folder, "node_modules", |copy| {
        let mut npm = Command::new("npm");
        run(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(copy));
    })
}

/// The same for a `requirements.txt` with hashes: where its packages are, without those they depend on.
pub fn python(folder: &str) -> PathBuf {
    let copy = install(folder, "python", |copy| {
        run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(copy));
        let pip = ["-m", "pip", "install", "--no-deps", "--require-hashes", "--only-binary=:all:", "--quiet"];
        let place = ["--disable-pip-version-check", "--upgrade", "--target", "python", "-r", "requirements.txt"];
        run(Command::new(copy.join("venv/bin/python")).args(pip).args(place).current_dir(copy));
    });
    copy.join("python")
}

/// Installs anew when what is to be installed has changed, or nothing is there.
fn install(folder: &str, made: &str, installer: impl Fn(&Path)) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let source = programs::repository().join(folder);
    let copy = programs::target_folder().join(folder.replace('/', "-")).join(made);
    let (copy, made) = (copy.parent().expect("a folder above").to_owned(), copy);
    fs::create_dir_all(&copy).expect("target is writable");
    let done = made.join(".installed");
    let mut changed = !done.is_file();
    for entry in fs::read_dir(&source).expect("a folder of the repository").flatten().filter(|it| it.path().is_file()) {
        let (from, to) = (entry.path(), copy.join(entry.file_name()));
        let new = fs::read(&from).expect("a readable file");
        if fs::read(&to).ok() != Some(new) {
            changed |= from.extension().is_some_and(|extension| extension == "json" || extension == "txt");
            fs::copy(&from, &to).expect("target is writable");
        }
    }
    if changed {
        let _ = fs::remove_file(&done);
        installer(&copy);
        fs::write(&done, "").expect("target is writable");
    }
    copy
}

/// Runs it and demands success.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?} failed: {errors}{said}");
    output
}
