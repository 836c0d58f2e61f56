use std::fs;
use std::os::unix::fs::symlink;

use rcgen::CertificateParams;
use tokio::sync::mpsc;
use vocab::{SystemClock, Timestamp};

use super::*;
use crate::material::tests::{authority, certify};
use crate::material::{Files, IdentityFiles};
use crate::observer::{End, Observer, Reload};
use crate::outcome::Outcome;

const NEVER: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Reloads(mpsc::UnboundedSender<Reload>);

impl Observer for Reloads {
    fn handshake(&self, _: End, _: &'static str, _: Outcome) {}

    fn reloaded(&self, reload: Reload) {
        let _ = self.0.send(reload);
    }

    fn not_after(&self, _: &Path, _: Timestamp) {}
}

/// Certificate and key in a folder, watched.
struct Watched {
    folder: tempfile::TempDir,
    credentials: Credentials,
    reloads: mpsc::UnboundedReceiver<Reload>,
    stop: tokio_util::sync::DropGuard,
}

fn write(folder: &Path, (cert, key): &(String, String)) {
    fs::write(folder.join("tls.crt"), cert).unwrap();
    fs::write(folder.join("tls.key"), key).unwrap();
}

fn fresh() -> (String, String) {
    certify(&authority(), &CertificateParams::new(["a.example".to_owned()]).unwrap())
}

impl Watched {
    fn start(prepare: impl FnOnce(&Path), look_anyway: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let identity = IdentityFiles { cert: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
        let (sender, reloads) = mpsc::unbounded_channel();
        let files = Files { identity: Some(identity), ..Files::default() };
        let credentials = Credentials::load(files, Arc::new(SystemClock), Arc::new(Reloads(sender))).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(run_looking(vec![credentials.clone()], look_anyway, stop.clone()));
        Self { folder, credentials, reloads, stop: stop.drop_guard() }
    }

    async fn reloaded(&mut self) -> Reload {
        tokio::time::timeout(PATIENCE, self.reloads.recv()).await.expect("it is noticed").expect("the watcher runs")
    }

    /// Changes the files until that is noticed: the watcher may not have been there yet for the first time.
    async fn reloaded_after(&mut self, change: impl Fn(&Path)) -> Reload {
        loop {
            change(self.folder.path());
            let noticed = tokio::time::timeout(Duration::from_secs(2), self.reloads.recv()).await;
            if let Ok(reload) = noticed {
                return reload.expect("the watcher runs");
            }
        }
    }
}

#[tokio::test]
async fn files_that_are_written_over_are_noticed() {
    let mut watched = Watched::start(|folder| write(folder, &fresh()), NEVER);
    assert_eq!(watched.reloaded_after(|folder| write(folder, &fresh())).await, Reload::Replaced);
    // The certificate without its key: the one before stays, and the key's arrival mends it.
    let (before, (cert, key)) = (watched.credentials.current(), fresh());
    fs::write(watched.folder.path().join("tls.crt"), cert).unwrap();
    assert_eq!(watched.reloaded().await, Reload::Refused);
    assert!(Arc::ptr_eq(&before, &watched.credentials.current()));
    fs::write(watched.folder.path().join("tls.key"), key).unwrap();
    assert_eq!(watched.reloaded().await, Reload::Replaced);
    drop(watched.stop);
}

#[tokio::test]
async fn a_link_that_is_swapped_is_noticed() {
    let put = |folder: &Path, version: &str| {
        fs::create_dir_all(folder.join(version)).unwrap();
        write(&folder.join(version), &fresh());
        symlink(version, folder.join("..new")).unwrap();
        fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
    };
    let prepare = |folder: &Path| {
        put(folder, "..1");
        for file in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(file), folder.join(file)).unwrap();
        }
    };
    let mut watched = Watched::start(prepare, NEVER);
    assert_eq!(watched.reloaded_after(|folder| put(folder, "..2")).await, Reload::Replaced);
}

/// Nobody tells of what happens in the folder that links lead to.
#[tokio::test]
async fn what_nobody_tells_of_is_found_by_looking() {
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), &fresh());
    let prepare = |folder: &Path| {
        for file in ["tls.crt", "tls.key"] {
            symlink(elsewhere.path().join(file), folder.join(file)).unwrap();
        }
    };
    let mut watched = Watched::start(prepare, Duration::from_millis(50));
    let (cert, key) = fresh();
    // As one change, since it may be looked at in between.
    fs::create_dir(elsewhere.path().join("new")).unwrap();
    write(&elsewhere.path().join("new"), &(cert, key));
    for file in ["tls.crt", "tls.key"] {
        fs::rename(elsewhere.path().join("new").join(file), elsewhere.path().join(file)).unwrap();
    }
    let mut last = watched.reloaded().await;
    while last == Reload::Refused {
        last = watched.reloaded().await;
    }
    assert_eq!(last, Reload::Replaced);
}
