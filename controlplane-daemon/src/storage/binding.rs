//! `cluster.json`: which cluster this data belongs to, from before its first entry is in the log.

use std::path::Path;

use serde::{Deserialize, Serialize};
use vocab::ClusterId;

use super::{StorageError, sync_folder_of, write_durably};

const FILE: &str = "cluster.json";
const FORMAT: u32 = 1;

/// What this data is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub cluster_id: ClusterId,
    pub by: Binder,
    /// While this node is being filled: the position in the log from which on it knows who is in the cluster.
    pub filled_at: Option<u64>,
}

/// Who has bound it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binder {
    /// This node, to the cluster that it founds.
    Founder,
    /// A member that called, or what was in the log.
    Member,
}

impl Binder {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Founder => "founder",
            Self::Member => "member",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    cluster_id: ClusterId,
    bound_by: Binder,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filled_at: Option<u64>,
    /// CRC-32 of the rest.
    checksum: u32,
}

impl File {
    fn new(bound: Bound) -> Self {
        let Bound { cluster_id, by, filled_at } = bound;
        let mut file = Self { format: FORMAT, cluster_id, bound_by: by, filled_at, checksum: 0 };
        file.checksum = file.sum();
        file
    }

    fn sum(&self) -> u32 {
        let filled = self.filled_at.map(|position| format!(" {position}")).unwrap_or_default();
        let rest = format!("{} {} {}{filled}", self.format, self.cluster_id, self.bound_by.as_str());
        crc32fast::hash(rest.as_bytes())
    }
}

/// `None`: the node is new, or of a release that kept no such file.
pub fn read(data_dir: &Path) -> Result<Option<Bound>, StorageError> {
    let path = data_dir.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StorageError::io("read", &path)(source)),
    };
    let file: File = serde_json::from_slice(&bytes).map_err(|why| StorageError::corrupt(&path, why))?;
    if file.format > FORMAT {
        return Err(StorageError::NewerFormat { path, found: file.format, known: FORMAT });
    }
    if file.checksum != file.sum() {
        return Err(StorageError::corrupt(&path, "the checksum does not match"));
    }
    Ok(Some(Bound { cluster_id: file.cluster_id, by: file.bound_by, filled_at: file.filled_at }))
}

/// Durable when it returns.
pub fn write(data_dir: &Path, bound: Bound) -> Result<(), StorageError> {
    let path = data_dir.join(FILE);
    let bytes = serde_json::to_vec_pretty(&File::new(bound)).map_err(|why| StorageError::corrupt(&path, why))?;
    write_durably(&path, &bytes)
}

/// Durable when it returns. Only for a node without a log: one that has a log would believe whoever calls it first.
pub fn remove(data_dir: &Path) -> Result<(), StorageError> {
    let path = data_dir.join(FILE);
    match std::fs::remove_file(&path).map_err(StorageError::io("remove", &path)) {
        Err(why) if why.is_missing_file() => Ok(()),
        Err(why) => Err(why),
        Ok(()) => sync_folder_of(&path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(by: Binder) -> Bound {
        Bound { cluster_id: ClusterId::from_uuid(uuid::Uuid::from_u128(5)), by, filled_at: None }
    }

    fn filling() -> Bound {
        Bound { filled_at: Some(70), ..bound(Binder::Member) }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        for bound in [bound(Binder::Founder), bound(Binder::Member), filling()] {
            write(dir.path(), bound).unwrap();
            assert_eq!(read(dir.path()).unwrap(), Some(bound));
        }
        for _ in 0..2 {
            remove(dir.path()).unwrap();
            assert_eq!(read(dir.path()).unwrap(), None);
        }
    }

    #[test]
    fn the_file_of_the_first_release_that_has_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let written = r#"{"format":1,"cluster_id":"00000000-0000-0000-0000-000000000005","bound_by":"founder",
            "checksum":681372366}"#;
        std::fs::write(dir.path().join(FILE), written).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(bound(Binder::Founder)));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        write(dir.path(), filling()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &damaged).unwrap();
            match read(dir.path()) {
                // White space and the like may still say the same.
                Ok(read) => assert_eq!(read, Some(filling()), "bit {bit}"),
                Err(why) => assert!(why.to_string().contains(FILE), "bit {bit}: {why}"),
            }
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(read(dir.path()), Err(StorageError::Corrupt { .. })), "{length} bytes");
        }
    }
}
