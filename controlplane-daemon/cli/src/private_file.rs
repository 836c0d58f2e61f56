//! Files that hold secrets: mode 0600, replaced in one step, so that no reader ever sees half of one.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::Context as _;

/// Writes beside the file and renames.
pub(crate) fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = (|| {
        // A left-over of a crash may have another mode; `create_new` never writes into what is there.
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// A new file that is written piece by piece.
pub(crate) fn create(path: &Path) -> anyhow::Result<fs::File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

/// Creates a directory, and those above it, that only its owner can enter.
pub(crate) fn create_dir(path: &Path) -> anyhow::Result<()> {
    create_dir_with(path, 0o700)
}

/// Like [`create_dir`], but others may pass through to what they are given inside.
pub(crate) fn create_dir_to_pass(path: &Path) -> anyhow::Result<()> {
    create_dir_with(path, 0o711)
}

fn create_dir_with(path: &Path, mode: u32) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(mode);
    builder.create(path).with_context(|| format!("cannot create {}", path.display()))
}

/// The file's text without the line end that editors add.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_is_readable_by_its_owner_only_also_when_it_replaces_an_open_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, "new\n").unwrap();
        assert_eq!(read(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
