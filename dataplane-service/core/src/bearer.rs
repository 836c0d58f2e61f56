//! Access tokens as they come back: where a request may carry one (RFC 6750 §2), and what it must be good for.

use serde::{Deserialize, Deserializer};
use uuid::Uuid;
use vocab::Timestamp;
use vocab::oauth::StepUp;

use crate::acr::Acr;
use crate::confirmation::Confirmation;
use crate::error::OAuthError;
use crate::form::Form;
use crate::resource::path_for;

/// How an access token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750 §2.1.
    Bearer,
    /// With a proof beside it (RFC 9449 §7.1).
    Dpop,
}

impl Scheme {
    const ALL: [Self; 2] = [Self::Bearer, Self::Dpop];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }
}

/// Finds the token: in the `Authorization` header or in the form of the body, not in both, never in the URL
/// (RFC 6750 §2, RFC 9700 §4.3.2). `Ok(None)`: the request carries none, which is no error of its own (§3.1).
pub fn presented<'a>(
    authorization: Option<&'a [u8]>,
    body: Option<&'a Form<'_>>,
) -> Result<Option<(Scheme, &'a str)>, OAuthError> {
    let in_body = body.and_then(|form| form.get("access_token"));
    match (authorization, in_body) {
        (None, in_body) => Ok(in_body.map(|token| (Scheme::Bearer, token))),
        (Some(_), Some(_)) => Err(OAuthError::invalid_request("The access token came twice.")),
        (Some(header), None) => {
            let text = std::str::from_utf8(header).map_err(|_| MALFORMED)?;
            let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
            // The scheme's case does not matter (RFC 9110 §11.1). Another scheme is not an access token.
            let Some(scheme) = Scheme::ALL.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.as_str())) else {
                return Ok(None);
            };
            let token = token.trim_matches(' ');
            if is_token68(token) { Ok(Some((scheme, token))) } else { Err(MALFORMED) }
        }
    }
}

const MALFORMED: OAuthError = OAuthError::invalid_request("The Authorization header is malformed.");

/// `b64token` (RFC 6750 §2.1).
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

/// The claims of an access token of ours, after its signature, type, issuer and times were found good.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Claims {
    pub sub: String,
    #[serde(deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    pub client_id: String,
    #[serde(default)]
    pub scope: String,
    pub jti: Uuid,
    pub exp: i64,
    /// The grant behind the token; `None`: the token of a client on its own behalf.
    #[serde(default)]
    pub hj_grant: Option<Uuid>,
    #[serde(default)]
    pub cnf: Option<Confirmation>,
    /// When and how well the user signed in.
    #[serde(default)]
    pub auth_time: Option<i64>,
    #[serde(default)]
    pub acr: Option<Acr>,
}

pub(crate) fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

impl Claims {
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scope.split(' ').any(|name| name == scope)
    }

    /// Whether the token opens an endpoint of the issuer that asks for `scope` (RFC 6750 §3.1, RFC 9068 §4).
    pub fn permit(&self, scope: &str, issuer: &str) -> Result<(), OAuthError> {
        if !self.has_scope(scope) {
            return Err(OAuthError::insufficient_scope("The access token lacks the scope that this needs."));
        }
        // The issuer stands for all of its resources, each for itself.
        let here = |audience: &String| {
            audience.strip_prefix(issuer).is_some_and(|rest| rest.is_empty() || Some(rest) == path_for(scope))
        };
        if !self.aud.iter().any(here) {
            return Err(OAuthError::invalid_token("The access token is for another audience."));
        }
        Ok(())
    }

    /// Whether the user behind the token signed in as well, and as lately, as `needed` says (RFC 9470 §3). A token
    /// without a user has nobody who could step up: what it may is a matter of its scope.
    pub fn is_stepped_up(&self, needed: &StepUp, now: Timestamp) -> Result<(), OAuthError> {
        if self.hj_grant.is_none() {
            return Ok(());
        }
        let acr_will_do = needed.acr_values.is_empty() || self.acr.is_some_and(|acr| acr.satisfies(&needed.acr_values));
        if !acr_will_do {
            let told = "A sign-in of another authentication context class is needed.";
            return Err(OAuthError::insufficient_user_authentication(told));
        }
        let is_young = |max_age: u32| {
            self.auth_time.is_some_and(|at| now < Timestamp::from_secs(at).plus_secs(i64::from(max_age)))
        };
        if needed.max_age.is_some_and(|max_age| !is_young(max_age)) {
            return Err(OAuthError::insufficient_user_authentication("More recent authentication is needed."));
        }
        Ok(())
    }
}

/// The parameters that a challenge has beside its error, to tell the client what to ask the authorization endpoint for
/// (RFC 9470 §3). Values are written without what a quoted string must escape.
pub fn step_up_parameters(needed: &StepUp) -> String {
    let values = needed.acr_values.join(" ").replace(['"', '\\'], "");
    let acr_values = if values.is_empty() { String::new() } else { format!(", acr_values=\"{values}\"") };
    let max_age = needed.max_age.map(|max_age| format!(", max_age=\"{max_age}\"")).unwrap_or_default();
    acr_values + &max_age
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::Code;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    /// The claims of a token that the client `web` got for a user, with what a test is about.
    pub(crate) fn claims_with(differs: &Value) -> Claims {
        let mut claims = json!({
            "sub": "u", "aud": "https://api.example", "client_id": "web",
            "jti": Uuid::from_u128(9), "exp": 2_000_000_000,
        });
        for (name, value) in differs.as_object().unwrap() {
            claims[name] = value.clone();
        }
        serde_json::from_value(claims).unwrap()
    }

    #[rstest]
    #[case(None, "", Ok(None))]
    #[case(Some("Bearer a.b.c"), "", Ok(Some("a.b.c")))]
    #[case(Some("bearer a.b.c"), "", Ok(Some("a.b.c")))]
    #[case(Some("BEARER   a.b.c"), "", Ok(Some("a.b.c")))]
    #[case(None, "access_token=a.b.c", Ok(Some("a.b.c")))]
    #[case(Some("Bearer a.b.c"), "access_token=a.b.c", Err(Code::InvalidRequest))]
    #[case(Some("Bearer"), "", Err(Code::InvalidRequest))]
    #[case(Some("Bearer "), "", Err(Code::InvalidRequest))]
    #[case(Some("Bearer a b"), "", Err(Code::InvalidRequest))]
    #[case(Some("Bearer a,b"), "", Err(Code::InvalidRequest))]
    #[case(Some("Basic YTpi"), "", Ok(None))]
    fn where_tokens_stand(
        #[case] header: Option<&str>,
        #[case] body: &str,
        #[case] expected: Result<Option<&str>, Code>,
    ) {
        let form = Form::parse(body.as_bytes()).unwrap();
        let found = presented(header.map(str::as_bytes), Some(&form));
        assert_eq!(found.map(|found| found.map(|(_, token)| token)).map_err(|error| error.code()), expected);
    }

    #[rstest]
    #[case("Bearer a", Scheme::Bearer)]
    #[case("DPoP a", Scheme::Dpop)]
    #[case("dpop a", Scheme::Dpop)]
    fn schemes(#[case] header: &str, #[case] scheme: Scheme) {
        assert_eq!(presented(Some(header.as_bytes()), None), Ok(Some((scheme, "a"))));
    }

    #[rstest]
    #[case(json!({"aud": "i", "scope": "openid email"}), Ok(()))]
    #[case(json!({"aud": ["a", "i"], "scope": "openid"}), Ok(()))]
    #[case(json!({"aud": "i/oauth2/userinfo", "scope": "openid"}), Ok(()))]
    #[case(json!({"aud": "i/api/v1/users", "scope": "openid"}), Err(Code::InvalidToken))]
    #[case(json!({"aud": "a", "scope": "openid"}), Err(Code::InvalidToken))]
    #[case(json!({"aud": "i", "scope": "openidx"}), Err(Code::InsufficientScope))]
    #[case(json!({"aud": "i"}), Err(Code::InsufficientScope))]
    fn what_tokens_open(#[case] differs: Value, #[case] expected: Result<(), Code>) {
        let claims = claims_with(&differs);
        assert_eq!(claims.permit("openid", "i").map_err(|error| error.code()), expected);
    }

    #[rstest]
    #[case::young(r#","hj_grant":"00000000-0000-0000-0000-000000000001","auth_time":941"#, &[], Some(60), true)]
    #[case::old(r#","hj_grant":"00000000-0000-0000-0000-000000000001","auth_time":940"#, &[], Some(60), false)]
    #[case::unknown(r#","hj_grant":"00000000-0000-0000-0000-000000000001""#, &[], Some(60), false)]
    #[case::strong(
        r#","hj_grant":"00000000-0000-0000-0000-000000000001","acr":"urn:hellojohn:acr:2fa""#,
        &["urn:hellojohn:acr:2fa"], None, true
    )]
    #[case::weak(
        r#","hj_grant":"00000000-0000-0000-0000-000000000001","acr":"urn:hellojohn:acr:1fa""#,
        &["urn:hellojohn:acr:2fa"], None, false
    )]
    #[case::classless(r#","hj_grant":"00000000-0000-0000-0000-000000000001","acr":"x""#, &["x"], None, false)]
    #[case::nobody("", &["urn:hellojohn:acr:2fa"], Some(60), true)]
    fn step_up(#[case] more: &str, #[case] acr: &[&str], #[case] max_age: Option<u32>, #[case] good: bool) {
        let claims: Claims = serde_json::from_str(&format!(
            r#"{{"sub":"u","aud":"i","client_id":"c","exp":9,"jti":"{}"{more}}}"#,
            Uuid::nil()
        ))
        .unwrap();
        let needed = StepUp { acr_values: acr.iter().map(|value| (*value).to_owned()).collect(), max_age };
        let refused = claims.is_stepped_up(&needed, Timestamp::from_secs(1000)).map_err(|error| error.code());
        assert_eq!(refused, if good { Ok(()) } else { Err(Code::InsufficientUserAuthentication) });
    }

    #[test]
    fn what_a_challenge_asks_for() {
        let needed = StepUp { acr_values: vec!["a".into(), "b\"".into()], max_age: Some(5) };
        assert_eq!(step_up_parameters(&needed), ", acr_values=\"a b\", max_age=\"5\"");
        assert_eq!(step_up_parameters(&StepUp::default()), "");
    }

    proptest! {
        #[test]
        fn never_panics(header in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = presented(Some(&header), None);
        }
    }
}
