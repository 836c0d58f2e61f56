//! `node.json`: whose data this is. Read before anything else is opened, so that a wrong master key touches nothing.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vocab::{Keyring, NodeId, Sealed};

use super::{StorageError, sync_folder_of, write_durably};

/// The layout of the data directory. In 1 the records of the log are in `log.redb`, in 2 in `journal/`.
const FORMAT: u32 = 2;
const CANARY: &[u8] = b"hellojohn control plane";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    format: u32,
    node_id: NodeId,
    /// Opens only with a master key that has sealed data here.
    canary: Sealed,
    /// CRC-32 of the rest, so that a damaged file is not taken for a wrong key. The first release wrote none.
    #[serde(default)]
    checksum: Option<u32>,
}

impl Identity {
    fn read(path: &Path, bytes: &[u8]) -> Result<Self, StorageError> {
        let identity: Self = serde_json::from_slice(bytes).map_err(|why| StorageError::corrupt(path, why))?;
        if identity.format > FORMAT {
            return Err(StorageError::NewerFormat { path: path.to_owned(), found: identity.format, known: FORMAT });
        }
        match identity.checksum {
            Some(written) if written != identity.sum() => {
                Err(StorageError::corrupt(path, "the checksum does not match"))
            }
            _ => Ok(identity),
        }
    }

    fn store(mut self, path: &Path) -> Result<(), StorageError> {
        self.checksum = Some(self.sum());
        let bytes = serde_json::to_vec_pretty(&self).map_err(|why| StorageError::corrupt(path, why))?;
        write_durably(path, &bytes)
    }

    fn sum(&self) -> u32 {
        crc32fast::hash(format!("{} {} {}", self.format, self.node_id, self.canary).as_bytes())
    }
}

/// Checks that `data_dir` is this node's and was sealed with a key of `keyring`; makes it when it is new.
pub fn claim(data_dir: &Path, node_id: NodeId, keyring: &Keyring) -> Result<(), StorageError> {
    let path = data_dir.join("node.json");
    match std::fs::read(&path) {
        Ok(bytes) => check(path, &bytes, node_id, keyring),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => create(data_dir, &path, node_id, keyring),
        Err(source) => Err(StorageError::io("read", &path)(source)),
    }
}

fn check(path: PathBuf, bytes: &[u8], node_id: NodeId, keyring: &Keyring) -> Result<(), StorageError> {
    let identity = Identity::read(&path, bytes)?;
    let opened = keyring.open(&identity.canary);
    match opened {
        Ok(canary) if canary.expose() == CANARY => {}
        Ok(_) => return Err(StorageError::corrupt(&path, "the canary holds something else")),
        Err(why) => return Err(StorageError::WrongMasterKey { path, why: why.to_string() }),
    }
    if identity.node_id != node_id {
        return Err(StorageError::OtherNode { path, stored: identity.node_id.0, configured: node_id.0 });
    }
    Ok(())
}

/// Seals the canary with the ring's first key, so that an older key is not needed for it any more. Call it once the data
/// is locked, so that no other process writes at the same time.
pub fn reseal(data_dir: &Path, keyring: &Keyring) -> Result<(), StorageError> {
    let path = data_dir.join("node.json");
    let bytes = std::fs::read(&path).map_err(StorageError::io("read", &path))?;
    let identity = Identity::read(&path, &bytes)?;
    if identity.canary.key_id() == keyring.first_id() {
        return Ok(());
    }
    tracing::info!(key = keyring.first_id(), "the data directory is now sealed with the newest master key");
    write(&path, identity.node_id, keyring)
}

/// Says that the directory has today's layout: a release that knows only an older one refuses it from now on. Call it
/// while the data is locked and still as the older release left it.
pub(super) fn raise_format(data_dir: &Path) -> Result<(), StorageError> {
    let path = data_dir.join("node.json");
    let bytes = match std::fs::read(&path) {
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(StorageError::io("read", &path))?,
    };
    let mut identity = Identity::read(&path, &bytes)?;
    if identity.format == FORMAT {
        return Ok(());
    }
    identity.format = FORMAT;
    identity.store(&path)
}

fn write(path: &Path, node_id: NodeId, keyring: &Keyring) -> Result<(), StorageError> {
    let canary = keyring.seal(CANARY, rand::random());
    Identity { format: FORMAT, node_id, canary, checksum: None }.store(path)
}

fn create(data_dir: &Path, path: &Path, node_id: NodeId, keyring: &Keyring) -> Result<(), StorageError> {
    use std::os::unix::fs::DirBuilderExt as _;
    for other in ["log.redb", "journal", "snapshots"].map(|name| data_dir.join(name)) {
        if other.exists() {
            return Err(StorageError::corrupt(path, format_args!("it is missing beside {}", other.display())));
        }
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(StorageError::io("create", data_dir))?;
    sync_folder_of(data_dir)?;
    write(path, node_id, keyring)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(byte: u8) -> Keyring {
        Keyring::new(vocab::MasterKey::new([byte; 32]), Vec::new())
    }

    #[test]
    fn a_wrong_key_or_node_is_refused_and_nothing_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        claim(&data, NodeId(1), &keyring(1)).unwrap();
        claim(&data, NodeId(1), &keyring(1)).unwrap();
        let before = std::fs::read(data.join("node.json")).unwrap();
        assert!(matches!(claim(&data, NodeId(1), &keyring(2)), Err(StorageError::WrongMasterKey { .. })));
        assert!(matches!(claim(&data, NodeId(2), &keyring(1)), Err(StorageError::OtherNode { .. })));
        let rotated = Keyring::new(vocab::MasterKey::new([2; 32]), vec![vocab::MasterKey::new([1; 32])]);
        claim(&data, NodeId(1), &rotated).unwrap();
        assert_eq!(std::fs::read(data.join("node.json")).unwrap(), before);
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1);
    }

    #[test]
    fn after_a_rotation_the_old_key_can_go() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        claim(&data, NodeId(1), &keyring(1)).unwrap();
        let rotated = Keyring::new(vocab::MasterKey::new([2; 32]), vec![vocab::MasterKey::new([1; 32])]);
        claim(&data, NodeId(1), &rotated).unwrap();
        reseal(&data, &rotated).unwrap();
        claim(&data, NodeId(1), &keyring(2)).unwrap();
        assert!(matches!(claim(&data, NodeId(1), &keyring(1)), Err(StorageError::WrongMasterKey { .. })));
        let before = std::fs::read(data.join("node.json")).unwrap();
        reseal(&data, &rotated).unwrap();
        assert_eq!(std::fs::read(data.join("node.json")).unwrap(), before, "sealed once per rotation");
    }

    #[test]
    fn an_older_directory_is_marked_as_of_today_and_stays_whose_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.json");
        claim(dir.path(), NodeId(1), &keyring(1)).unwrap();
        let mut old: Identity = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        old.format = 1;
        old.store(&path).unwrap();
        claim(dir.path(), NodeId(1), &keyring(1)).unwrap();
        raise_format(dir.path()).unwrap();
        let raised = std::fs::read(&path).unwrap();
        assert_eq!(serde_json::from_slice::<Identity>(&raised).unwrap().format, FORMAT);
        claim(dir.path(), NodeId(1), &keyring(1)).unwrap();
        raise_format(dir.path()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), raised);
    }

    #[test]
    fn a_damaged_file_is_named_and_not_taken_for_a_wrong_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.json");
        claim(dir.path(), NodeId(1), &keyring(1)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // White space and the like may still say the same.
            if let Ok(same) = serde_json::from_slice::<Identity>(&damaged)
                && same.checksum == Some(same.sum())
            {
                continue;
            }
            std::fs::write(&path, &damaged).unwrap();
            let refused = claim(dir.path(), NodeId(1), &keyring(1)).unwrap_err();
            let named = matches!(refused, StorageError::Corrupt { .. } | StorageError::NewerFormat { .. });
            assert!(named && refused.to_string().contains("node.json"), "bit {bit}: {refused}");
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(claim(dir.path(), NodeId(1), &keyring(1)), Err(StorageError::Corrupt { .. })));
        }
    }

    #[test]
    fn a_log_without_identity_is_not_adopted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log.redb"), b"x").unwrap();
        assert!(matches!(claim(dir.path(), NodeId(1), &keyring(1)), Err(StorageError::Corrupt { .. })));
    }
}
