//! JSON (RFC 8259): one document, or a list of them; no member twice. Lines are known of syntax errors only.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::document::{Located, MAX_DOCUMENTS};

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
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Strict.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    let value = read.map_err(|error| (Some(error.line()), format!("not JSON: {error}")))?;
    Ok(Located { value, lines: BTreeMap::new() })
}

/// A [`Value`] without duplicate members.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the member {name:?} stands there twice")));
            }
            let value = members.next_value_seed(Self)?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
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
