//! The files of a folder that hold documents.

use std::io;
use std::path::{Path, PathBuf};

/// Files are looked for this deep: a symbolic link that leads back up ends somewhere.
const MAX_DEPTH: usize = 16;

/// Every `.yaml`, `.yml` and `.json` below `folder`, in the order of their names; `folder` itself if it is a file.
/// Names that begin with a dot are passed over: version control, editors, and the `..data` of a Kubernetes volume, whose
/// files stand beside it as links.
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
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        let metadata = path.metadata()?;
        if metadata.is_dir() {
            collect(&path, depth + 1, found)?;
        } else if path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known)) {
            found.push(path);
        }
    }
    Ok(())
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
}
