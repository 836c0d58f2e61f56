//! Rules of the types of authorization details that a tenant registers (RFC 9396 §2, §10).
//!
//! Whether a schema compiles is not among them: what a compiler takes may change with its version, and every node must
//! judge an entry alike. The admin API asks a compiler before it proposes anything.

use std::collections::BTreeMap;

use vocab::oauth::AuthorizationDetailsType;
use vocab::{Violations, json_schema};

use crate::limits;

pub(super) fn types_problems(types: &BTreeMap<String, AuthorizationDetailsType>) -> Violations {
    let mut violations = Violations::new();
    violations.require(types.len() <= limits::DETAILS_TYPES, "", || {
        format!("at most {}, has {}", limits::DETAILS_TYPES, types.len())
    });
    for (name, kind) in types {
        let at = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        check_name(&mut violations, &at, name);
        let text = &kind.description;
        let fits = (1..=limits::DESCRIPTION_CHARS).contains(&text.chars().count()) && !text.contains(char::is_control);
        violations.require(fits, &format!("{at}/description"), || {
            format!("must have 1 to {} characters, without control characters", limits::DESCRIPTION_CHARS)
        });
        if let Some(problem) = json_schema::unusable(&kind.schema) {
            violations.add(format!("{at}/schema"), problem);
        }
    }
    violations
}

/// A name or a URI, as RFC 9396 §2.1 advises.
pub(super) fn check_name(violations: &mut Violations, pointer: &str, name: &str) {
    let good = (1..=limits::HOST_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    violations.require(good, pointer, || {
        format!("must be named by 1 to {} visible ASCII characters, without quotes", limits::HOST_BYTES)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_names_texts_and_schemas() {
        let pointers = |json: &str| -> Vec<String> {
            types_problems(&serde_json::from_str(json).unwrap()).iter().map(|it| it.pointer.clone()).collect()
        };
        let none: [&str; 0] = [];
        assert_eq!(pointers(r#"{"https://a.example/pay": {"description": "Pay", "schema": {}}}"#), none);
        assert_eq!(pointers(r#"{"a b": {"description": "Pay", "schema": {}}}"#), ["/a b"]);
        assert_eq!(pointers(r#"{"a/b": {"schema": {}}}"#), ["/a~1b/description"]);
        assert_eq!(pointers(r#"{"a": {"description": "x", "schema": {"$ref": "https://x"}}}"#), ["/a/schema"]);
        assert_eq!(pointers(r#"{"a": {"description": "x"}}"#), ["/a/schema"]);
    }
}
