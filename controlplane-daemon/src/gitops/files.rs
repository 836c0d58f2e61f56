//! The files as they are now, each with its documents or with what is wrong with it.

use std::path::Path;
use std::sync::Arc;
use std::{io, iter};

use manifest::{Document, Fault, Format, Plain, References, Reserved};
use sha2::{Digest as _, Sha256};

use super::status::FileStatus;

#[derive(Clone, PartialEq)]
pub(super) struct File {
    path: String,
    /// Of its text: what is half written may have no other documents than before, or none.
    digest: Option<[u8; 32]>,
    /// None of them, once something is wrong with one.
    pub(super) documents: Arc<[Document]>,
    pub(super) errors: Vec<String>,
}

impl File {
    pub(super) fn status(self) -> FileStatus {
        FileStatus { path: self.path, documents: self.documents.len(), errors: self.errors }
    }
}

/// Fails only when the folder itself cannot be read.
pub(super) fn read(dir: &Path, reserved: &Reserved) -> io::Result<Vec<File>> {
    // Through the link, so that a swap in the middle does not mix two versions.
    let root = dir.canonicalize()?;
    let read = |path: std::path::PathBuf| {
        let shown = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        let name = path.display().to_string();
        let text = manifest::text(&path).map_err(|error| vec![format!("{name}: {error}")]);
        let digest = text.as_ref().ok().map(|text| Sha256::digest(text).into());
        match text.and_then(|text| documents(&name, &text, reserved)) {
            Ok(documents) => File { path: shown, digest, documents: documents.into(), errors: Vec::new() },
            Err(errors) => File { path: shown, digest, documents: Arc::default(), errors },
        }
    };
    Ok(manifest::files(&root)?.into_iter().map(read).collect())
}

fn documents(name: &str, text: &str, reserved: &Reserved) -> Result<Vec<Document>, Vec<String>> {
    if text.trim().is_empty() {
        // So is one whose writer has just begun: what it stated would be deleted.
        return Err(vec![format!("{name}: is empty; remove it if it is to state nothing")]);
    }
    let said = |faults: Vec<Fault>| faults.iter().map(Fault::to_string).collect::<Vec<_>>();
    let mut documents = manifest::read(name, text, Format::of(name)).map_err(said)?;
    let references = References::Follow(reserved);
    let faults: Vec<Fault> =
        documents.iter_mut().flat_map(|document| manifest::resolve(document, Plain::Refuse, references)).collect();
    if faults.is_empty() { Ok(documents) } else { Err(said(faults)) }
}

/// Of each document of `files`, in their order, the file.
pub(super) fn paths(files: &[File]) -> Vec<&str> {
    files.iter().flat_map(|file| iter::repeat_n(file.path.as_str(), file.documents.len())).collect()
}

/// Notes what is wrong with the file of `document` and takes its documents out. False: it was out already.
pub(super) fn blame(files: &mut [File], document: &Document, pointer: &str, detail: &str) -> bool {
    let theirs = |file: &&mut File| file.documents.iter().any(|one| one.file == document.file) || file.is_of(document);
    let Some(file) = files.iter_mut().find(theirs) else { return false };
    file.errors.push(document.fault(pointer, detail).to_string());
    let had = !file.documents.is_empty();
    file.documents = Arc::default();
    had
}

impl File {
    fn is_of(&self, document: &Document) -> bool {
        Path::new(&*document.file).ends_with(&self.path)
    }
}
