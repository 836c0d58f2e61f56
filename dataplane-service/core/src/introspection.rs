//! Token introspection (RFC 7662): who may ask about a token, and what is answered.
//!
//! A token that is no good and one that is none of the caller's business get the same answer, which says nothing else
//! (§2.2).

use serde_json::{Map, Value};

use crate::bearer::Claims;
use crate::client::Client;
use crate::client_auth::AuthenticatedClient;
use crate::error::OAuthError;
use crate::form::Form;
use crate::grant::StoredRefreshToken;
use vocab::Timestamp;

/// The JOSE header's `typ` of a signed answer (RFC 9701 §5).
pub const SIGNED_ANSWER_TYPE: &str = "token-introspection+jwt";
/// Claims of ours that are nobody else's.
const INTERNAL: [&str; 1] = ["hj_grant"];

/// The token that is asked about. Hints say where to look first (§2.1); here the token itself tells.
pub fn token<'f>(form: &'f Form<'_>, proof: AuthenticatedClient<'_>) -> Result<&'f str, OAuthError> {
    // §2.1: "some form of authorization": a public client has shown nothing but its name.
    if proof.client().is_public() {
        return Err(OAuthError::invalid_client("A public client cannot ask."));
    }
    form.get("token").ok_or(OAuthError::invalid_request("The token is missing."))
}

/// What is known of a token.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Inactive,
    Active(Map<String, Value>),
}

impl Answer {
    /// The JSON object of §2.2.
    pub fn into_object(self) -> Map<String, Value> {
        match self {
            Self::Inactive => Map::from_iter([("active".to_owned(), Value::Bool(false))]),
            Self::Active(mut members) => {
                members.insert("active".to_owned(), Value::Bool(true));
                members
            }
        }
    }
}

/// Whether `caller` may learn about an access token: its own, or one for a resource that it serves (§4).
pub fn may_ask(caller: &Client, claims: &Claims) -> bool {
    let speaks_for =
        |audience: &String| audience == caller.client_id.as_str() || caller.spec.resource_server_for.contains(audience);
    claims.client_id == caller.client_id.as_str() || claims.aud.iter().any(speaks_for)
}

/// The answer about an access token that holds: its claims, as they stand in it or would in a JWT.
pub fn access_token(mut claims: Map<String, Value>) -> Answer {
    for name in INTERNAL {
        claims.remove(name);
    }
    // RFC 9449 §6.2; RFC 8705 binds tokens of the type Bearer, too.
    let by_dpop = claims.get("cnf").is_some_and(|cnf| cnf.get("jkt").is_some());
    claims.insert("token_type".to_owned(), if by_dpop { "DPoP" } else { "Bearer" }.into());
    Answer::Active(claims)
}

/// The answer about a refresh token, which is the business of its client alone.
///
/// `subject` is what the caller knows its user by.
pub fn refresh_token(
    caller: &Client,
    found: Option<&StoredRefreshToken>,
    subject: &str,
    issuer: &str,
    now: Timestamp,
) -> Answer {
    let Some(token) = found else { return Answer::Inactive };
    let grant = &token.grant;
    let ends = token.expires_at.min(grant.expires_at);
    let lives = now < ends && token.rotated_at.is_none() && !grant.is_revoked && grant.user_is_active;
    if !lives || grant.client_id != caller.client_id.as_str() {
        return Answer::Inactive;
    }
    let details = grant.details.non_empty().map(|details| {
        let value = serde_json::to_value(details).expect("lists of JSON objects are JSON");
        ("authorization_details".to_owned(), value)
    });
    let known = [
        ("iss".to_owned(), issuer.into()),
        ("sub".to_owned(), subject.into()),
        ("client_id".to_owned(), grant.client_id.clone().into()),
        ("scope".to_owned(), grant.scope.to_string().into()),
        ("exp".to_owned(), ends.secs().into()),
    ];
    Answer::Active(known.into_iter().chain(details).collect())
}

/// The claims of a signed answer (RFC 9701 §5): for the caller, about now, the answer inside.
pub fn signed(answer: Answer, issuer: &str, caller: &Client, now: Timestamp) -> Value {
    serde_json::json!({
        "iss": issuer,
        "aud": caller.client_id.as_str(),
        "iat": now.secs(),
        "token_introspection": answer.into_object(),
    })
}

/// Whether an `Accept` header asks for the signed answer (RFC 9701 §4).
pub fn wants_signed(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/token-introspection+jwt"));
        // RFC 9110 §12.4.2: a weight of zero is a refusal.
        let refused = |weight: &str| weight.trim_start_matches('0').trim_matches(['.', '0']).is_empty();
        is_it && !parts.filter_map(|parameter| parameter.strip_prefix("q=")).any(refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bearer::tests::claims_with;
    use crate::client::tests::{client, client_with};
    use crate::client_auth::authenticate;
    use crate::error::Code;
    use crate::grant::tests::{NOW, grant};
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::its_own(json!({}), true)]
    #[case::anothers(json!({"client_id": "other"}), false)]
    #[case::for_it(json!({"client_id": "other", "aud": ["x", "web"]}), true)]
    #[case::for_its_resource(json!({"client_id": "other", "aud": "https://orders.example"}), true)]
    #[case::for_what_it_only_asks_for(json!({"client_id": "other", "aud": "https://api.example"}), false)]
    fn who_may_ask(#[case] differs: Value, #[case] may: bool) {
        let caller = client_with(|spec| spec.resource_server_for = vec!["https://orders.example".to_owned()]);
        assert_eq!(may_ask(&caller, &claims_with(&differs)), may);
    }

    #[test]
    fn public_clients_may_not() {
        let public = client_with(|spec| spec.token_endpoint_auth_method = crate::client::AuthMethod::None);
        let form = Form::parse(b"client_id=web&token=x").unwrap();
        let proof = authenticate(NOW, None, &form, |_| Some(&public)).unwrap();
        assert_eq!(token(&form, proof).unwrap_err().code(), Code::InvalidClient);
    }

    #[test]
    fn an_inactive_answer_says_nothing_else() {
        assert_eq!(Value::Object(Answer::Inactive.into_object()), json!({"active": false}));
    }

    #[rstest]
    #[case(json!({"sub": "u", "hj_grant": "g"}), json!({"active": true, "sub": "u", "token_type": "Bearer"}))]
    #[case(json!({"cnf": {"jkt": "t"}}), json!({"active": true, "cnf": {"jkt": "t"}, "token_type": "DPoP"}))]
    fn access_tokens(#[case] claims: Value, #[case] expected: Value) {
        let answer = access_token(claims.as_object().unwrap().clone());
        assert_eq!(Value::Object(answer.into_object()), expected);
    }

    #[test]
    fn refresh_tokens() {
        let stored = StoredRefreshToken {
            grant: grant(),
            expires_at: NOW.plus_secs(1),
            confirmation: None,
            rotated_at: None,
            successor: None,
        };
        let ask = |change: fn(&mut StoredRefreshToken)| {
            let mut token = stored.clone();
            change(&mut token);
            refresh_token(&client(), Some(&token), "alice", "https://id.example", NOW).into_object()
        };
        let active = ask(|_| {});
        assert_eq!((&active["active"], &active["exp"]), (&json!(true), &json!(NOW.plus_secs(1).secs())));
        assert_eq!((&active["client_id"], &active["sub"]), (&json!("web"), &json!("alice")));
        let inactive = Answer::Inactive.into_object();
        assert_eq!(ask(|token| token.rotated_at = Some(NOW)), inactive);
        assert_eq!(ask(|token| token.expires_at = NOW), inactive);
        assert_eq!(ask(|token| token.grant.expires_at = NOW), inactive);
        assert_eq!(ask(|token| token.grant.is_revoked = true), inactive);
        assert_eq!(ask(|token| token.grant.user_is_active = false), inactive);
        assert_eq!(ask(|token| token.grant.client_id = "other".into()), inactive);
        assert_eq!(refresh_token(&client(), None, "", "https://id.example", NOW), Answer::Inactive);
    }

    #[rstest]
    #[case("application/token-introspection+jwt", true)]
    #[case("application/json, Application/Token-Introspection+JWT;q=0.5", true)]
    #[case("application/token-introspection+jwt;q=0", false)]
    #[case("application/token-introspection+jwt; q=0.000", false)]
    #[case("application/token-introspection+jwt; q=1.0", true)]
    #[case("application/json", false)]
    #[case("*/*", false)]
    #[case("", false)]
    fn who_asks_for_a_signature(#[case] accept: &str, #[case] expected: bool) {
        assert_eq!(wants_signed(accept), expected, "{accept}");
    }
}
