//! Rich authorization requests (RFC 9396): objects that say in detail what a client wants to do, of types that the tenant
//! registers with a JSON schema.
//!
//! What was granted only ever narrows: a token request may ask for some of the objects, or for objects that name fewer
//! actions, places or kinds of data. Everything else in an object must stay as it was granted, for only the tenant's APIs
//! know what it means.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vocab::json_schema::JsonSchema;
use vocab::oauth::AuthorizationDetailsType;

use crate::client::Client;
use crate::error::{Code, OAuthError};
use crate::form::Form;

const PARAMETER: &str = "authorization_details";
/// What is accepted is stored, and stands in tokens.
const MAX_BYTES: usize = 8 * 1024;
const MAX_DETAILS: usize = 32;
/// Members that are lists of what is allowed (§2.2): fewer are less.
const LISTS: [&str; 4] = ["locations", "actions", "datatypes", "privileges"];

type Detail = Map<String, Value>;

/// What is asked for, or was granted; empty: nothing beyond the scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuthorizationDetails(Vec<Detail>);

impl AuthorizationDetails {
    /// Reads the parameter, if it is there. Only its form is looked at (§2): who grants it anew [judges](DetailTypes::judge)
    /// the rest, who redeems compares with what was granted.
    pub fn read(form: &Form<'_>) -> Result<Option<Self>, OAuthError> {
        form.get(PARAMETER).map(Self::parse).transpose()
    }

    fn parse(text: &str) -> Result<Self, OAuthError> {
        if text.len() > MAX_BYTES {
            return Err(OAuthError::invalid_authorization_details("The authorization_details are over 8 KiB."));
        }
        let Ok(details) = serde_json::from_str::<Vec<Detail>>(text) else {
            return Err(OAuthError::invalid_authorization_details("They must be a JSON array of objects."));
        };
        if details.len() > MAX_DETAILS {
            return Err(OAuthError::invalid_authorization_details("There are more than 32 of them."));
        }
        if details.iter().any(|detail| !detail.get("type").is_some_and(Value::is_string)) {
            return Err(OAuthError::invalid_authorization_details("Each needs a type, which is a string."));
        }
        Ok(Self(details))
    }

    /// For a grant that has no use for them (§3, §6): passed over, they would seem granted.
    pub fn refuse(form: &Form<'_>) -> Result<(), OAuthError> {
        match form.get(PARAMETER) {
            None => Ok(()),
            Some(_) => Err(OAuthError::invalid_authorization_details("This grant takes no authorization_details.")),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `None` when empty: how claims, answers and columns leave them out.
    pub fn non_empty(&self) -> Option<&Self> {
        (!self.is_empty()).then_some(self)
    }

    /// What a token gets of these, which were granted (§6): what was asked for, and all of them if nothing was. A type that
    /// the client lost the right to ask for since is no longer issued.
    pub fn narrowed(&self, asked: Option<Self>, client: &Client) -> Result<Self, OAuthError> {
        let left = Self(self.0.iter().filter(|detail| may_ask_for(client, kind(detail))).cloned().collect());
        match asked {
            None => Ok(left),
            Some(asked) if left.covers(&asked) => Ok(asked),
            Some(_) => {
                Err(OAuthError::invalid_authorization_details("The authorization_details are not part of the grant."))
            }
        }
    }

    /// Whether each of `asked` is one of these, or less.
    pub fn covers(&self, asked: &Self) -> bool {
        asked.0.iter().all(|asked| self.0.iter().any(|granted| is_within(asked, granted)))
    }

    /// The type of each with its members, in words for people.
    pub fn in_words(&self) -> Vec<(&str, Vec<(String, String)>)> {
        let words = |detail: &Detail| {
            let mut lines = Vec::new();
            for (name, value) in detail {
                if name != "type" {
                    describe(name, value, &mut lines);
                }
            }
            lines
        };
        self.0.iter().map(|detail| (kind(detail), words(detail))).collect()
    }
}

fn kind(detail: &Detail) -> &str {
    detail.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// §10: by the client's registration only.
fn may_ask_for(client: &Client, kind: &str) -> bool {
    client.spec.authorization_details_types.iter().any(|known| known == kind)
}

fn is_within(asked: &Detail, granted: &Detail) -> bool {
    let is_less = |name: &str, asked: &Value, granted: &Value| match (asked, granted) {
        (Value::Array(asked), Value::Array(granted)) if LISTS.contains(&name) => {
            !asked.is_empty() && asked.iter().all(|one| granted.contains(one))
        }
        _ => false,
    };
    // A member left out may mean more, not less: without `locations` it is everywhere.
    asked.len() == granted.len()
        && asked.iter().all(|(name, value)| {
            granted.get(name).is_some_and(|granted| value == granted || is_less(name, value, granted))
        })
}

/// A line for each value; what is inside of something is named after it.
fn describe(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (inner, value) in members {
                describe(&format!("{name} / {inner}"), value, lines);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                describe(&format!("{name} {}", index + 1), item, lines);
            }
        }
        Value::Array(items) => lines.push((name.to_owned(), items.iter().map(text).collect::<Vec<_>>().join(", "))),
        other => lines.push((name.to_owned(), text(other))),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The types that a tenant registered, their schemas compiled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DetailTypes(BTreeMap<String, DetailType>);

#[derive(Debug, PartialEq, Eq)]
struct DetailType {
    schema: JsonSchema,
    remember_consent: bool,
}

impl DetailTypes {
    /// The error names the type.
    pub fn compile(types: &BTreeMap<String, AuthorizationDetailsType>) -> Result<Self, String> {
        let compile = |(name, spec): (&String, &AuthorizationDetailsType)| {
            let schema = JsonSchema::compile(&spec.schema).map_err(|why| format!("{name}: {why}"))?;
            Ok((name.clone(), DetailType { schema, remember_consent: spec.remember_consent }))
        };
        types.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// What a client asks for that is to be granted anew (§5).
    pub fn judge(
        &self,
        asked: Option<AuthorizationDetails>,
        client: &Client,
    ) -> Result<AuthorizationDetails, OAuthError> {
        let details = asked.unwrap_or_default();
        details.0.iter().try_for_each(|detail| self.check(detail, client))?;
        Ok(details)
    }

    fn check(&self, detail: &Detail, client: &Client) -> Result<(), OAuthError> {
        let name = kind(detail);
        let refused = |told: &str| Err(OAuthError::quoting(Code::InvalidAuthorizationDetails, told));
        let Some(kind) = self.0.get(name) else {
            return refused(&format!("There is no type {name}."));
        };
        if !may_ask_for(client, name) {
            return refused(&format!("The client is not registered for the type {name}."));
        }
        match kind.schema.problem(&Value::Object(detail.clone())) {
            None => Ok(()),
            Some(problem) => refused(&format!("{name}: {problem}")),
        }
    }

    /// Those of `details` whose consent counts again.
    #[must_use]
    pub fn remembered(&self, details: &AuthorizationDetails) -> AuthorizationDetails {
        let counts = |detail: &&Detail| self.0.get(kind(detail)).is_some_and(|kind| kind.remember_consent);
        AuthorizationDetails(details.0.iter().filter(counts).cloned().collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::client::tests::client_with;
    use rstest::rstest;
    use serde_json::json;

    /// `payment`, which is asked about each time, and `files`, which is not.
    pub(crate) fn types() -> DetailTypes {
        let spec = json!({
            "payment": { "description": "Pay", "schema": {
                "type": "object", "required": ["amount"], "additionalProperties": false,
                "properties": { "type": true, "amount": { "type": "string", "pattern": "^[0-9]+$" } },
            }},
            "files": { "description": "Read files", "schema": {}, "remember_consent": true },
        });
        DetailTypes::compile(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    pub(crate) fn details(json: &Value) -> AuthorizationDetails {
        serde_json::from_value(json.clone()).unwrap()
    }

    fn client() -> Client {
        client_with(|spec| spec.authorization_details_types = vec!["payment".into(), "files".into()])
    }

    fn asked(value: &str, client: &Client) -> Result<AuthorizationDetails, OAuthError> {
        let body = form_urlencoded::Serializer::new(String::new()).append_pair(PARAMETER, value).finish();
        let form = Form::parse(body.as_bytes()).unwrap();
        types().judge(AuthorizationDetails::read(&form)?, client)
    }

    #[rstest]
    #[case("x", "array of objects")]
    #[case("{}", "array of objects")]
    #[case("[1]", "array of objects")]
    #[case("[{}]", "needs a type")]
    #[case(r#"[{"type":1}]"#, "needs a type")]
    #[case(r#"[{"type":"unknown"}]"#, "no type unknown")]
    #[case(r#"[{"type":"payment"}]"#, "payment: ")]
    #[case(r#"[{"type":"payment","amount":"x"}]"#, "/amount")]
    #[case(r#"[{"type":"payment","amount":"1","more":1}]"#, "payment: ")]
    fn refused(#[case] value: &str, #[case] why: &str) {
        let error = asked(value, &client()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidAuthorizationDetails);
        assert!(error.description().contains(why), "{error}");
    }

    #[test]
    fn taken_by_registration_only() {
        let payment = r#"[{"type":"payment","amount":"10"}]"#;
        assert!(!asked(payment, &client()).unwrap().is_empty());
        assert!(asked("[]", &client()).unwrap().is_empty());
        let files_only = client_with(|spec| spec.authorization_details_types = vec!["files".into()]);
        for other in [files_only, crate::client::tests::client()] {
            let error = asked(payment, &other).unwrap_err();
            assert!(error.description().contains("not registered"), "{error}");
        }
        let many = format!("[{}]", vec![r#"{"type":"files"}"#; 33].join(","));
        assert_eq!(asked(&many, &client()).unwrap_err().code(), Code::InvalidAuthorizationDetails);
        let long = format!(r#"[{{"type":"files","x":"{}"}}]"#, "x".repeat(MAX_BYTES));
        assert_eq!(asked(&long, &client()).unwrap_err().code(), Code::InvalidAuthorizationDetails);
    }

    #[rstest]
    #[case::the_same(json!([{"type":"files","actions":["read","write"],"max":5}]), true)]
    #[case::in_another_order(json!([{"max":5,"actions":["write","read"],"type":"files"}]), true)]
    #[case::fewer_actions(json!([{"type":"files","actions":["read"],"max":5}]), true)]
    #[case::none_of_two(json!([]), true)]
    #[case::twice_less(json!([{"type":"files","actions":["read"],"max":5},{"type":"files","actions":["write"],"max":5}]), true)]
    #[case::another_action(json!([{"type":"files","actions":["delete"],"max":5}]), false)]
    #[case::no_action(json!([{"type":"files","actions":[],"max":5}]), false)]
    #[case::without_actions(json!([{"type":"files","max":5}]), false)]
    #[case::another_number(json!([{"type":"files","actions":["read"],"max":4}]), false)]
    #[case::one_member_more(json!([{"type":"files","actions":["read"],"max":5,"x":1}]), false)]
    #[case::another_type(json!([{"type":"payment","actions":["read"],"max":5}]), false)]
    #[case::one_beside(json!([{"type":"files","actions":["read"],"max":5},{"type":"files"}]), false)]
    fn a_grant_narrows(#[case] asked: Value, #[case] fits: bool) {
        let granted = details(&json!([
            {"type":"files","actions":["read","write"],"max":5}, {"type":"payment","amount":"1"},
        ]));
        assert_eq!(granted.covers(&details(&asked)), fits);
        let narrowed = granted.narrowed(Some(details(&asked)), &client());
        assert_eq!(
            narrowed.map_err(|error| error.code()),
            if fits { Ok(details(&asked)) } else { Err(Code::InvalidAuthorizationDetails) }
        );
    }

    #[test]
    fn what_the_client_may_not_have_any_more_is_not_issued() {
        let granted = details(&json!([{"type":"files"}, {"type":"payment","amount":"1"}]));
        assert_eq!(granted.narrowed(None, &client()), Ok(granted.clone()));
        let files_only = client_with(|spec| spec.authorization_details_types = vec!["files".into()]);
        assert_eq!(granted.narrowed(None, &files_only), Ok(details(&json!([{"type":"files"}]))));
        assert!(granted.narrowed(Some(granted.clone()), &files_only).is_err());
    }

    #[test]
    fn consent_is_remembered_by_type() {
        let both = details(&json!([{"type":"files"}, {"type":"payment","amount":"1"}, {"type":"gone"}]));
        assert_eq!(types().remembered(&both), details(&json!([{"type":"files"}])));
    }

    #[test]
    fn people_read_every_value() {
        let details = details(&json!([{
            "type": "payment", "actions": ["initiate", "cancel"], "amount": {"currency": "EUR", "value": 5},
            "to": [{"iban": "DE1"}, {"iban": "DE2"}],
        }]));
        let words = details.in_words();
        let line = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(words.first().unwrap().0, "payment");
        let mut lines = words.first().unwrap().1.clone();
        lines.sort();
        assert_eq!(
            lines,
            [
                line("actions", "initiate, cancel"),
                line("amount / currency", "EUR"),
                line("amount / value", "5"),
                line("to 1 / iban", "DE1"),
                line("to 2 / iban", "DE2"),
            ]
        );
    }
}
