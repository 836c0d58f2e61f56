//! A disk of its own, in a file: an ext4 file system that can fail while files on it are open.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::scratch;

/// Room for a log with its spare segment, and for what else a node keeps. The file itself is as long as what is written.
const BYTES: u64 = 256 << 20;

/// Gone with the test: nobody mounts it any more, and the kernel forgets its device with the last file that is closed.
#[derive(Debug)]
pub struct LoopDisk {
    image: PathBuf,
    mounted_at: PathBuf,
}

impl LoopDisk {
    /// `None` when the machine is declared unable by `HJ_SKIP_MOUNT_TESTS=1`, or has no loop devices, as in a container.
    #[expect(clippy::print_stderr, reason = "the test runner shows it")]
    pub fn mount() -> Option<Self> {
        if std::env::var_os("HJ_SKIP_MOUNT_TESTS").is_some() || !Path::new("/dev/loop-control").exists() {
            eprintln!("skipped: HJ_SKIP_MOUNT_TESTS is set, or there are no loop devices");
            return None;
        }
        let folder = scratch::folder("loop-disk");
        let disk = Self { image: folder.join("image"), mounted_at: folder.join("disk") };
        fs::create_dir(&disk.mounted_at).expect("the folder is new");
        let file = File::create(&disk.image).expect("the folder is writable");
        file.set_len(BYTES).expect("a file can have holes");
        run("mkfs.ext4", &["-q", "-F"], &[&disk.image]).and_then(|()| disk.try_mount()).expect("root may mount");
        Some(disk)
    }

    pub fn path(&self) -> &Path {
        &self.mounted_at
    }

    /// As the kernel does by itself when its journal meets a bad block: from now on nothing is written, whoever has what
    /// open.
    #[track_caller]
    pub fn turn_read_only(&self) {
        run("mount", &["-o", "remount,abort"], &[&self.mounted_at]).expect("root may");
    }

    /// What an operator does then. Nobody may have a file open.
    #[track_caller]
    pub fn repair(&self) {
        run("umount", &[], &[&self.mounted_at]).expect("nobody uses it");
        run("e2fsck", &["-f", "-y"], &[&self.image]).expect("there is little to repair");
        self.try_mount().expect("it could be mounted before");
    }

    fn try_mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop"], &[&self.image, &self.mounted_at])
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Not mounted at all, when that could not be done.
        let _ = run("umount", &["-l"], &[&self.mounted_at]);
    }
}

fn run(program: &str, options: &[&str], paths: &[&Path]) -> Result<(), String> {
    let told = |output: Output| format!("{program}: {}{}", output.status, String::from_utf8_lossy(&output.stderr));
    match Command::new(program).args(options).args(paths).output() {
        Ok(output) if output.status.success() => Ok(()),
        // e2fsck(8): there were errors, and there are none any more.
        Ok(output) if program == "e2fsck" && output.status.code() == Some(1) => Ok(()),
        Ok(output) => Err(told(output)),
        Err(why) => Err(format!("{program}: {why}")),
    }
}
