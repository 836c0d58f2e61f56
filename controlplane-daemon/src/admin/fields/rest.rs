//! Reads the members of an object into a type whose every field has a default, and finds every problem there is: the
//! type is tried member by member, and a list element by element, because serde itself stops at the first.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A JSON pointer (RFC 6901) below the object, and what is wrong there.
type Problem = (String, String);

pub(crate) fn read<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, Vec<Problem>> {
    let whole = match parse::<T>(Value::Object(members.clone())) {
        Ok(read) => return Ok(read),
        Err(problem) => problem,
    };
    let mut problems = Vec::new();
    for (name, value) in members {
        let alone = |value| parse::<T>(Value::Object(Map::from_iter([(name.clone(), value)])));
        let Err(problem) = alone(value.clone()) else { continue };
        let known = problems.len();
        if let Value::Array(items) = value {
            for (index, item) in items.into_iter().enumerate() {
                let Err((pointer, detail)) = alone(Value::Array(vec![item])) else { continue };
                let first = format!("/{}/0", escaped(&name));
                let below = pointer.strip_prefix(&first).unwrap_or_default();
                problems.push((format!("/{}/{index}{below}", escaped(&name)), detail));
            }
        }
        if problems.len() == known {
            problems.push(problem);
        }
    }
    // Members that are right one by one and wrong together.
    if problems.is_empty() {
        problems.push(whole);
    }
    Err(problems)
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        use serde_path_to_error::Segment::{Enum, Map, Seq, Unknown};
        let segments = error.path().iter().map(|segment| match segment {
            Map { key } => format!("/{}", escaped(key)),
            Seq { index } => format!("/{index}"),
            Enum { .. } | Unknown => String::new(),
        });
        let pointer: String = segments.collect();
        (pointer, told(&error.into_inner().to_string()))
    })
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Serde's words as this API's: what is allowed, not what came.
fn told(error: &str) -> String {
    let error = error.replace('`', "");
    if error.starts_with("unknown field") {
        return "is not known here".to_owned();
    }
    if let Some((_, expected)) = error.split_once(", expected ") {
        return format!("must be {}", expected.replace("a sequence", "a list").replace("a map", "an object"));
    }
    match error.strip_prefix("missing field ") {
        Some(name) => format!("needs the member {name}"),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use vocab::client::ClientSpec;

    fn problems(document: Value) -> Vec<(String, String)> {
        let Value::Object(members) = document else { panic!("an object") };
        read::<ClientSpec>(members).expect_err("problems")
    }

    #[test]
    fn every_problem_is_found_with_its_pointer() {
        let found = problems(json!({
            "enabled": "yes",
            "grant_types": ["password", "refresh_token", 7],
            "name": "right",
            "scopes": ["openid", "a b", "c\"d"],
            "surprise/~": 1,
        }));
        let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(
            pointers,
            ["/enabled", "/grant_types/0", "/grant_types/2", "/scopes/1", "/scopes/2", "/surprise~1~0"]
        );
        assert_eq!(found[0].1, "must be a boolean");
        assert!(found[1].1.starts_with("must be one of authorization_code, refresh_token, client_credentials, "));
        assert_eq!(found[5].1, "is not known here");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_told_what_it_must_be() {
        assert_eq!(
            problems(json!({"redirect_uris": "https://a.example"})),
            [("/redirect_uris".to_owned(), "must be a list".to_owned())]
        );
    }

    #[test]
    fn what_is_left_out_is_at_its_default() {
        let spec: ClientSpec = read(Map::new()).unwrap();
        assert_eq!(spec, ClientSpec::default());
    }
}
