//! Files as text: regular ones only, and no more of one than it may have.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::document::MAX_FILE_BYTES;

/// The text of a file of documents.
pub fn text(path: &Path) -> io::Result<String> {
    at_most(path, MAX_FILE_BYTES)
}

/// What a file says of its length is not asked: that of many is none, or grows.
pub(crate) fn at_most(path: &Path, most: usize) -> io::Result<String> {
    // Not even opened: a pipe has its reader wait for somebody who writes.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::other(format!("has more than {most} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_has_no_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("fits"), "12345").unwrap();
        std::fs::write(at("long"), "123456").unwrap();
        std::fs::write(at("bytes"), [0xff]).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("endless")).unwrap();
        assert_eq!(at_most(&at("fits"), 5).unwrap(), "12345");
        for (name, why) in [
            ("long", "has more than 5 bytes"),
            ("bytes", "is not UTF-8"),
            ("endless", "is not a regular file"),
            ("", "is not a regular file"),
        ] {
            assert_eq!(at_most(&at(name), 5).unwrap_err().to_string(), why, "{name}");
        }
        assert_eq!(at_most(&at("gone"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
