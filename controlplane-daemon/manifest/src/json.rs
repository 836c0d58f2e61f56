//! JSON (RFC 8259): one document, or a list of them; no member twice. Lines are known of syntax errors only.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::document::{Located, MAX_DOCUMENTS};
use crate::strict_json;

pub(crate) fn parse(text: &str) -> Result<Vec<Located>, (Option<usize>, String)> {
    let values = match whole(text)?.value {
        Value::Array(values) => values,
        single => vec![single],
    };
    if values.len() > MAX_DOCUMENTS {
        return Err((None, format!("a file may have at most {MAX_DOCUMENTS} documents")));
    }
    Ok(values.into_iter().map(|value| Located { value, lines: BTreeMap::new() }).collect())
}

/// The file's one value.
pub(crate) fn whole(text: &str) -> Result<Located, (Option<usize>, String)> {
    let value = strict_json::parse(text).map_err(|error| (Some(error.line()), format!("not JSON: {error}")))?;
    Ok(Located { value, lines: BTreeMap::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_document_or_a_list_and_nothing_loose() {
        assert_eq!(parse("{\"a\": 1}").map(|d| d.len()).ok(), Some(1));
        assert_eq!(parse("[{\"a\": 1}, {}]").map(|d| d.len()).ok(), Some(2));
        for bad in ["", "{", "{} {}", "{\"a\":1,\"a\":2}", "[{\"b\":{\"a\":1,\"a\":1}}]", &"[".repeat(100_000)] {
            assert!(parse(bad).is_err(), "{bad:.30}");
        }
        assert_eq!(parse("{\n\n x}").err().and_then(|(line, _)| line), Some(3));
    }
}
