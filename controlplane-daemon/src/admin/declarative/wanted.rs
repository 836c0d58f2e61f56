//! The documents taken apart: one [`Wanted`] for each resource that they state, and where it stands.

use std::collections::BTreeMap;

use manifest::{Document, Kind};
use serde_json::{Map, Value};
use vocab::{ErrorCode, Slug};

use super::outline::{Fault, Source};

/// What the admin API shows and nobody writes.
const READ_ONLY: [&str; 8] =
    ["id", "created_at", "updated_at", "revision", "secrets", "registered", "managed_by", "configured"];

/// A resource that a document states.
pub(super) struct Wanted {
    pub(super) source: Source,
    /// Of a client or scope: whose it is.
    pub(super) tenant: Option<Slug>,
    pub(super) value: Value,
}

#[derive(Default)]
pub(super) struct All {
    pub(super) tenants: Vec<Wanted>,
    pub(super) scopes: Vec<Wanted>,
    pub(super) clients: Vec<Wanted>,
    pub(super) settings: Vec<Wanted>,
}

pub(super) fn all(documents: &[Document], faults: &mut Vec<Fault>) -> All {
    let mut all = All::default();
    for (index, document) in documents.iter().enumerate() {
        let source = |pointer: String| Source { document: index, pointer };
        let mut body = document.body.clone();
        match document.kind {
            Kind::Tenant => {
                let slug = slug_of(&body, "slug");
                for (name, list) in [("scopes", &mut all.scopes), ("clients", &mut all.clients)] {
                    match body.remove(name) {
                        None => {}
                        Some(Value::Array(items)) => list.extend(items.into_iter().enumerate().map(|(n, value)| {
                            Wanted { source: source(format!("/{name}/{n}")), tenant: slug.clone(), value }
                        })),
                        Some(_) => faults.push(Fault::invalid(source(format!("/{name}")), "must be a list")),
                    }
                }
                all.tenants.push(Wanted { source: source(String::new()), tenant: None, value: body.into() });
            }
            Kind::Client | Kind::Scope => {
                let tenant = slug_of(&body, "tenant");
                if tenant.is_none() {
                    faults.push(Fault::invalid(source("/tenant".to_owned()), "must name a tenant by its slug"));
                }
                body.remove("tenant");
                let list = if document.kind == Kind::Client { &mut all.clients } else { &mut all.scopes };
                list.push(Wanted { source: source(String::new()), tenant, value: body.into() });
            }
            Kind::Settings => {
                all.settings.push(Wanted { source: source(String::new()), tenant: None, value: body.into() });
            }
        }
    }
    for list in [&all.tenants, &all.scopes, &all.clients, &all.settings] {
        for wanted in list {
            refuse_read_only(wanted, faults);
        }
    }
    refuse_twice(&all.tenants, "slug", documents, faults);
    refuse_twice(&all.scopes, "name", documents, faults);
    refuse_twice(&all.clients, "client_id", documents, faults);
    refuse_twice(&all.settings, "", documents, faults);
    all
}

fn slug_of(body: &Map<String, Value>, name: &str) -> Option<Slug> {
    body.get(name)?.as_str()?.parse().ok()
}

fn refuse_read_only(wanted: &Wanted, faults: &mut Vec<Fault>) {
    for name in READ_ONLY.iter().filter(|name| wanted.value.get(**name).is_some()) {
        faults.push(Fault::invalid(wanted.source.below(&format!("/{name}")), "is not for documents: leave it out"));
    }
}

/// One resource, one place: else the last one read would win.
fn refuse_twice(list: &[Wanted], name: &str, documents: &[Document], faults: &mut Vec<Fault>) {
    let mut seen: BTreeMap<(Option<&Slug>, &str), &Source> = BTreeMap::new();
    for wanted in list {
        let Some(id) = (if name.is_empty() { Some("") } else { wanted.value.get(name).and_then(Value::as_str) }) else {
            continue;
        };
        if let Some(first) = seen.insert((wanted.tenant.as_ref(), id), &wanted.source) {
            let file = documents.get(first.document).map_or("", |document| &*document.file);
            let place = if file.is_empty() { format!("/documents/{}", first.document) } else { file.to_owned() };
            let detail = format!("is stated in {place}{} already", first.pointer);
            faults.push(Fault { code: ErrorCode::Conflict, ..Fault::invalid(wanted.source.clone(), detail) });
        }
    }
}
