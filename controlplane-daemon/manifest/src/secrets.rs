//! Secrets stand beside the documents, not in them: `{from_env: NAME}` or `{from_file: PATH}`, put in by whoever reads
//! the files. After that they stand in the body as plain text, on their way to be sealed or hashed.

use std::path::Path;

use serde_json::Value;

use crate::document::{Document, Fault, Kind};

/// What to do with a secret that stands in a document as plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    Refuse,
    Allow,
}

/// What to do with references.
#[derive(Clone, Copy, Debug)]
pub enum References {
    /// The reader has no business with files or variables of ours: documents that came over the network.
    Refuse,
    /// Variables for which this answers true are not to be had: the reader's own.
    Follow { forbidden: fn(&str) -> bool },
}

/// Longer is no secret but a mistake.
const MAX_SECRET_BYTES: u64 = 16 * 1024;

/// Puts the secrets in. Every problem is found, and none of the texts is repeated.
pub fn resolve(document: &mut Document, plain: Plain, references: References) -> Vec<Fault> {
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
fn secret(value: &Value, file: &Path, plain: Plain, references: References) -> Result<Option<String>, String> {
    let shape = || Err("must be {from_env: NAME} or {from_file: PATH}".to_owned());
    match value {
        Value::String(_) if plain == Plain::Allow => Ok(None),
        Value::String(_) => {
            Err("is a secret in plain text: use {from_env: NAME} or {from_file: PATH}, or allow it expressly"
                .to_owned())
        }
        Value::Object(members) if members.len() == 1 => {
            let References::Follow { forbidden } = references else {
                return Err(
                    "references are followed where the files are: by `hellojohn apply` or --gitops-dir".to_owned()
                );
            };
            match members.iter().next() {
                Some((name, Value::String(variable))) if name == "from_env" => from_env(variable, forbidden).map(Some),
                Some((name, Value::String(path))) if name == "from_file" => from_file(path, file).map(Some),
                _ => shape(),
            }
        }
        _ => shape(),
    }
}

fn from_env(variable: &str, forbidden: fn(&str) -> bool) -> Result<String, String> {
    if forbidden(variable) {
        return Err(format!("the variable {variable} is not for documents"));
    }
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => Ok(text),
        Ok(_) => Err(format!("the variable {variable} is empty")),
        Err(_) => Err(format!("the variable {variable} is not set, or no text")),
    }
}

/// A relative path is looked up beside the document. One line end at the end is the editor's, not the secret's.
fn from_file(path: &str, document: &Path) -> Result<String, String> {
    let full = document.parent().unwrap_or(Path::new("")).join(path);
    let cannot = |why: &dyn std::fmt::Display| format!("{}: {why}", full.display());
    let size = std::fs::metadata(&full).map_err(|error| cannot(&error))?.len();
    if size > MAX_SECRET_BYTES {
        return Err(cannot(&format_args!("has more than {MAX_SECRET_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(&full).map_err(|error| cannot(&error))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() { Err(cannot(&"is empty")) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, read};

    const FOLLOW: References = References::Follow { forbidden: |name| name.starts_with("HJ_") };

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
        assert!(resolve(&mut document, Plain::Refuse, FOLLOW).is_empty());
        assert_eq!(document.body["secret"], "geheim");
        assert!(!format!("{document:?}").contains("geheim"));
    }

    #[test]
    fn what_cannot_be_had_is_said_with_its_place_and_never_with_the_secret() {
        let rows = [
            ("geheim", Plain::Refuse, FOLLOW, "plain text"),
            ("{from_env: HJ_X}", Plain::Refuse, FOLLOW, "not for documents"),
            ("{from_env: NOBODY_SET_THIS}", Plain::Refuse, FOLLOW, "not set"),
            ("{from_file: /nowhere/at/all}", Plain::Refuse, FOLLOW, "/nowhere/at/all"),
            ("{from_env: PATH}", Plain::Refuse, References::Refuse, "where the files are"),
            ("{from_env: A, from_file: b}", Plain::Allow, FOLLOW, "must be"),
            ("{value: geheim}", Plain::Allow, FOLLOW, "must be"),
            ("[geheim]", Plain::Allow, FOLLOW, "must be"),
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
