//! When the configuration was last known to be complete, kept on disk, so that its age goes on counting over a restart.
//!
//! A clock that is set back must not make it young again. While the machine runs on, its own clock since the boot counts,
//! which nobody can set; after a reboot only the wall clock is there, and one that reads earlier than what is on disk is
//! not believed: then the age is unknown, which is as good as too old.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vocab::{ClusterId, Keyring, Revision, Sealed, Timestamp};

use super::Position;

const NAME: &str = "confirmed.sealed";
/// Clocks may differ by that much around a reboot.
const TOLERANCE: Duration = Duration::from_mins(1);
/// Older than any policy allows.
pub const UNKNOWN_AGE: Duration = Duration::from_hours(24 * 365 * 10);

#[derive(Clone, Debug)]
pub struct ConfirmedFile {
    path: PathBuf,
}

/// The moment, by both clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Confirmed {
    cluster_id: ClusterId,
    /// What it had then. Absent: written by a build that did not look whether it was on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    wall: Timestamp,
    /// Absent where the system has no such clock.
    boot: Option<BootTime>,
}

/// Time since a boot, and which boot that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootTime {
    boot_id: String,
    since_ms: u64,
}

impl BootTime {
    /// The machine's clock since its boot, suspension included (`proc_uptime(5)`).
    pub fn now() -> Option<Self> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let (secs, hundredths) = uptime.split_whitespace().next()?.split_once('.')?;
        let (secs, hundredths): (u64, u64) = (secs.parse().ok()?, hundredths.get(..2)?.parse().ok()?);
        Some(Self { boot_id, since_ms: secs * 1000 + hundredths * 10 })
    }
}

impl ConfirmedFile {
    pub fn in_dir(dir: &Path) -> Self {
        Self { path: dir.join(NAME) }
    }

    /// Notes that whoever has `position` has a configuration that is `age` old now. Not forced to disk: what is lost is
    /// older, which is safe.
    pub fn save(
        &self,
        position: Position,
        age: Duration,
        now: Timestamp,
        boot: Option<BootTime>,
        keyring: &Keyring,
    ) -> io::Result<()> {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let wall = before(now, age);
        // Confirmed before the boot: then only the wall clock can tell.
        let boot = boot.and_then(|boot| Some(BootTime { since_ms: boot.since_ms.checked_sub(age_ms)?, ..boot }));
        let Position { cluster_id, revision } = position;
        let text = serde_json::to_vec(&Confirmed { cluster_id, revision: Some(revision), wall, boot })?;
        let temporary = self.path.with_extension("tmp");
        fs::write(&temporary, keyring.seal(&text, rand::random()).to_string())?;
        fs::rename(&temporary, &self.path)
    }

    /// How old the configuration is of whoever has `held`; `None` when nothing is noted of that.
    pub fn age(&self, held: Position, now: Timestamp, boot: Option<&BootTime>, keyring: &Keyring) -> Option<Duration> {
        let sealed: Sealed = fs::read_to_string(&self.path).ok()?.parse().ok()?;
        let confirmed: Confirmed = serde_json::from_slice(keyring.open(&sealed).ok()?.expose()).ok()?;
        let noted = Position { cluster_id: confirmed.cluster_id, revision: confirmed.revision.unwrap_or_default() };
        if !held.includes(noted) {
            return None;
        }
        Some(match (&confirmed.boot, boot) {
            (Some(then), Some(now)) if then.boot_id == now.boot_id => {
                Duration::from_millis(now.since_ms.saturating_sub(then.since_ms))
            }
            _ => by_wall_clock(confirmed.wall, now),
        })
    }
}

pub fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.millis().saturating_sub(age_ms))
}

/// The age of what was confirmed at `then`, as far as a wall clock can tell.
pub fn by_wall_clock(then: Timestamp, now: Timestamp) -> Duration {
    if then.since(now) > TOLERANCE { UNKNOWN_AGE } else { now.since(then) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocab::MasterKey;

    const NOON: Timestamp = Timestamp::from_secs(1_000_000);

    fn ring(byte: u8) -> Keyring {
        Keyring::new(MasterKey::new([byte; 32]), vec![])
    }

    fn cluster(n: u128) -> ClusterId {
        ClusterId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn at(cluster_id: u128, revision: u64) -> Position {
        Position { cluster_id: cluster(cluster_id), revision: Revision(revision) }
    }

    fn boot(id: &str, secs: u64) -> BootTime {
        BootTime { boot_id: id.to_owned(), since_ms: secs * 1000 }
    }

    /// Confirmed 10 s before noon, 500 s after the boot `a`; what is read later.
    fn age(now: Timestamp, boot_now: Option<&BootTime>) -> Option<Duration> {
        let dir = tempfile::tempdir().unwrap();
        let file = ConfirmedFile::in_dir(dir.path());
        file.save(at(1, 7), Duration::from_secs(10), NOON, Some(boot("a", 510)), &ring(1)).unwrap();
        assert_eq!(file.age(at(2, 7), now, boot_now, &ring(1)), None, "another cluster's");
        assert_eq!(file.age(at(1, 7), now, boot_now, &ring(2)), None, "another key's");
        assert_eq!(file.age(at(1, 6), now, boot_now, &ring(1)), None, "of more than there is");
        let age = file.age(at(1, 7), now, boot_now, &ring(1));
        assert_eq!(file.age(at(1, 8), now, boot_now, &ring(1)), age);
        age
    }

    #[test]
    fn while_the_machine_runs_its_own_clock_counts_whatever_the_wall_clock_says() {
        for wall in [NOON, NOON.plus_secs(-900_000), NOON.plus_secs(900_000)] {
            assert_eq!(age(wall, Some(&boot("a", 600))), Some(Duration::from_secs(100)));
        }
    }

    #[test]
    fn after_a_reboot_the_wall_clock_counts_unless_it_reads_earlier() {
        let other = boot("b", 1);
        for boot_now in [None, Some(&other)] {
            assert_eq!(age(NOON.plus_secs(90), boot_now), Some(Duration::from_secs(100)));
            assert_eq!(age(NOON.plus_secs(-30), boot_now), Some(Duration::ZERO));
            assert_eq!(age(NOON.plus_secs(-3600), boot_now), Some(UNKNOWN_AGE));
        }
    }

    /// As the release before writes and reads it.
    #[test]
    fn the_release_before_understands_it_and_is_understood() {
        #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
        struct Before {
            cluster_id: ClusterId,
            wall: Timestamp,
            boot: Option<BootTime>,
        }
        let dir = tempfile::tempdir().unwrap();
        let file = ConfirmedFile::in_dir(dir.path());
        let before = Before { cluster_id: cluster(1), wall: NOON, boot: Some(boot("a", 500)) };
        let text = ring(1).seal(&serde_json::to_vec(&before).unwrap(), [3; 24]);
        fs::write(&file.path, text.to_string()).unwrap();
        assert_eq!(file.age(at(1, 7), NOON, Some(&boot("a", 600)), &ring(1)), Some(Duration::from_secs(100)));

        file.save(at(1, 7), Duration::ZERO, NOON, Some(boot("a", 500)), &ring(1)).unwrap();
        let sealed: Sealed = fs::read_to_string(&file.path).unwrap().parse().unwrap();
        assert_eq!(serde_json::from_slice::<Before>(ring(1).open(&sealed).unwrap().expose()).unwrap(), before);
    }

    #[test]
    fn nothing_is_known_without_a_file_or_from_a_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = ConfirmedFile::in_dir(dir.path());
        assert_eq!(file.age(at(1, 7), NOON, None, &ring(1)), None);
        fs::write(&file.path, "hjs1.0a1b2c3d.AAAA").unwrap();
        assert_eq!(file.age(at(1, 7), NOON, None, &ring(1)), None);
    }

    #[test]
    fn this_machine_has_a_clock_since_its_boot() {
        let (first, second) = (BootTime::now().unwrap(), BootTime::now().unwrap());
        assert_eq!(first.boot_id, second.boot_id);
        assert!(first.since_ms <= second.since_ms && first.since_ms > 0);
    }
}
