//! What differs between two shown documents, member by member. Secrets are not in what is shown.

use serde::Serialize;
use serde_json::Value;

/// One member. Absent before: it is new. Absent after: it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub pointer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Shown in place of a secret.
pub(super) const MASKED: &str = "(secret)";
pub(super) const MASKED_NEW: &str = "(another secret)";

/// Members that follow from a change and are not what somebody wrote.
const DERIVED: [&str; 7] = ["id", "created_at", "updated_at", "revision", "secrets", "registered", "managed_by"];

/// Of two views of the same resource.
pub(super) fn between(before: Option<&impl Serialize>, after: Option<&impl Serialize>) -> Vec<Difference> {
    let shown = |value: Value| match value {
        Value::Object(mut members) => {
            for name in DERIVED {
                members.remove(name);
            }
            Value::Object(members)
        }
        other => other,
    };
    let before = before.and_then(|view| serde_json::to_value(view).ok()).map(shown);
    let after = after.and_then(|view| serde_json::to_value(view).ok()).map(shown);
    let mut found = Vec::new();
    match (&before, &after) {
        (Some(before), Some(after)) => compare("", before, after, &mut found),
        (None, Some(Value::Object(made))) => {
            let new = |(name, value): (&String, &Value)| difference(name, None, Some(value.clone()));
            found.extend(made.iter().map(new));
        }
        _ => {}
    }
    found
}

pub(super) fn difference(name: &str, before: Option<Value>, after: Option<Value>) -> Difference {
    Difference { pointer: format!("/{name}"), before, after }
}

fn compare(at: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        for (name, value) in old {
            let pointer = format!("{at}/{name}");
            match new.get(name) {
                Some(other) => compare(&pointer, value, other, found),
                None => found.push(Difference { pointer, before: Some(value.clone()), after: None }),
            }
        }
        for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            found.push(Difference { pointer: format!("{at}/{name}"), before: None, after: Some(value.clone()) });
        }
    } else if before != after {
        let (before, after) = (Some(before.clone()), Some(after.clone()));
        found.push(Difference { pointer: at.to_owned(), before, after });
    }
}
