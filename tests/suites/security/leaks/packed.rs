//! Files as who holds the master key reads them: what is compressed, or sealed as a whole, shows nothing to a search.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tests::cluster::Secrets;
use vocab::{Keyring, MasterKey, Sealed};

/// Every file below the folder.
pub(super) fn files_below(folder: PathBuf) -> Vec<Vec<u8>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                files.push(fs::read(entry.path()).unwrap_or_default());
            }
        }
    }
    files
}

pub(super) fn text_below(folder: PathBuf) -> String {
    files_below(folder).iter().map(|file| String::from_utf8_lossy(file)).collect()
}

/// What a snapshot of the control plane holds: `"HJSNAP01" · u32 length of the header · header · zstd(body) · u32 CRC-32`.
pub(super) fn snapshot(file: &[u8]) -> Option<String> {
    let (length, rest) = file.strip_prefix(b"HJSNAP01")?.split_first_chunk::<4>()?;
    let (header, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let (body, _checksum) = rest.split_last_chunk::<4>()?;
    let body = zstd::stream::decode_all(body).ok()?;
    Some(format!("{}\n{}", String::from_utf8_lossy(header), String::from_utf8_lossy(&body)))
}

/// What a pod keeps of its configuration: `HJDP1`, a checksum, and on the next line the envelope of zstd(configuration).
pub(super) fn configuration(file: &[u8], secrets: &Secrets) -> Option<String> {
    let (_checksum, envelope) = std::str::from_utf8(file).ok()?.strip_prefix("HJDP1 ")?.split_once('\n')?;
    let master = STANDARD.decode(&secrets.master_key).ok()?.try_into().ok()?;
    let sealed: Sealed = envelope.parse().ok()?;
    let plain = Keyring::new(MasterKey::new(master), Vec::new()).open(&sealed).ok()?;
    let plain = zstd::stream::decode_all(plain.expose().as_slice()).ok()?;
    Some(String::from_utf8_lossy(&plain).into_owned())
}
