//! The files of a folder that hold documents.

use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};

/// Files are looked for this deep: a symbolic link that leads back up ends somewhere.
const MAX_DEPTH: usize = 16;

/// Every `.yaml`, `.yml` and `.json` below `folder`, in the order of their names; `folder` itself if it is a file.
/// Names that begin with a dot are passed over: version control, editors, and the `..data` of a Kubernetes volume, whose
/// files stand beside it as links.
///
/// What cannot be looked into is listed as well, whatever its name: there may be documents in it, or were, and whoever
/// reads it finds out why it cannot be.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if folder.metadata()?.is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut found = Vec::new();
    collect(folder, 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(format!("{}: more than {MAX_DEPTH} folders deep", folder.display())));
    }
    let entries = match std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) if depth == 0 => return Err(error),
        Err(_) => {
            found.push(folder.to_owned());
            return Ok(());
        }
    };
    for path in entries.iter().map(DirEntry::path) {
        if path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => collect(&path, depth + 1, found)?,
            Ok(_) if !holds_documents(&path) => {}
            // It was removed meanwhile.
            Err(_) if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) => {}
            Ok(_) | Err(_) => found.push(path),
        }
    }
    Ok(())
}

fn holds_documents(path: &Path) -> bool {
    path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_and_hidden_names_are_not() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("..2026")).unwrap();
        std::fs::create_dir_all(at("sub")).unwrap();
        std::fs::write(at("..2026/a.yaml"), "").unwrap();
        std::os::unix::fs::symlink("..2026", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.yaml", at("a.yaml")).unwrap();
        for name in ["sub/b.json", "README.md", ".hidden.yaml"] {
            std::fs::write(at(name), "").unwrap();
        }
        assert_eq!(files(root.path()).unwrap(), [at("a.yaml"), at("sub/b.json")]);
        assert_eq!(files(&at("README.md")).unwrap(), [at("README.md")]);
        assert!(files(&at("gone")).is_err());
    }

    #[test]
    fn a_link_that_leads_nowhere_keeps_nobody_from_the_rest() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for (target, name) in [("nowhere", "b.yaml"), ("nowhere", "tenants"), ("turning", "turning")] {
            std::os::unix::fs::symlink(target, at(name)).unwrap();
        }
        std::fs::write(at("a.yaml"), "").unwrap();
        std::os::unix::fs::symlink("a.yaml", at("c.json")).unwrap();
        std::os::unix::fs::symlink("nowhere", at(".#editor")).unwrap();
        let names = ["a.yaml", "b.yaml", "c.json", "tenants", "turning"];
        assert_eq!(files(root.path()).unwrap(), names.map(at));
    }
}
