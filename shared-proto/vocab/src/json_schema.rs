//! JSON schemas that operators write and strangers' documents are judged by.
//!
//! The control plane takes a schema only if it [can be used](unusable) and [compiles](JsonSchema::compile); pods compile it
//! once, when the configuration arrives. Nothing is ever fetched, and judging a document takes a bounded number of steps:
//! references lead to `$defs` of the same schema, and not in circles.

use std::fmt;

use boon::{Compiler, Draft, SchemaIndex, Schemas, UrlLoader};
use serde_json::{Map, Value};

/// Bytes of a schema.
pub const MAX_BYTES: usize = 8 * 1024;
/// How many schemas one may come to when each reference is replaced by what it leads to: each may be applied to each part
/// of a document.
const MAX_EXPANDED: usize = 1_000;
/// How deep a schema may nest, by references as well.
const MAX_DEPTH: usize = 32;

/// Keywords that lead elsewhere, or change what a reference means.
const ELSEWHERE: [&str; 7] =
    ["$id", "id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"];

/// What forbids the use of a schema, whatever a compiler says. Every build judges the same.
pub fn unusable(schema: &Value) -> Option<String> {
    let Value::Object(members) = schema else {
        return Some("must be an object".to_owned());
    };
    let bytes = schema.to_string().len();
    if bytes > MAX_BYTES {
        return Some(format!("must be at most {MAX_BYTES} bytes, has {bytes}"));
    }
    let mut walk = Walk { root: members, left: MAX_EXPANDED };
    walk.visit(schema, 0).err()
}

struct Walk<'a> {
    root: &'a Map<String, Value>,
    left: usize,
}

impl Walk<'_> {
    fn visit(&mut self, part: &Value, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("nests deeper than {MAX_DEPTH} levels, or a $ref leads in a circle"));
        }
        match part {
            Value::Object(members) => {
                self.left = self.left.checked_sub(1).ok_or_else(too_large)?;
                for (name, value) in members {
                    self.member(name, value, depth)?;
                }
                Ok(())
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.visit(item, depth + 1)),
            _ => Ok(()),
        }
    }

    fn member(&mut self, name: &str, value: &Value, depth: usize) -> Result<(), String> {
        match value {
            Value::String(target) if name == "$ref" => {
                let named = target.strip_prefix("#/$defs/").filter(|name| !name.contains(['/', '~', '%']));
                let root = self.root;
                let found = named.and_then(|name| root.get("$defs")?.get(name));
                let wrong = || format!("$ref must be #/$defs/ and a name that stands there: {target}");
                self.visit(found.ok_or_else(wrong)?, depth + 1)
            }
            Value::String(_) if ELSEWHERE.contains(&name) => Err(format!("{name} is not taken")),
            // Counted where they are referred to, and once here for themselves.
            value => self.visit(value, depth + 1),
        }
    }
}

fn too_large() -> String {
    format!("comes to more than {MAX_EXPANDED} schemas, references included")
}

/// A schema that is ready to judge.
pub struct JsonSchema {
    source: Value,
    schemas: Schemas,
    root: SchemaIndex,
}

impl JsonSchema {
    /// Drafts 4 to 2020-12 by `$schema`, the last if there is none. `format` is enforced.
    pub fn compile(source: &Value) -> Result<Self, String> {
        const HERE: &str = "urn:schema";
        if let Some(why) = unusable(source) {
            return Err(why);
        }
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.enable_format_assertions();
        compiler.use_loader(Box::new(Nowhere));
        compiler.add_resource(HERE, source.clone()).map_err(|error| shortened(&error))?;
        let mut schemas = Schemas::new();
        let root = compiler.compile(HERE, &mut schemas).map_err(|error| shortened(&error))?;
        Ok(Self { source: source.clone(), schemas, root })
    }

    /// What is wrong with `document`: the first thing that is, and where it stands.
    pub fn problem(&self, document: &Value) -> Option<String> {
        let error = self.schemas.validate(document, self.root).err()?;
        let mut cause = &error;
        while let Some(next) = cause.causes.first() {
            cause = next;
        }
        Some(shortened(&format!("{} at '{}'", cause.kind, cause.instance_location)))
    }
}

/// Two are equal that were written the same.
impl PartialEq for JsonSchema {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for JsonSchema {}

impl fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonSchema").field(&self.source).finish()
    }
}

/// What a schema names that is not in itself and no draft of the standard.
struct Nowhere;

impl UrlLoader for Nowhere {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("{url} is not fetched").into())
    }
}

/// Errors quote what they are about, which may be long.
fn shortened(error: &impl fmt::Display) -> String {
    let text = error.to_string().replace(char::is_control, " ");
    if text.chars().count() <= 200 { text } else { text.chars().take(199).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_judges_documents() {
        let schema = JsonSchema::compile(&json!({
            "type": "object", "required": ["amount"], "additionalProperties": false,
            "properties": { "type": true, "amount": { "$ref": "#/$defs/money" }, "on": { "format": "date" } },
            "$defs": { "money": { "type": "string", "pattern": "^\\d+\\.\\d{2}$" } },
        }))
        .unwrap();
        assert_eq!(schema.problem(&json!({"type": "payment", "amount": "1.00", "on": "2026-01-31"})), None);
        for (wrong, why) in [
            (json!({"type": "payment"}), "amount"),
            (json!({"amount": 1}), "string"),
            (json!({"amount": "1"}), "/amount"),
            (json!({"amount": "1.00", "on": "tomorrow"}), "/on"),
            (json!({"amount": "1.00", "to": "x"}), "to"),
        ] {
            let told = schema.problem(&wrong).unwrap();
            assert!(told.contains(why), "{wrong}: {told}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_reason() {
        let doubling: Map<String, Value> = (0..9)
            .map(|n| {
                let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
                (format!("d{n}"), json!({"allOf": [next, next, next]}))
            })
            .chain([("d9".to_owned(), json!({"type": "string"}))])
            .collect();
        for (schema, why) in [
            (json!(true), "object"),
            (json!({"type": "nothing"}), ""),
            (json!({"pattern": "("}), ""),
            (json!({"title": "x".repeat(MAX_BYTES)}), "bytes"),
            (json!({"$ref": "https://evil.example/schema"}), "$ref"),
            (json!({"$ref": "file:///etc/passwd"}), "$ref"),
            (json!({"$ref": "#"}), "$ref"),
            (json!({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}), "circle"),
            (json!({"$ref": "#/$defs/d0", "$defs": doubling}), "more than"),
            (json!({"$id": "https://evil.example/"}), "$id"),
            (json!({"$dynamicRef": "#x"}), "$dynamicRef"),
            (json!({"$schema": "https://evil.example/meta"}), "evil.example"),
        ] {
            let told = JsonSchema::compile(&schema).unwrap_err();
            assert!(told.contains(why), "{schema}: {told}");
        }
    }
}
