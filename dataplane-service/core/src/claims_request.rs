//! The `claims` parameter (OIDC Core §5.5): single claims that a client asks for, in the ID token or at userinfo.
//!
//! A client gets no claim this way that none of its registered scopes would release: what it may not have is left out
//! when the request is validated, so that whoever reads a [`ClaimsRequest`] later need not ask again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::OAuthError;

/// Deepest nesting that is read; three levels are the protocol's, the others are for values.
const MAX_DEPTH: usize = 8;
/// Most claims in one request.
const MAX_CLAIMS: usize = 64;

/// What to release beside what the scope does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimsRequest {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub userinfo: BTreeMap<String, Wanted>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub id_token: BTreeMap<String, Wanted>,
}

/// How much a claim is wanted (OIDC Core §5.5.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub essential: bool,
    /// Only with one of these values; empty: with any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
}

impl Wanted {
    /// Whether a claim with this value is what was asked for.
    pub fn takes(&self, value: &Value) -> bool {
        self.values.is_empty() || self.values.contains(value)
    }

    fn texts(&self) -> Vec<&str> {
        self.values.iter().filter_map(Value::as_str).collect()
    }
}

impl ClaimsRequest {
    /// Reads the parameter. What is not understood in it is passed over (OIDC Core §5.5).
    pub fn parse(text: &str) -> Result<Self, OAuthError> {
        const MALFORMED: OAuthError =
            OAuthError::invalid_request("The claims parameter must be a JSON object of the form of OIDC Core 5.5.");
        if depth(text) > MAX_DEPTH {
            return Err(OAuthError::invalid_request("The claims parameter is nested too deeply."));
        }
        let Ok(Value::Object(mut members)) = serde_json::from_str(text) else {
            return Err(MALFORMED);
        };
        let mut read = |name| match members.remove(name) {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(claims)) => {
                claims.into_iter().map(|(name, wanted)| Ok((name, wanted_of(wanted).ok_or(MALFORMED)?))).collect()
            }
            Some(_) => Err(MALFORMED),
        };
        let request = Self { userinfo: read("userinfo")?, id_token: read("id_token")? };
        if request.userinfo.len() + request.id_token.len() > MAX_CLAIMS {
            return Err(OAuthError::invalid_request("The claims parameter names too many claims."));
        }
        Ok(request)
    }

    pub fn is_empty(&self) -> bool {
        self.userinfo.is_empty() && self.id_token.is_empty()
    }

    /// Every claim that is asked for, at either place.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.userinfo.keys().chain(self.id_token.keys()).map(String::as_str)
    }

    /// Leaves out the claims that `may_have` denies.
    pub fn retain(&mut self, may_have: impl Fn(&str) -> bool) {
        self.userinfo.retain(|name, _| may_have(name));
        self.id_token.retain(|name, _| may_have(name));
    }

    /// The users that will do, when the client means certain ones (OIDC Core §5.5.1); empty: any.
    pub fn subjects(&self) -> Vec<&str> {
        [&self.id_token, &self.userinfo]
            .into_iter()
            .find_map(|claims| claims.get("sub").filter(|wanted| !wanted.values.is_empty()))
            .map(Wanted::texts)
            .unwrap_or_default()
    }

    /// The classes of authentication asked for as a claim (OIDC Core §5.5.1.1), and whether nothing else will do.
    pub fn acr(&self) -> Option<(Vec<&str>, bool)> {
        self.id_token.get("acr").map(|wanted| (wanted.texts(), wanted.essential && !wanted.values.is_empty()))
    }
}

/// `null`, or an object of which other members are passed over.
fn wanted_of(value: Value) -> Option<Wanted> {
    let mut members: Map<String, Value> = match value {
        Value::Null => Map::new(),
        Value::Object(members) => members,
        _ => return None,
    };
    let essential = match members.remove("essential") {
        None => false,
        Some(Value::Bool(essential)) => essential,
        Some(_) => return None,
    };
    let values = match (members.remove("value"), members.remove("values")) {
        (Some(value), _) => vec![value],
        (None, Some(Value::Array(values))) => values,
        (None, Some(_)) => return None,
        (None, None) => Vec::new(),
    };
    Some(Wanted { essential, values })
}

/// How deep brackets are nested in a JSON text, whether or not it is a good one: without recursion, so that it can be
/// asked before a parser that has it is let loose on a stranger's text.
pub(crate) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    /// The example of OIDC Core §5.5.
    const EXAMPLE: &str = r#"{
        "userinfo": {
            "given_name": {"essential": true}, "nickname": null, "email": {"essential": true},
            "email_verified": {"essential": true}, "picture": null, "http://example.info/claims/groups": null
        },
        "id_token": {
            "auth_time": {"essential": true}, "acr": {"values": ["urn:mace:incommon:iap:silver"]}
        },
        "another": [1]
    }"#;

    #[test]
    fn the_example_of_the_specification() {
        let read = ClaimsRequest::parse(EXAMPLE).unwrap();
        assert!(read.userinfo["given_name"].essential && !read.userinfo["nickname"].essential);
        assert_eq!(read.userinfo.len(), 6);
        assert_eq!(read.acr(), Some((vec!["urn:mace:incommon:iap:silver"], false)));
        let stored = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<ClaimsRequest>(&stored).unwrap(), read);
    }

    #[rstest]
    #[case("")]
    #[case("null")]
    #[case("[]")]
    #[case("{")]
    #[case(r#"{"userinfo":1}"#)]
    #[case(r#"{"id_token":{"sub":1}}"#)]
    #[case(r#"{"id_token":{"sub":{"essential":1}}}"#)]
    #[case(r#"{"id_token":{"sub":{"values":1}}}"#)]
    #[case::deep(&format!("{}{}", r#"{"a":"#.repeat(9), "}".repeat(9)))]
    #[case::very_deep(&"[".repeat(100_000))]
    fn refused(#[case] text: &str) {
        assert_eq!(ClaimsRequest::parse(text).unwrap_err().code(), Code::InvalidRequest);
    }

    #[test]
    fn too_many_are_refused() {
        let many: Map<String, Value> = (0..=MAX_CLAIMS).map(|i| (format!("c{i}"), Value::Null)).collect();
        assert!(ClaimsRequest::parse(&json!({"userinfo": many}).to_string()).is_err());
    }

    #[test]
    fn subjects_and_values() {
        let read =
            ClaimsRequest::parse(r#"{"id_token":{"sub":{"value":"alice"},"acr":{"essential":true,"value":"x"}}}"#);
        let read = read.unwrap();
        assert_eq!(read.subjects(), ["alice"]);
        assert_eq!(read.acr(), Some((vec!["x"], true)));
        assert!(read.id_token["sub"].takes(&json!("alice")) && !read.id_token["sub"].takes(&json!("bob")));
        let at_userinfo = ClaimsRequest::parse(r#"{"userinfo":{"sub":{"values":["a","b"]}}}"#).unwrap();
        assert_eq!(at_userinfo.subjects(), ["a", "b"]);
        assert!(ClaimsRequest::parse(r#"{"id_token":{"sub":null}}"#).unwrap().subjects().is_empty());
    }

    #[rstest]
    #[case("{}", 1)]
    #[case(r#"{"a":[1,{"b":2}]}"#, 3)]
    #[case(r#""[[[""#, 0)]
    #[case(r#"{"\"[[":"\\"}[["#, 2)]
    fn depths(#[case] text: &str, #[case] expected: usize) {
        assert_eq!(depth(text), expected);
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,300}") {
            let _ = ClaimsRequest::parse(&text);
        }
    }
}
