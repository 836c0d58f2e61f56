//! Folders for one test process, all below `$TMPDIR/hellojohn-tests/<pid>`, and the sweeping of what earlier ones left.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A fresh, empty folder that other users may enter (PostgreSQL runs as one when the tests run as root).
pub fn folder(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let path = base().join(format!("{:03}-{name}", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&path).expect("a scratch folder can be made");
    path
}

fn base() -> &'static Path {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    BASE.get_or_init(|| {
        let all = std::env::temp_dir().join("hellojohn-tests");
        fs::create_dir_all(&all).expect("the temporary directory is writable");
        sweep(&all);
        let own = all.join(std::process::id().to_string());
        fs::create_dir_all(&own).expect("the temporary directory is writable");
        for path in [&all, &own] {
            // Fails for a folder of another user, who made it enterable already.
            let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o755));
        }
        own
    })
}

/// Ends the processes and removes the folders of test processes that are no more.
fn sweep(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let owner = entry.file_name().to_string_lossy().parse::<u32>();
        let Ok(owner) = owner else { continue };
        if Path::new("/proc").join(owner.to_string()).exists() {
            continue;
        }
        end_processes_that_name(&entry.path());
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// Every process of ours names a file of its scratch folder on its command line.
fn end_processes_that_name(folder: &Path) {
    let needle = format!("{}/", folder.display());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let command_line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command_line).contains(&needle) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
