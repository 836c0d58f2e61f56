//! Manifests: the documents in which people keep tenants, clients and scopes in files, read strictly.
//!
//! ```text
//!   folder ──▶ text ──▶ yaml / json ──▶ Document (kind, body, where each member stands) ──▶ secrets ──▶ who applies it
//! ```
//!
//! A file holds one document or several (YAML, `---`). Each names its `kind`; its other members are those of the same
//! resource in the admin API. Nothing is guessed: a member that stands twice, an alias, a tag, a document of an unknown
//! kind is an error that names file, line and place ([`Fault`]). What the members mean is the reader's business.
//!
//! A folder that was not written as manifests, one folder for each tenant, is made documents of by [`tree()`].
//!
//! Both who reads files for somebody else use it: the command line and the daemon. So it knows neither of them and
//! imports nothing of ours.

mod document;
mod file;
mod folder;
mod json;
mod secrets;
pub mod strict_json;
mod tree;
mod yaml;

pub use document::{Document, Fault, Kind, MAX_DOCUMENTS, MAX_FILE_BYTES};
pub use file::text;
pub use folder::files;
pub use secrets::{Plain, References, Reserved, resolve};
pub use tree::{Tree, tree};

/// What a file's name or a content type says it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Yaml,
    Json,
}

impl Format {
    /// By the end of the name; what is not `.json` is read as YAML.
    pub fn of(file: &str) -> Self {
        let extension = std::path::Path::new(file).extension();
        if extension.is_some_and(|extension| extension.eq_ignore_ascii_case("json")) { Self::Json } else { Self::Yaml }
    }
}

/// The documents of one file, or everything that is wrong with it. `file` is how errors call it.
pub fn read(file: &str, text: &str, format: Format) -> Result<Vec<Document>, Vec<Fault>> {
    if text.len() > MAX_FILE_BYTES {
        return Err(vec![Fault::new(file, None, "", format!("a file may have at most {MAX_FILE_BYTES} bytes"))]);
    }
    let parsed = match format {
        Format::Yaml => yaml::parse(text),
        Format::Json => json::parse(text),
    };
    let parsed = parsed.map_err(|(line, detail)| vec![Fault::new(file, line, "", detail)])?;
    document::all(file, parsed)
}

/// Documents that came as values, such as in the body of a request.
pub fn of_values(values: Vec<serde_json::Value>) -> Result<Vec<Document>, Vec<Fault>> {
    let located = values.into_iter().map(|value| document::Located { value, lines: std::collections::BTreeMap::new() });
    document::all("", located.collect())
}
