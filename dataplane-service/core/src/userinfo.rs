//! What a client learns about a user (OIDC Core §5.3, §5.4): the claims that its scopes release, no other.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;
use vocab::Timestamp;
use vocab::claims::ClaimSource;

use crate::claims_request::Wanted;
use crate::scope::built_in_claims;

/// A user as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: Uuid,
    pub email: String,
    pub email_verified: bool,
    /// The claims of OIDC Core §5.1 beside `sub`, `email` and `email_verified`.
    pub claims: Map<String, Value>,
    pub updated_at: Timestamp,
}

/// The user with the claims that the tenant makes of stored fields, or of nothing.
#[must_use]
pub fn with_sources(mut user: User, sources: &BTreeMap<String, ClaimSource>) -> User {
    let made = |(name, source): (&String, &ClaimSource)| {
        let value = match source {
            ClaimSource::Field(field) => user.claims.get(field)?.clone(),
            ClaimSource::Value(value) => value.clone(),
            ClaimSource::Aggregated(field) => user.claims.get(field).filter(|value| is_jwt(value))?.clone(),
        };
        Some((name.clone(), value))
    };
    // All are read before one is written, so their order means nothing.
    let made: Vec<_> = sources.iter().filter_map(made).collect();
    // What somebody else is to have said is never what is stored of the user under that name.
    for (name, _) in sources.iter().filter(|(_, source)| source.is_aggregated()) {
        user.claims.remove(name);
    }
    user.claims.extend(made);
    user
}

/// Signed or encrypted, in the compact form (RFC 7515 §7.1, RFC 7516 §7.1). Whether it is good is for the client to say.
fn is_jwt(value: &Value) -> bool {
    let is_part = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    value.as_str().is_some_and(|text| {
        let parts: Vec<&str> = text.split('.').collect();
        [3, 5].contains(&parts.len()) && parts.iter().all(|part| is_part(part)) && !text.starts_with('.')
    })
}

/// What other providers said goes where clients look for it (OIDC Core §5.6.2): each name with its source, each source
/// with the JWT, once.
#[must_use]
pub fn aggregated(mut released: Map<String, Value>, sources: &BTreeMap<String, ClaimSource>) -> Map<String, Value> {
    let (mut names, mut jwts) = (Map::new(), Map::new());
    for (name, source) in sources {
        let ClaimSource::Aggregated(field) = source else { continue };
        let Some(jwt) = released.remove(name) else { continue };
        names.insert(name.clone(), field.as_str().into());
        jwts.insert(field.clone(), json!({ "JWT": jwt }));
    }
    if !names.is_empty() {
        released.insert("_claim_names".to_owned(), Value::Object(names));
        released.insert("_claim_sources".to_owned(), Value::Object(jwts));
    }
    released
}

/// The claims of `wanted`, each that the user has with a value that will do (OIDC Core §5.5.1). No name of the
/// protocol is among them.
pub fn single_claims(user: &User, wanted: &BTreeMap<String, Wanted>) -> Map<String, Value> {
    let mut released = Map::new();
    for name in wanted.keys().filter(|name| !PROTOCOL_CLAIMS.contains(&name.as_str())) {
        release(user, name, &mut released);
    }
    released.retain(|name, value| wanted.get(name).is_some_and(|wanted| wanted.takes(value)));
    released
}

/// What tokens say by themselves, whatever is stored of a user under such a name.
const PROTOCOL_CLAIMS: [&str; 17] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "azp",
    "sid",
    "at_hash",
    "c_hash",
    "s_hash",
    "cnf",
];

/// The userinfo answer for a token with `scope`, whose grant asks for the claims of `wanted` beside. `tenant_claims`
/// names the claims of a scope that the tenant defines.
pub fn claims<'t>(
    user: &User,
    scope: &str,
    wanted: &BTreeMap<String, Wanted>,
    tenant_claims: impl Fn(&str) -> Option<&'t [String]>,
) -> Map<String, Value> {
    let mut released = Map::new();
    released.insert("sub".to_owned(), user.id.to_string().into());
    released.append(&mut single_claims(user, wanted));
    for name in scope.split(' ') {
        if let Some(built_in) = built_in_claims(name) {
            for claim in built_in {
                release(user, claim, &mut released);
            }
        } else if let Some(defined) = tenant_claims(name) {
            for claim in defined {
                release(user, claim, &mut released);
            }
        }
    }
    released
}

/// A claim without a value is left out, not null (OIDC Core §5.3.2).
fn release(user: &User, claim: &str, released: &mut Map<String, Value>) {
    let value = match claim {
        // Never from the free-form claims: it would change who the user is.
        "sub" => return,
        "email" => Some(user.email.clone().into()),
        "email_verified" => Some(user.email_verified.into()),
        "updated_at" => Some(user.updated_at.secs().into()),
        other => user.claims.get(other).filter(|value| !value.is_null()).cloned(),
    };
    if let Some(value) = value {
        released.insert(claim.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn alice() -> User {
        let stored =
            json!({"name": "Alice", "nickname": null, "badge": 12, "sub": "mallory", "email": "x", "secret": 1});
        let Value::Object(stored) = stored else { panic!("an object") };
        User {
            id: Uuid::from_u128(7),
            email: "a@b.example".into(),
            email_verified: true,
            claims: stored,
            updated_at: Timestamp::from_secs(7),
        }
    }

    #[rstest]
    #[case(json!({"name": {}, "nickname": {}, "email": {"essential": true}}), json!({"name": "Alice", "email": "a@b.example"}))]
    #[case(json!({"name": {"values": ["Bob", "Alice"]}, "badge": {"values": [13]}}), json!({"name": "Alice"}))]
    #[case(json!({"sub": {}, "acr": {}, "iss": {}}), json!({}))]
    fn single(#[case] wanted: Value, #[case] expected: Value) {
        let wanted = serde_json::from_value(wanted).unwrap();
        assert_eq!(Value::Object(single_claims(&alice(), &wanted)), expected);
    }

    #[rstest]
    #[case("openid", json!({}))]
    #[case("openid email", json!({"email": "a@b.example", "email_verified": true}))]
    #[case("openid profile", json!({"name": "Alice", "updated_at": 7}))]
    #[case("openid staff", json!({"badge": 12, "email": "a@b.example"}))]
    #[case("openid unknown", json!({}))]
    fn released(#[case] scope: &str, #[case] expected: Value) {
        let user = alice();
        let staff = ["badge".to_owned(), "sub".to_owned(), "email".to_owned()];
        let mut answer = claims(&user, scope, &BTreeMap::new(), |name| (name == "staff").then_some(&staff[..]));
        assert_eq!(answer.remove("sub"), Some(json!("00000000-0000-0000-0000-000000000007")));
        assert_eq!(Value::Object(answer), expected);
    }

    #[test]
    fn what_another_provider_says() {
        let claims = json!({"bank": "e30.e30.c2ln", "plain": "e30", "number": 3, "name": "Alice"});
        let user = User { claims: claims.as_object().unwrap().clone(), ..alice() };
        let sources = json!({
            "score": {"aggregated": "bank"}, "limit": {"aggregated": "bank"}, "unsaid": {"aggregated": "nothing"},
            "text": {"aggregated": "plain"}, "number": {"aggregated": "number"}, "org": {"value": 1},
        });
        let sources: BTreeMap<String, ClaimSource> = serde_json::from_value(sources).unwrap();
        let user = with_sources(user, &sources);
        let released = |scope: &[&str]| {
            let scope: Vec<String> = scope.iter().map(|claim| (*claim).to_owned()).collect();
            let mut all = claims_of(&user, &scope);
            all.remove("sub");
            Value::Object(aggregated(all, &sources))
        };
        let jwt = json!({"bank": {"JWT": "e30.e30.c2ln"}});
        assert_eq!(
            released(&["score", "limit", "unsaid", "text", "number", "org", "name"]),
            json!({"_claim_names": {"score": "bank", "limit": "bank"}, "_claim_sources": jwt, "org": 1, "name": "Alice"})
        );
        assert_eq!(released(&["limit"]), json!({"_claim_names": {"limit": "bank"}, "_claim_sources": jwt}));
        assert_eq!(released(&["org"]), json!({"org": 1}));
    }

    fn claims_of(user: &User, scope: &[String]) -> Map<String, Value> {
        claims(user, "openid own", &BTreeMap::new(), |name| (name == "own").then_some(scope))
    }

    #[test]
    fn a_tenants_own_claims() {
        let claims = json!({"a": 1, "b": 2}).as_object().unwrap().clone();
        let (email, id) = ("a@b.example".into(), Uuid::nil());
        let user = User { id, email, email_verified: true, claims, updated_at: Timestamp::from_secs(7) };
        let sources = json!({"a": {"field": "b"}, "b": {"field": "a"}, "c": {"value": [3]}, "d": {"field": "none"}});
        let made = with_sources(user, &serde_json::from_value(sources).unwrap());
        assert_eq!(Value::Object(made.claims), json!({"a": 2, "b": 1, "c": [3]}));
    }
}
