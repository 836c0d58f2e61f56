//! One document: what kind of thing it states, and where its members stand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// Bytes of one file.
pub const MAX_FILE_BYTES: usize = 8 << 20;
/// Documents of one file.
pub const MAX_DOCUMENTS: usize = 10_000;

/// What a document states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A tenant; its `scopes` and `clients` may stand in it.
    Tenant,
    /// A client of the tenant that `tenant` names.
    Client,
    /// A scope of the tenant that `tenant` names.
    Scope,
    /// What is set for the whole installation.
    Settings,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Tenant, Self::Client, Self::Scope, Self::Settings];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "Tenant",
            Self::Client => "Client",
            Self::Scope => "Scope",
            Self::Settings => "Settings",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A value as it was read, with the line of each member by its JSON pointer.
pub(crate) struct Located {
    pub(crate) value: Value,
    pub(crate) lines: BTreeMap<String, usize>,
}

/// An object within a file; its lines are counted from its own root.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) body: Map<String, Value>,
    pub(crate) lines: BTreeMap<String, usize>,
}

#[derive(Clone, PartialEq)]
pub struct Document {
    pub file: Arc<str>,
    /// Counted from 0 within its file.
    pub index: usize,
    pub kind: Kind,
    /// The members but `kind`. After [`crate::resolve`] it holds secrets.
    pub body: Map<String, Value>,
    lines: BTreeMap<String, usize>,
}

/// Without the body: it may hold secrets.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("file", &self.file)
            .field("index", &self.index)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Document {
    pub(crate) fn new(file: &str, index: usize, kind: Kind, part: Part) -> Self {
        Self { file: file.into(), index, kind, body: part.body, lines: part.lines }
    }

    /// The line at which the member stands, or what it is part of, if the format tells.
    pub fn line_of(&self, pointer: &str) -> Option<usize> {
        let mut pointer = pointer;
        loop {
            if let Some(line) = self.lines.get(pointer) {
                return Some(*line);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }

    pub fn fault(&self, pointer: &str, detail: impl Into<String>) -> Fault {
        Fault::new(&self.file, self.line_of(pointer), pointer, detail)
    }
}

/// Something wrong with a file. The detail never repeats a value that could be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub file: String,
    pub line: Option<usize>,
    /// JSON pointer (RFC 6901) within the document.
    pub pointer: String,
    pub detail: String,
}

impl Fault {
    pub fn new(file: &str, line: Option<usize>, pointer: &str, detail: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, pointer: pointer.to_owned(), detail: detail.into() }
    }
}

/// `file:line: /pointer: detail`, as compilers say it.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.pointer.is_empty() {
            write!(f, ": {}", self.pointer)?;
        }
        write!(f, ": {}", self.detail)
    }
}

pub(crate) fn all(file: &str, parsed: Vec<Located>) -> Result<Vec<Document>, Vec<Fault>> {
    let file: Arc<str> = file.into();
    let (mut documents, mut faults) = (Vec::new(), Vec::new());
    for (index, located) in parsed.into_iter().enumerate() {
        match one(&file, index, located) {
            Ok(document) => documents.push(document),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(documents) } else { Err(faults) }
}

fn one(file: &Arc<str>, index: usize, located: Located) -> Result<Document, Fault> {
    let Located { value, lines } = located;
    let first = lines.get("").copied();
    let Value::Object(mut body) = value else {
        return Err(Fault::new(file, first, "", "a document must be an object with a `kind`"));
    };
    let kind = body.remove("kind");
    let known = kind.as_ref().and_then(Value::as_str).and_then(Kind::parse);
    let Some(kind) = known else {
        let names = Kind::ALL.map(Kind::as_str).join(", ");
        let line = lines.get("/kind").copied().or(first);
        return Err(Fault::new(file, line, "/kind", format!("must be one of {names}")));
    };
    Ok(Document { file: Arc::clone(file), index, kind, body, lines })
}
