//! What became different, field by field, with everything secret hidden.
//!
//! Secrets are hidden by two rules that do not know of each other: by the name of the field, and by what a sealed
//! envelope looks like. That one was changed is shown; what it was or became is not, and neither is a digest of it.

use std::cmp::Ordering;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::leaves::{Leaf, Leaves};

/// Shown in place of what is secret.
const HIDDEN: &str = "(hidden)";
const SECRET_FIELDS: [&str; 10] =
    ["dsn", "digest", "private_key", "secret", "client_secret", "password", "token", "credential", "receipt", "sealed"];

/// The leaves that differ between two versions of a document. A resource that did not exist has none, nor has one that
/// is gone. As JSON the list of them, in the order of their pointers.
#[derive(Debug, Default)]
pub(super) struct Difference {
    before: Option<Leaves>,
    after: Option<Leaves>,
    /// Which leaf of each.
    fields: Vec<[Option<usize>; 2]>,
}

/// One field.
#[derive(Serialize)]
struct Row<'a> {
    /// A JSON pointer into the resource's document.
    field: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Leaf<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Leaf<'a>>,
}

impl Difference {
    pub(super) fn between(before: Option<Leaves>, after: Option<Leaves>) -> Self {
        let mut fields = Vec::new();
        let (mut old, mut new) = (0, 0);
        loop {
            let gone = before.as_ref().and_then(|leaves| leaves.at(old));
            let here = after.as_ref().and_then(|leaves| leaves.at(new));
            let order = match (gone, here) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((one, _)), Some((other, _))) => one.cmp(other),
            };
            match order {
                Ordering::Less => fields.push([Some(old), None]),
                Ordering::Greater => fields.push([None, Some(new)]),
                Ordering::Equal if gone != here => fields.push([Some(old), Some(new)]),
                Ordering::Equal => {}
            }
            old += usize::from(order.is_le());
            new += usize::from(order.is_ge());
        }
        Self { before, after, fields }
    }

    pub(super) const fn len(&self) -> usize {
        self.fields.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// About how long it is as JSON, apart from the pointers.
    pub(super) fn bytes(&self) -> usize {
        let shown = self.fields.iter().map(|field| self.shown(*field));
        shown.flat_map(|field| [field.before, field.after]).flatten().map(Leaf::bytes).sum()
    }

    fn shown(&self, [old, new]: [Option<usize>; 2]) -> Row<'_> {
        let before = self.before.as_ref().zip(old).and_then(|(leaves, index)| leaves.at(index));
        let after = self.after.as_ref().zip(new).and_then(|(leaves, index)| leaves.at(index));
        let field = before.or(after).map(|(pointer, _)| pointer).unwrap_or_default();
        let shown = |(pointer, leaf)| hide(pointer, leaf);
        Row { field, before: before.map(shown), after: after.map(shown) }
    }
}

impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.fields.iter().map(|field| self.shown(*field)))
    }
}

fn hide<'a>(pointer: &str, leaf: Leaf<'a>) -> Leaf<'a> {
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let sealed = |text: &str| text.starts_with("hjs1.");
    let holds_sealed = match leaf {
        Leaf::Text(text) => sealed(text),
        Leaf::Value(Value::Array(items)) => items.iter().any(|item| item.as_str().is_some_and(sealed)),
        Leaf::Value(_) => false,
    };
    if SECRET_FIELDS.contains(&name) || holds_sealed { Leaf::Text(HIDDEN) } else { leaf }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn between(before: &Value, after: &Value) -> Difference {
        Difference::between(Some(Leaves::of(before)), Some(Leaves::of(after)))
    }

    #[test]
    fn leaves_that_differ_are_shown_before_and_after() {
        let before = json!({"revision": 1, "spec": {"name": "a", "hosts": ["x"], "limits": {"a": 1, "b": 2}}});
        let after = json!({"revision": 2, "spec": {"name": "a", "hosts": [], "limits": {"a": 1, "b": 3}, "new": true}});
        let shown = serde_json::to_value(between(&before, &after)).unwrap();
        let expected = json!([
            {"field": "/hosts", "before": ["x"]},
            {"field": "/limits/b", "before": 2, "after": 3},
            {"field": "/new", "after": true},
        ]);
        assert_eq!(shown, expected);
        assert!(between(&after, &after).is_empty());
    }

    #[test]
    fn secrets_are_hidden_by_name_and_by_look_but_that_they_changed_is_shown() {
        let sealed = |n: u8| format!("hjs1.0a1b2c3d.{n}");
        let document = |n: u8| {
            json!({"database": {"dsn": sealed(n)}, "mail": sealed(n), "list": [sealed(n)],
                   "secrets": [{"id": "s1", "digest": n}, {"id": format!("s{n}"), "digest": 9}]})
        };
        let shown = serde_json::to_string(&between(&document(2), &document(3))).unwrap();
        assert!(!shown.contains("hjs1"), "{shown}");
        for field in ["/database/dsn", "/mail", "/list", "/secrets/s1/digest", "/secrets/s2/id", "/secrets/s3/id"] {
            assert!(shown.contains(&format!("\"{field}\"")), "{field}: {shown}");
        }
        assert!(!shown.contains("\"before\":2") && !shown.contains("\"after\":9"), "{shown}");
    }
}
