//! What documents look like, member by member: as the published schema of documents has it, so that neither says more.

use serde_json::{Map, Value, json};

/// Held against what the server takes by the tests of declarative configuration.
const DOCUMENTS: &str = include_str!("../../../../docs/declarative.schema.json");

/// The schema of the documents of a route.
pub(super) fn of(path: &str) -> &'static str {
    match path {
        "/tenants" | "/tenants/{slug}" => "Tenant",
        "/tenants/{slug}/clients" | "/tenants/{slug}/clients/{client_id}" => "Client",
        "/tenants/{slug}/scopes" | "/tenants/{slug}/scopes/{name}" => "Scope",
        "/admins" | "/admins/{id}" => "Admin",
        "/settings" => "Settings",
        _ => "Document",
    }
}

/// Everything that is referred to.
pub(super) fn all() -> Map<String, Value> {
    let mut published: Value = serde_json::from_str(DOCUMENTS).expect("the published schema is JSON");
    as_of_the_contract(&mut published);
    let mut schemas = Map::new();
    if let Value::Object(parts) = published["$defs"].take() {
        schemas.extend(parts);
    }
    // What a file refers to is a plain member of a request, and of no answer.
    schemas.insert("secret".to_owned(), json!({"type": "string", "writeOnly": true}));
    if let Some(client) = schemas.remove("client") {
        schemas.insert("Client".to_owned(), as_answered(client, &["secret"], &["secrets", "registered"]));
    }
    for document in published["oneOf"].as_array_mut().into_iter().flatten() {
        let kind = document["properties"]["kind"]["const"].as_str().map(str::to_owned);
        if let Some(kind @ ("Tenant" | "Scope" | "Settings")) = kind.as_deref() {
            let (kind, document) = (kind.to_owned(), document.take());
            schemas.insert(kind, as_answered(document, &["kind", "tenant", "scopes", "clients"], &["id"]));
        }
    }
    schemas.insert("Admin".to_owned(), admin());
    schemas.insert("Document".to_owned(), json!({"type": "object"}));
    schemas
}

/// Without what only files have, and with what only answers tell. What a file must have may be missing from a request that
/// changes some of it.
fn as_answered(mut schema: Value, of_files: &[&str], only_told: &[&str]) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.remove("required");
    }
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|name, _| !of_files.contains(&name.as_str()));
        let told = only_told.iter().chain(&["revision", "created_at", "updated_at", "managed_by"]);
        properties.extend(told.map(|name| ((*name).to_owned(), json!({"readOnly": true}))));
    }
    schema
}

fn admin() -> Value {
    let time = json!({"type": ["string", "null"], "format": "date-time"});
    json!({
        "type": "object",
        "properties": {
            "id": {"type": "string", "readOnly": true},
            "name": {"type": "string"},
            "role": {"description": "owner, operator, auditor, or {\"tenant-admin\": the slug of a tenant}"},
            "expires_at": time,
            "created_at": {"type": "string", "format": "date-time", "readOnly": true},
            "last_used_at": {"type": ["string", "null"], "format": "date-time", "readOnly": true},
            "revision": {"type": "integer", "readOnly": true},
        },
    })
}

/// References of the file become references of the contract, and an answer may tell more than a file.
fn as_of_the_contract(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for bound in ["additionalProperties", "unevaluatedProperties"] {
                if members.get(bound) == Some(&Value::Bool(false)) {
                    members.remove(bound);
                }
            }
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                let name = if name == "client" { "Client" } else { name };
                *reference = format!("#/components/schemas/{name}");
            }
            members.values_mut().for_each(as_of_the_contract);
        }
        Value::Array(items) => items.iter_mut().for_each(as_of_the_contract),
        _ => {}
    }
}
