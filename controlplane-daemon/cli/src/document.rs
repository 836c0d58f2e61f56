//! The document a create or update sends: a JSON or YAML file, flags, or flags on top of a file.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value};

use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct FileArg {
    /// Read the document from a JSON or YAML file, `-` for stdin; flags override its fields
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

impl FileArg {
    /// The file's document with `flags` merged into it.
    pub(crate) fn merged(&self, flags: Fields) -> Result<Value, Failure> {
        let mut document = match &self.file {
            Some(path) => read(path)?,
            None => Value::Object(Map::new()),
        };
        merge(&mut document, flags.into());
        Ok(document)
    }
}

fn read(path: &Path) -> Result<Value, Failure> {
    let (text, name) = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read stdin")?;
        (text, "stdin".to_owned())
    } else {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
        (text, path.display().to_string())
    };
    parse(&text).map_err(|reason| Failure::Usage(format!("{name}: {reason}")))
}

/// JSON is YAML, too, so one parser reads both.
fn parse(text: &str) -> Result<Value, String> {
    let value: Value = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    if value.is_object() { Ok(value) } else { Err("the document must be an object".to_owned()) }
}

/// RFC 7396, save that `null` is kept: it is the server that removes.
pub(crate) fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(target.entry(name).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}

/// The fields that flags set; what was not given is not there.
#[derive(Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn set<T: Into<Value>>(mut self, name: &str, value: Option<T>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
        self
    }

    /// A list given by repeating a flag; one empty value gives the empty list.
    pub(crate) fn set_list(self, name: &str, values: Vec<String>) -> Self {
        let given = !values.is_empty();
        let values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
        self.set(name, given.then_some(values))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn nest(self, name: &str, inner: Self) -> Self {
        let inner = (!inner.0.is_empty()).then_some(Value::from(inner));
        self.set(name, inner)
    }
}

impl From<Fields> for Value {
    fn from(fields: Fields) -> Self {
        Self::Object(fields.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn flags_override_a_file_field_by_field() {
        let mut document = parse("slug: acme\nsettings:\n  hosts: [a]\n  issuer_mode: path\n").unwrap();
        let flags = Fields::default()
            .set("display_name", Some("Acme"))
            .set("status", None::<String>)
            .nest("settings", Fields::default().set_list("hosts", vec![String::new()]));
        merge(&mut document, flags.into());
        assert_eq!(
            document,
            json!({"slug": "acme", "display_name": "Acme", "settings": {"hosts": [], "issuer_mode": "path"}})
        );
    }

    #[test]
    fn a_document_is_an_object_in_json_or_yaml() {
        assert_eq!(parse(r#"{"a": 1}"#).unwrap(), json!({"a": 1}));
        assert!(parse("- 1").is_err());
        assert!(parse("a: [").is_err());
        assert!(parse("").is_err());
    }
}
