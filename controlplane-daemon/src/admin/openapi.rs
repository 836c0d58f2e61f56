//! `/openapi.json`: the contract (OpenAPI 3.1), made of the table of routes, and `/docs`, a page to read it.
//!
//! What is said of a route stands in [`operations`]; a test demands a row there for each row of the table. What documents
//! are made of stands in [`schemas`].

mod operations;
mod page;
mod schemas;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use serde_json::{Map, Value, json};
use vocab::ErrorCode;

use self::operations::{Kind, Operation};
use super::problem::Problem;
use super::routes::{Access, PREFIX, ROUTES, Row};

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// `GET /openapi.json`
pub(super) async fn contract() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())
}

/// `GET /docs`
pub(super) async fn docs() -> Result<HttpResponse, Problem> {
    let page = page::render().map_err(Problem::internal)?;
    let policy = format!("default-src 'none'; style-src '{}'", page::style_hash());
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .body(page))
}

fn document() -> Value {
    let mut paths = Map::new();
    for row in ROUTES {
        let operations = paths.entry(row.path).or_insert_with(|| json!({}));
        if let Some(operation) = operations::of(&row.method, row.path)
            && let Some(operations) = operations.as_object_mut()
        {
            operations.insert(row.method.as_str().to_ascii_lowercase(), describe(row, operation));
        }
    }
    let mut schemas = schemas::all();
    schemas.insert("Problem".to_owned(), problem_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "HelloJohn admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The only way to change the configuration. Every answer carries X-Revision.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": PREFIX}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of POST /auth/token"},
                "cluster": {"type": "apiKey", "in": "header", "name": "X-Cluster-Signature"},
            },
            "schemas": schemas,
            "parameters": parameters(),
            "headers": {
                "X-Revision": {"description": "The revision that the answer is of", "schema": {"type": "integer"}},
                "ETag": {"description": "The resource's own revision", "schema": {"type": "string"}},
            },
            "responses": {
                "Problem": {
                    "description": "Refused or failed (RFC 9457)",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                },
            },
        },
    })
}

fn describe(row: &Row, operation: &Operation) -> Value {
    let named = row.path.split('/').filter(|part| !part.is_empty());
    let tag =
        named.clone().filter(|part| !part.starts_with('{')).nth(usize::from(row.path.starts_with("/tenants/{slug}/")));
    let words: Vec<String> = named.map(|part| part.trim_matches(['{', '}']).replace(['-', '.'], "_")).collect();
    let in_path = row.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    let common = operation.common.iter();
    parameters.extend(common.map(|name| json!({"$ref": format!("#/components/parameters/{name}")})));
    let own = operation.query.iter();
    parameters.extend(own.map(
        |(name, meaning)| json!({"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}),
    ));
    let mut described = json!({
        "operationId": format!("{}_{}", row.method.as_str().to_ascii_lowercase(), words.join("_")),
        "summary": operation.summary,
        "description": format!("For: {}.", row.access.in_words()),
        "tags": [tag.unwrap_or("other")],
        "x-roles": row.access.in_words(),
        "parameters": parameters,
        "responses": {
            operation.kind.status(): operation.kind.response(schemas::of(row.path)),
            "default": {"$ref": "#/components/responses/Problem"},
        },
    });
    if let Some(body) = operation.kind.body(schemas::of(row.path)) {
        described["requestBody"] = body;
    }
    match row.access {
        Access::Anyone => described["security"] = json!([]),
        Access::Nodes => described["security"] = json!([{"cluster": []}]),
        _ => {}
    }
    described
}

/// RFC 9457 §3.
fn problem_schema() -> Value {
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "type": "object",
        "required": ["type", "title", "status", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "enum": codes},
            "detail": {"type": "string"},
            "errors": {
                "type": "array",
                "description": "Every problem that was found in the document, not the first",
                "items": {
                    "type": "object",
                    "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
                },
            },
        },
    })
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn page_of(schema: &str) -> Value {
    json!({
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": reference(schema)},
            "next_cursor": {"type": ["string", "null"], "description": "For the next page's `cursor`; null on the last"},
        },
    })
}

fn parameters() -> Value {
    let query = |name: &str, schema: Value, meaning: &str| json!({"name": name, "in": "query", "description": meaning, "schema": schema});
    let text = || json!({"type": "string"});
    json!({
        "consistency": query("consistency", json!({"enum": ["local", "linearizable"]}), "How fresh the answer must be"),
        "min_revision": query("min_revision", json!({"type": "integer"}), "At least as fresh as this revision; waits, bounded"),
        "timeout": query("timeout", text(), "How long to wait, such as 5s"),
        "wait": query("wait", json!({"enum": ["fleet"]}), "Answer when every connected pod has the change"),
        "limit": query("limit", json!({"type": "integer", "minimum": 1, "maximum": 500}), "Items of a page"),
        "cursor": query("cursor", text(), "As `next_cursor` of the page before"),
        "if_match": {
            "name": "If-Match", "in": "header", "schema": text(),
            "description": "The revision that the resource must be at (RFC 9110 §13.1.1); else 412",
        },
        "idempotency_key": {
            "name": "Idempotency-Key", "in": "header", "schema": text(),
            "description": "A retry with the same key is carried out once",
        },
    })
}

impl Kind {
    const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Read => &["consistency", "min_revision", "timeout"],
            Self::List => &["consistency", "min_revision", "timeout", "limit", "cursor"],
            Self::Create | Self::Act => &["wait", "timeout", "idempotency_key"],
            Self::Replace | Self::Patch | Self::Delete => &["wait", "timeout", "if_match", "idempotency_key"],
            Self::Plain | Self::Post | Self::Lines | Self::Upload | Self::File | Self::Html | Self::Stream => &[],
        }
    }

    const fn status(self) -> &'static str {
        match self {
            Self::Create => "201",
            Self::Delete => "204",
            _ => "200",
        }
    }

    fn body(self, schema: &str) -> Option<Value> {
        let document = json!({"schema": reference(schema)});
        match self {
            Self::Create | Self::Replace => Some(json!({"required": true, "content": {"application/json": document}})),
            Self::Act | Self::Post => Some(json!({"required": false, "content": {"application/json": document}})),
            // RFC 7396.
            Self::Patch => Some(json!({"required": true, "content": {"application/merge-patch+json": document}})),
            Self::Upload => Some(json!({"required": true, "content": {"application/jsonl": {}}})),
            _ => None,
        }
    }

    fn response(self, schema: &str) -> Value {
        let page = || json!({"schema": page_of(schema)});
        let revision = json!({"X-Revision": {"$ref": "#/components/headers/X-Revision"}});
        let content = match self {
            Self::Delete => return json!({"description": "It is gone", "headers": revision}),
            Self::List => json!({"application/json": page()}),
            Self::Lines => json!({"application/json": page(), "application/x-ndjson": {}}),
            Self::File => json!({"application/octet-stream": {}, "application/jsonl": {}}),
            Self::Html => json!({"text/html": {}}),
            Self::Stream => json!({"text/event-stream": {}}),
            _ => json!({"application/json": {"schema": reference(schema)}}),
        };
        json!({"description": "Done", "headers": revision, "content": content})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_stands_in_the_contract_and_nothing_else_does() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        for row in ROUTES {
            let operation = &paths[row.path][row.method.as_str().to_ascii_lowercase()];
            assert!(operation["summary"].is_string(), "say in operations.rs what {} {} does", row.method, row.path);
            for name in row.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(parameters.iter().any(|it| it["in"] == "path" && it["name"] == name), "{} {name}", row.path);
            }
        }
        let described: usize = paths.values().map(|operations| operations.as_object().unwrap().len()).sum();
        assert_eq!(described, ROUTES.len());
        assert_eq!(operations::ALL.len(), ROUTES.len(), "operations.rs describes what is no route");
        let mut ids: Vec<&str> = paths
            .values()
            .flat_map(|operations| operations.as_object().unwrap().values())
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ROUTES.len(), "an id stands there twice");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str));
                    members.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > ROUTES.len());
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}
