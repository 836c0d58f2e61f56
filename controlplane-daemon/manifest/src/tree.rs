//! A folder in which each tenant has a folder of its own, as documents: what `--fs-projection` writes, and the file root
//! of HelloJohn v1. Which of the two a file is tells its shape.
//!
//! ```text
//!   tenants/<slug>/tenant.{json,yaml,yml}   clients.…   scopes.…        (keys/ and the rest are passed over)
//! ```
//!
//! Neither holds what is secret in a form that could be used elsewhere. A tenant that had a database is given
//! `settings.database` without a `dsn`: whoever applies the documents puts one in or takes it out.

mod shown;
mod v1;

use std::ops::Bound;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::document::{Document, Fault, Kind, Located, Part};
use crate::{Format, file, json, yaml};

/// Bytes of one file, which may list all of a large tenant's clients.
const MAX_LIST_BYTES: usize = 256 << 20;

#[derive(Debug, Default)]
pub struct Tree {
    pub documents: Vec<Document>,
    /// What the files say and no document can.
    pub left_out: Vec<Fault>,
}

/// Everything below `root`, or everything that is wrong with it.
pub fn tree(root: &Path) -> Result<Tree, Vec<Fault>> {
    let tenants = root.join("tenants");
    let folders = children(&tenants).map_err(|fault| vec![fault])?;
    let (mut tree, mut faults) = (Tree::default(), Vec::new());
    for folder in folders.iter().filter(|path| path.is_dir()) {
        tenant(folder, &mut tree, &mut faults);
    }
    if tree.documents.is_empty() && faults.is_empty() {
        faults.push(fault(&tenants, "holds no folder of a tenant with a file tenant.json or tenant.yaml"));
    }
    if faults.is_empty() { Ok(tree) } else { Err(faults) }
}

/// Not hidden, in the order of their names.
fn children(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let cannot = |error: std::io::Error| fault(folder, &format!("cannot be read: {error}"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn fault(path: &Path, detail: &str) -> Fault {
    Fault::new(&path.display().to_string(), None, "", detail)
}

fn tenant(folder: &Path, tree: &mut Tree, faults: &mut Vec<Fault>) {
    let Some(slug) = folder.file_name().and_then(|name| name.to_str()) else {
        return faults.push(fault(folder, "is named by bytes that are no text, so by no slug"));
    };
    let before = faults.len();
    let mut file = |name| {
        File::find(folder, name).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        })
    };
    let [tenant, scopes, clients] = ["tenant", "scopes", "clients"].map(&mut file);
    let broken = faults.len() > before;
    match tenant {
        Some(tenant) => Out { file: &tenant.name, slug, tree, faults }.tenant(&tenant),
        // Its lists are looked at all the same, so that everything wrong is told.
        None if broken => {}
        None => {
            if scopes.is_some() || clients.is_some() {
                // So v1 left those that it deleted.
                tree.left_out.push(fault(folder, "has no file of the tenant itself, so it is no tenant"));
            }
            return;
        }
    }
    for (kind, file) in [(Kind::Scope, &scopes), (Kind::Client, &clients)] {
        if let Some(file) = file {
            Out { file: &file.name, slug, tree, faults }.items(kind, file);
        }
    }
}

/// One of a tenant's files, parsed.
struct File {
    name: String,
    located: Located,
}

impl File {
    fn find(folder: &Path, name: &str) -> Result<Option<Self>, Fault> {
        let paths = ["json", "yaml", "yml"].map(|end| folder.join(format!("{name}.{end}")));
        let mut there = paths.into_iter().filter(|path| path.exists());
        let Some(path) = there.next() else { return Ok(None) };
        match there.next() {
            Some(other) => Err(fault(&other, &format!("stands beside {}: which of them is it?", path.display()))),
            None => Self::read(&path).map(Some),
        }
    }

    fn read(path: &Path) -> Result<Self, Fault> {
        let name = path.display().to_string();
        let text =
            file::at_most(path, MAX_LIST_BYTES).map_err(|error| fault(path, &format!("cannot be read: {error}")))?;
        let parsed = match Format::of(&name) {
            Format::Json => json::whole(&text),
            Format::Yaml => yaml::parse(&text).and_then(single),
        };
        let located = parsed.map_err(|(line, detail)| Fault::new(&name, line, "", detail))?;
        Ok(Self { name, located })
    }

    /// The member of that name, if the file is one that `--fs-projection` wrote.
    fn shown(&self, member: &str) -> Option<&Value> {
        self.located.value.get("revision")?;
        self.located.value.get(member)
    }

    /// An object of the file, with lines from its own root on.
    fn part(&self, body: &Map<String, Value>, at: &str) -> Part {
        let below =
            |(rest, line): (&str, usize)| (rest.is_empty() || rest.starts_with('/')).then(|| (rest.to_owned(), line));
        // A file may have many objects, so each looks at its own.
        let from = self.located.lines.range::<str, _>((Bound::Included(at), Bound::Unbounded));
        let own = from.map_while(|(pointer, line)| Some((pointer.strip_prefix(at)?, *line)));
        Part { body: body.clone(), lines: own.filter_map(below).collect() }
    }
}

/// An empty file states nothing: no list, no members.
fn single(mut documents: Vec<Located>) -> Result<Located, (Option<usize>, String)> {
    let nothing = Located { value: Value::Null, lines: std::collections::BTreeMap::new() };
    match documents.len() {
        0 | 1 => Ok(documents.pop().unwrap_or(nothing)),
        _ => Err((documents.get(1).and_then(|it| it.lines.get("").copied()), "must hold one document".to_owned())),
    }
}

/// Where a file's documents go.
struct Out<'a> {
    file: &'a str,
    slug: &'a str,
    tree: &'a mut Tree,
    faults: &'a mut Vec<Fault>,
}

impl Out<'_> {
    fn tenant(&mut self, file: &File) {
        let (value, shape, at) = match file.shown("tenant") {
            Some(value) => (value, Shape::Shown, "/tenant"),
            None => (&file.located.value, Shape::V1, ""),
        };
        let Value::Object(body) = value else { return self.wrong(file, at, "must be an object: a tenant") };
        let mut part = file.part(body, at);
        let named = part.body.entry("slug").or_insert_with(|| self.slug.into());
        if named.as_str() != Some(self.slug) {
            return self.wrong(file, &format!("{at}/slug"), &format!("must be the folder's name, {:?}", self.slug));
        }
        let (part, left_out) = match shape {
            Shape::Shown => (shown::tenant(part), Vec::new()),
            Shape::V1 => v1::tenant(part),
        };
        self.keep(file, 0, Kind::Tenant, part, at, left_out);
    }

    fn items(&mut self, kind: Kind, file: &File) {
        let member = if kind == Kind::Client { "clients" } else { "scopes" };
        let (value, shape, root) = match file.shown(member) {
            Some(value) => (value, Shape::Shown, format!("/{member}")),
            None => (&file.located.value, Shape::V1, String::new()),
        };
        let items = match value {
            Value::Null => return,
            Value::Array(items) => items,
            _ => return self.wrong(file, &root, &format!("must be a list of {member}")),
        };
        for (index, item) in items.iter().enumerate() {
            let at = format!("{root}/{index}");
            let Value::Object(body) = item else {
                self.wrong(file, &at, "must be an object");
                continue;
            };
            let part = file.part(body, &at);
            let (mut part, left_out) = match (shape, kind) {
                (Shape::Shown, _) => (shown::item(part), Vec::new()),
                (Shape::V1, Kind::Client) => v1::client(part),
                (Shape::V1, _) if v1::is_built_in(&part.body) => continue,
                (Shape::V1, _) => v1::scope(part),
            };
            part.body.insert("tenant".to_owned(), self.slug.into());
            self.keep(file, index, kind, part, &at, left_out);
        }
    }

    fn keep(&mut self, file: &File, index: usize, kind: Kind, part: Part, at: &str, left_out: Vec<LeftOut>) {
        for (pointer, detail) in left_out {
            let pointer = format!("{at}{pointer}");
            let line = file.located.lines.get(&pointer).copied();
            self.tree.left_out.push(Fault::new(self.file, line, &pointer, detail));
        }
        self.tree.documents.push(Document::new(self.file, index, kind, part));
    }

    fn wrong(&mut self, file: &File, pointer: &str, detail: &str) {
        let line = file.located.lines.get(pointer).copied();
        self.faults.push(Fault::new(self.file, line, pointer, detail));
    }
}

#[derive(Clone, Copy)]
enum Shape {
    /// What the admin API shows.
    Shown,
    V1,
}

/// A pointer, and why it is not brought over.
type LeftOut = (String, String);

#[cfg(test)]
mod tests;
