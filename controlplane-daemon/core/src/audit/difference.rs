//! What became different, field by field, with everything secret hidden.
//!
//! Secrets are hidden by two rules that do not know of each other: by the name of the field, and by what a sealed
//! envelope looks like. That one was changed is shown; what it was or became is not, and neither is a digest of it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// Shown in place of what is secret.
const HIDDEN: &str = "(hidden)";
const SECRET_FIELDS: [&str; 10] =
    ["dsn", "digest", "private_key", "secret", "client_secret", "password", "token", "credential", "receipt", "sealed"];
/// Bookkeeping that every change moves, or that says again which resource it is.
const NOT_SHOWN: [&str; 9] = [
    "revision",
    "created_at",
    "updated_at",
    "status_since",
    "last_seen",
    "last_used_at",
    "tenant_id",
    "owner",
    "longest",
];

/// One field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Leaf {
    /// A JSON pointer into the resource's document.
    field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
}

/// Every leaf that differs. A resource that did not exist has none, nor has one that is gone.
pub(super) fn fields(before: Option<Value>, after: Option<Value>) -> Vec<Leaf> {
    let mut before = before.map(leaves).unwrap_or_default();
    let mut both: BTreeMap<String, [Option<Value>; 2]> = BTreeMap::new();
    for (field, after) in after.map(leaves).unwrap_or_default() {
        let before = before.remove(&field);
        if before.as_ref() != Some(&after) {
            both.insert(field, [before, Some(after)]);
        }
    }
    both.extend(before.into_iter().map(|(field, gone)| (field, [Some(gone), None])));
    let leaf = |(field, sides): (String, [Option<Value>; 2])| {
        let [before, after] = sides.map(|side| side.map(|leaf| hide(&field, leaf)));
        Leaf { field, before, after }
    };
    both.into_iter().map(leaf).collect()
}

/// Scalars and lists of scalars, by pointer. What says nothing (null, an empty list or text) is left out, so that a new
/// resource is shown by what was given to it.
fn leaves(document: Value) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    if let Value::Object(members) = document {
        for (name, value) in members.into_iter().filter(|(name, _)| !NOT_SHOWN.contains(&name.as_str())) {
            // The admin API shows what stands in the spec beside the rest.
            let pointer = if name == "spec" { String::new() } else { pointer("", &name) };
            collect(pointer, value, &mut leaves);
        }
    }
    leaves
}

fn collect(at: String, value: Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                collect(pointer(&at, &name), value, leaves);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.into_iter().enumerate() {
                // By its id, so that taking out the first does not change the others.
                let name = item.get("id").and_then(Value::as_str).map_or_else(|| index.to_string(), ToOwned::to_owned);
                collect(pointer(&at, &name), item, leaves);
            }
        }
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::Array(items) if items.is_empty() => {}
        leaf => drop(leaves.insert(at, leaf)),
    }
}

/// RFC 6901 §3.
fn pointer(at: &str, name: &str) -> String {
    let mut pointer = String::with_capacity(at.len() + 1 + name.len());
    pointer.push_str(at);
    pointer.push('/');
    for part in name.split_inclusive(['~', '/']) {
        match part.split_at_checked(part.len().saturating_sub(1)) {
            Some((begin, "~")) => pointer.extend([begin, "~0"]),
            Some((begin, "/")) => pointer.extend([begin, "~1"]),
            _ => pointer.push_str(part),
        }
    }
    pointer
}

fn hide(pointer: &str, leaf: Value) -> Value {
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let sealed = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("hjs1."));
    let holds_sealed = sealed(&leaf) || leaf.as_array().is_some_and(|items| items.iter().any(sealed));
    if SECRET_FIELDS.contains(&name) || holds_sealed { Value::String(HIDDEN.to_owned()) } else { leaf }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_that_differ_are_shown_before_and_after() {
        let before = json!({"revision": 1, "spec": {"name": "a", "hosts": ["x"], "limits": {"a": 1, "b": 2}}});
        let after = json!({"revision": 2, "spec": {"name": "a", "hosts": [], "limits": {"a": 1, "b": 3}, "new": true}});
        let shown = serde_json::to_value(fields(Some(before), Some(after.clone()))).unwrap();
        let expected = json!([
            {"field": "/hosts", "before": ["x"]},
            {"field": "/limits/b", "before": 2, "after": 3},
            {"field": "/new", "after": true},
        ]);
        assert_eq!(shown, expected);
        assert_eq!(fields(Some(after.clone()), Some(after)), []);
        assert_eq!(pointer("/a", "~1/ä~"), "/a/~01~1ä~0");
    }

    #[test]
    fn secrets_are_hidden_by_name_and_by_look_but_that_they_changed_is_shown() {
        let sealed = |n: u8| format!("hjs1.0a1b2c3d.{n}");
        let document = |n: u8| {
            json!({"database": {"dsn": sealed(n)}, "mail": sealed(n), "list": [sealed(n)],
                   "secrets": [{"id": "s1", "digest": n}, {"id": format!("s{n}"), "digest": 9}]})
        };
        let shown = serde_json::to_string(&fields(Some(document(2)), Some(document(3)))).unwrap();
        assert!(!shown.contains("hjs1"), "{shown}");
        for field in ["/database/dsn", "/mail", "/list", "/secrets/s1/digest", "/secrets/s2/id", "/secrets/s3/id"] {
            assert!(shown.contains(&format!("\"{field}\"")), "{field}: {shown}");
        }
        assert!(!shown.contains("\"before\":2") && !shown.contains("\"after\":9"), "{shown}");
    }
}
