//! Secrets stand beside the documents, not in them: `{from_env: NAME}` or `{from_file: PATH}`, put in by whoever reads
//! the files. After that they stand in the body as plain text, on their way to be sealed or hashed.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::document::{Document, Fault, Kind};
use crate::file;

/// What to do with a secret that stands in a document as plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    Refuse,
    Allow,
}

/// What is the reader's own: a document that names it does not get it.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    /// What the names of its variables begin with.
    pub variables: Vec<String>,
    /// Its files, and folders with all that is below them.
    pub paths: Vec<PathBuf>,
}

impl Reserved {
    fn has_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|beginning| name.starts_with(beginning))
    }

    /// `path` leads through no link. Those of the reader's own are followed anew each time: a volume's change.
    fn has_file(&self, path: &Path) -> bool {
        self.paths.iter().any(|own| path.starts_with(own.canonicalize().as_ref().unwrap_or(own)))
    }
}

/// What to do with references.
#[derive(Clone, Copy, Debug)]
pub enum References<'a> {
    /// The reader has no business with files or variables of ours: documents that came over the network.
    Refuse,
    Follow(&'a Reserved),
}

/// Longer is no secret but a mistake.
const MAX_SECRET_BYTES: usize = 16 * 1024;

/// Puts the secrets in. Every problem is found, and none of the texts is repeated.
pub fn resolve(document: &mut Document, plain: Plain, references: References<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for pointer in places(document) {
        let Some(value) = body_pointer(document, &pointer) else { continue };
        match secret(value, Path::new(&*document.file), plain, references) {
            Ok(Some(text)) => set(document, &pointer, text),
            Ok(None) => {}
            Err(why) => faults.push(document.fault(&pointer, why)),
        }
    }
    faults
}

/// Where secrets may stand.
fn places(document: &Document) -> Vec<String> {
    match document.kind {
        Kind::Tenant => {
            let of_each = |list: &'static str, secret: &'static str| {
                let items = body_pointer(document, list).and_then(Value::as_array).map_or(0, Vec::len);
                (0..items).map(move |index| format!("{list}/{index}/{secret}"))
            };
            let own = ["/settings/database/dsn", "/settings/smtp/password"].map(str::to_owned);
            let providers = of_each("/settings/oauth/identity_providers", "client_secret");
            own.into_iter().chain(providers).chain(of_each("/clients", "secret")).collect()
        }
        Kind::Client => vec!["/secret".to_owned()],
        Kind::Scope | Kind::Settings => Vec::new(),
    }
}

fn body_pointer<'a>(document: &'a Document, pointer: &str) -> Option<&'a Value> {
    let (first, rest) = split(pointer);
    document.body.get(first)?.pointer(rest)
}

fn set(document: &mut Document, pointer: &str, text: String) {
    let (first, rest) = split(pointer);
    if let Some(place) = document.body.get_mut(first).and_then(|value| value.pointer_mut(rest)) {
        *place = Value::String(text);
    }
}

/// `/a/b/c` as `a` and `/b/c`.
fn split(pointer: &str) -> (&str, &str) {
    let pointer = pointer.trim_start_matches('/');
    pointer.split_at(pointer.find('/').unwrap_or(pointer.len()))
}

/// `None`: it stays what it is.
fn secret(value: &Value, file: &Path, plain: Plain, references: References<'_>) -> Result<Option<String>, String> {
    let shape = || Err("must be {from_env: NAME} or {from_file: PATH}".to_owned());
    match value {
        Value::String(_) if plain == Plain::Allow => Ok(None),
        Value::String(_) => {
            Err("is a secret in plain text: use {from_env: NAME} or {from_file: PATH}, or allow it expressly"
                .to_owned())
        }
        Value::Object(members) if members.len() == 1 => {
            let References::Follow(reserved) = references else {
                return Err(
                    "references are followed where the files are: by `hellojohn apply` or --gitops-dir".to_owned()
                );
            };
            match members.iter().next() {
                Some((name, Value::String(variable))) if name == "from_env" => from_env(variable, reserved).map(Some),
                Some((name, Value::String(path))) if name == "from_file" => from_file(path, file, reserved).map(Some),
                _ => shape(),
            }
        }
        _ => shape(),
    }
}

fn from_env(variable: &str, reserved: &Reserved) -> Result<String, String> {
    if reserved.has_variable(variable) {
        return Err(format!("the variable {variable} is not for documents"));
    }
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => Ok(text),
        Ok(_) => Err(format!("the variable {variable} is empty")),
        Err(_) => Err(format!("the variable {variable} is not set, or no text")),
    }
}

/// A relative path is looked up beside the document. One line end at the end is the editor's, not the secret's.
fn from_file(path: &str, document: &Path, reserved: &Reserved) -> Result<String, String> {
    let full = document.parent().unwrap_or(Path::new("")).join(path);
    let cannot = |why: &dyn std::fmt::Display| format!("{}: {why}", full.display());
    // What is judged is what is read, whichever links lead there.
    let real = full.canonicalize().map_err(|error| cannot(&error))?;
    if reserved.has_file(&real) {
        return Err(cannot(&"is not for documents: whoever reads them keeps it for itself"));
    }
    let text = file::at_most(&real, MAX_SECRET_BYTES).map_err(|error| cannot(&error))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() { Err(cannot(&"is empty")) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, read};

    fn reserved(paths: &[&Path]) -> Reserved {
        Reserved { variables: vec!["HJ_".to_owned()], paths: paths.iter().map(|path| (*path).to_owned()).collect() }
    }

    fn document(file: &str, secret: &str) -> Document {
        let text = format!("kind: Client\nclient_id: web\nsecret: {secret}\n");
        read(file, &text, Format::Yaml).unwrap().remove(0)
    }

    #[test]
    fn a_file_beside_the_document_is_read_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("web.secret"), "geheim\n").unwrap();
        let file = folder.path().join("a.yaml").display().to_string();
        let mut document = document(&file, "{from_file: web.secret}");
        assert!(resolve(&mut document, Plain::Refuse, References::Follow(&reserved(&[]))).is_empty());
        assert_eq!(document.body["secret"], "geheim");
        assert!(!format!("{document:?}").contains("geheim"));
    }

    #[test]
    fn the_readers_own_files_are_not_to_be_had_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("own/deep")).unwrap();
        std::fs::create_dir_all(at("volume/v1")).unwrap();
        for name in ["own/deep/key", "volume/v1/key", "other"] {
            std::fs::write(at(name), "geheim").unwrap();
        }
        // As the reader names its key: through a link that changes.
        std::os::unix::fs::symlink("v1", at("volume/..data")).unwrap();
        std::os::unix::fs::symlink("..data/key", at("volume/key")).unwrap();
        std::os::unix::fs::symlink("volume/v1/key", at("innocent")).unwrap();
        let reserved = reserved(&[&at("own"), &at("volume/key")]);
        let file = at("a.yaml").display().to_string();
        let said = |path: &str| {
            let faults = resolve(
                &mut document(&file, &format!("{{from_file: {path}}}")),
                Plain::Refuse,
                References::Follow(&reserved),
            );
            faults.iter().map(ToString::to_string).collect::<String>()
        };
        for path in ["own/deep/key", "volume/key", "volume/v1/key", "innocent", "own/../innocent"] {
            let said = said(path);
            assert!(said.contains(&format!("{path}: is not for documents")) && !said.contains("geheim"), "{said}");
        }
        assert_eq!(said("other"), "");
    }

    #[test]
    fn what_cannot_be_had_is_said_with_its_place_and_never_with_the_secret() {
        let reserved = reserved(&[]);
        let follow = References::Follow(&reserved);
        let rows = [
            ("geheim", Plain::Refuse, follow, "plain text"),
            ("{from_env: HJ_X}", Plain::Refuse, follow, "not for documents"),
            ("{from_env: NOBODY_SET_THIS}", Plain::Refuse, follow, "not set"),
            ("{from_file: /nowhere/at/all}", Plain::Refuse, follow, "/nowhere/at/all"),
            ("{from_file: /dev/zero}", Plain::Refuse, follow, "/dev/zero: is not a regular file"),
            ("{from_env: PATH}", Plain::Refuse, References::Refuse, "where the files are"),
            ("{from_env: A, from_file: b}", Plain::Allow, follow, "must be"),
            ("{value: geheim}", Plain::Allow, follow, "must be"),
            ("[geheim]", Plain::Allow, follow, "must be"),
        ];
        for (secret, plain, references, what) in rows {
            let faults = resolve(&mut document("a.yaml", secret), plain, references);
            let [fault] = faults.as_slice() else { panic!("{secret}: {faults:?}") };
            let shown = fault.to_string();
            assert!(shown.starts_with("a.yaml:3: /secret: ") && shown.contains(what), "{shown}");
            assert!(!shown.contains("geheim"), "{shown}");
        }
        assert!(resolve(&mut document("a.yaml", "geheim"), Plain::Allow, References::Refuse).is_empty());
    }
}
