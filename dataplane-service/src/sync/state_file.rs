//! The last complete configuration, sealed on disk, so that a pod can start while no control plane answers.
//!
//! ```text
//!   HJDP1 <crc32 of the rest, 8 hex digits>\n
//!   <envelope of: zstd of: cluster id · revision · saved at · count · length-delimited Resource messages>
//! ```

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::{Buf as _, BufMut as _};
use prost::Message as _;
use shared_proto::watch;
use uuid::Uuid;
use vocab::{ClusterId, Keyring, Revision, SealError, Sealed, Timestamp};

use super::mirror::Saved;

const MAGIC: &str = "HJDP1 ";
const NAME: &str = "configuration.sealed";
/// Far above any configuration, far below what would hurt: a bound on what decompression may make.
const MOST_BYTES: usize = 1 << 30;

/// Where the state is kept.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

/// What a state file says.
#[derive(Debug)]
pub struct Loaded {
    pub cluster_id: ClusterId,
    pub revision: Revision,
    /// When it was last known to be complete.
    pub saved_at: Timestamp,
    pub resources: Vec<watch::Resource>,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Start nothing: the pod was given a wrong master key, and the file may be all there is.
    #[error("{path}: {source}", path = path.display())]
    WrongKey { path: PathBuf, source: SealError },
    /// The file is of no use; a control plane has all that it held.
    #[error("{path}: {problem}", path = path.display())]
    Unusable { path: PathBuf, problem: String },
}

impl StateFile {
    pub fn in_dir(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { path: dir.join(NAME) })
    }

    /// `None` when there is no file yet.
    pub fn load(&self, keyring: &Keyring) -> Result<Option<Loaded>, LoadError> {
        let unusable = |problem: String| LoadError::Unusable { path: self.path.clone(), problem };
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(error.to_string())),
        };
        let sealed = text
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.split_once('\n'))
            .ok_or_else(|| unusable("not a state file of a version that this build reads".to_owned()))
            .and_then(|(checksum, envelope)| {
                let whole = u32::from_str_radix(checksum, 16) == Ok(crc32fast::hash(envelope.as_bytes()));
                if whole { Ok(envelope) } else { Err(unusable("its checksum is wrong".to_owned())) }
            })?;
        let sealed: Sealed = sealed.parse().map_err(|error: SealError| unusable(error.to_string()))?;
        let plain = keyring.open(&sealed).map_err(|source| LoadError::WrongKey { path: self.path.clone(), source })?;
        decode(plain.expose()).map(Some).map_err(unusable)
    }

    /// Writes beside the file and renames, so that a crash leaves either the old state or the new one.
    pub fn save(&self, saved: &Saved, saved_at: Timestamp, keyring: &Keyring) -> io::Result<()> {
        let envelope = keyring.seal(&encode(saved, saved_at)?, rand::random()).to_string();
        let temporary = self.path.with_extension("tmp");
        let mut file = private(&temporary)?;
        write!(file, "{MAGIC}{:08x}\n{envelope}", crc32fast::hash(envelope.as_bytes()))?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        // The rename itself is durable once the folder is.
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn encode(saved: &Saved, saved_at: Timestamp) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    plain.put_slice(saved.cluster_id.as_uuid().as_bytes());
    plain.put_u64(saved.revision.get());
    plain.put_i64(saved_at.millis());
    plain.put_u64(saved.resources.len() as u64);
    for resource in saved.resources.values() {
        prost::encoding::encode_varint(resource.len() as u64, &mut plain);
        plain.put_slice(resource);
    }
    zstd::bulk::compress(&plain, 1)
}

fn decode(compressed: &[u8]) -> Result<Loaded, String> {
    let length = zstd::zstd_safe::get_frame_content_size(compressed).ok().flatten().unwrap_or(0);
    let length = usize::try_from(length).ok().filter(|length| *length <= MOST_BYTES).ok_or("it claims to be huge")?;
    let plain = zstd::bulk::decompress(compressed, length).map_err(|error| error.to_string())?;
    let mut rest = plain.as_slice();
    let cut = |_| "it ends too early".to_owned();
    let mut uuid = [0; 16];
    rest.try_copy_to_slice(&mut uuid).map_err(cut)?;
    let revision = rest.try_get_u64().map_err(cut)?;
    let saved_at = rest.try_get_i64().map_err(cut)?;
    let count = rest.try_get_u64().map_err(cut)?;
    let mut resources = Vec::new();
    for _ in 0..count {
        resources.push(watch::Resource::decode_length_delimited(&mut rest).map_err(|error| error.to_string())?);
    }
    if !rest.is_empty() {
        return Err("there is more in it than it says".to_owned());
    }
    Ok(Loaded {
        cluster_id: ClusterId::from_uuid(Uuid::from_bytes(uuid)),
        revision: Revision(revision),
        saved_at: Timestamp::from_millis(saved_at),
        resources,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::decode::ResourceKey;
    use vocab::MasterKey;

    fn ring(byte: u8) -> Keyring {
        Keyring::new(MasterKey::new([byte; 32]), vec![])
    }

    fn saved() -> Saved {
        let tenant = Uuid::from_u128(7).to_string();
        let scope = watch::Scope { tenant_id: tenant, name: "orders".into(), ..Default::default() };
        let resource = watch::Resource { kind: Some(watch::resource::Kind::Scope(scope)) };
        let key = ResourceKey::of(&resource).unwrap();
        Saved {
            cluster_id: ClusterId::from_uuid(Uuid::from_u128(1)),
            revision: Revision(42),
            resources: [(key, bytes::Bytes::from(resource.encode_to_vec()))].into_iter().collect(),
        }
    }

    fn file() -> (tempfile::TempDir, StateFile) {
        let dir = tempfile::tempdir().unwrap();
        let file = StateFile::in_dir(&dir.path().join("new")).unwrap();
        (dir, file)
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let (_dir, file) = file();
        assert!(file.load(&ring(1)).unwrap().is_none());
        file.save(&saved(), Timestamp::from_secs(5), &ring(1)).unwrap();
        file.save(&saved(), Timestamp::from_secs(6), &ring(1)).unwrap();
        let loaded = file.load(&ring(1)).unwrap().unwrap();
        assert_eq!((loaded.revision, loaded.saved_at), (Revision(42), Timestamp::from_secs(6)));
        assert_eq!(loaded.cluster_id, saved().cluster_id);
        assert_eq!(loaded.resources.len(), 1);
    }

    #[test]
    fn a_wrong_key_is_told_from_damage_and_leaves_the_file() {
        let (_dir, file) = file();
        file.save(&saved(), Timestamp::from_secs(5), &ring(1)).unwrap();
        let before = fs::read(&file.path).unwrap();
        assert!(matches!(file.load(&ring(2)), Err(LoadError::WrongKey { .. })));
        assert_eq!(fs::read(&file.path).unwrap(), before);
        // A rotated ring still opens it.
        let both = Keyring::new(MasterKey::new([2; 32]), vec![MasterKey::new([1; 32])]);
        assert!(file.load(&both).unwrap().is_some());
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        let (_dir, file) = file();
        file.save(&saved(), Timestamp::from_secs(5), &ring(1)).unwrap();
        let whole = fs::read(&file.path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&file.path, &damaged).unwrap();
            assert!(matches!(file.load(&ring(1)), Err(LoadError::Unusable { .. })), "byte {at}");
        }
        for length in [0, 3, 10, whole.len() - 1] {
            fs::write(&file.path, &whole[..length]).unwrap();
            assert!(matches!(file.load(&ring(1)), Err(LoadError::Unusable { .. })), "length {length}");
        }
    }

    #[test]
    fn nothing_of_it_can_be_read_without_the_key() {
        let (_dir, file) = file();
        file.save(&saved(), Timestamp::from_secs(5), &ring(1)).unwrap();
        assert!(!fs::read_to_string(&file.path).unwrap().contains("orders"));
    }
}
