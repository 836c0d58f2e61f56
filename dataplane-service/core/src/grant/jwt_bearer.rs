//! JWT assertions as grants (RFC 7523 §2.1): an issuer that the tenant trusts says for whom a client may act.

use serde::Deserialize;
use vocab::Timestamp;
use vocab::jws::JwsAlgorithm;
use vocab::oauth::TrustedJwtIssuer;

use super::UserTokens;
use crate::authorization_details::AuthorizationDetails;
use crate::bearer::one_or_many;
use crate::client_auth::AuthenticatedClient;
use crate::client_auth::assertion::NotProven;
use crate::error::OAuthError;
use crate::form::Form;
use crate::jose::{ClientKeys, JoseError, Jws, NumericDate};
use crate::resource::is_own;
use crate::scope::{OFFLINE_ACCESS, ScopeSet};

/// Signatures that are believed: no symmetric ones, nor by RSA with less than PS256 or RS256 (RFC 8725 §3.2).
const ALGORITHMS: [JwsAlgorithm; 5] =
    [JwsAlgorithm::Es256, JwsAlgorithm::Es384, JwsAlgorithm::EdDsa, JwsAlgorithm::Ps256, JwsAlgorithm::Rs256];
/// Clocks differ.
const SKEW_SECS: i64 = 30;
/// Longer ones would have to be remembered for as long (RFC 7523 §3, on `exp`: "unreasonably far in the future").
const MAX_AHEAD_SECS: i64 = 3600;

/// RFC 7523 §3.1: whatever is wrong with an assertion.
pub const UNUSABLE: OAuthError =
    OAuthError::invalid_grant("The assertion is not one of a trusted issuer for this server, has ended or was used.");

/// The parameters of RFC 7521 §4.1.
#[derive(Debug)]
pub struct Request<'a> {
    pub assertion: &'a str,
    scope: Option<ScopeSet>,
    resources: Vec<String>,
}

/// An issuer that is trusted, its keys parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    pub spec: TrustedJwtIssuer,
    /// Those of its `jwks`; what it publishes at its `jwks_uri` is fetched when it is needed.
    pub keys: ClientKeys,
}

/// What an assertion says, after its signature was found good.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Assertion {
    pub iss: String,
    pub sub: String,
    #[serde(deserialize_with = "one_or_many")]
    aud: Vec<String>,
    exp: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(default)]
    iat: Option<NumericDate>,
    /// It counts once, so it needs a name.
    pub jti: String,
}

impl Assertion {
    /// Whom an assertion claims to be by. Nothing of it is believed yet.
    pub fn claimed_issuer<'t>(assertion: &str, trusted: &'t [TrustedIssuer]) -> Result<&'t TrustedIssuer, OAuthError> {
        #[derive(Deserialize)]
        struct Named {
            iss: String,
        }
        let jws = Jws::parse(assertion).map_err(|_| UNUSABLE)?;
        let named: Named = jws.unverified_claims().map_err(|_| UNUSABLE)?;
        trusted.iter().find(|known| known.spec.issuer == named.iss).ok_or(UNUSABLE)
    }

    /// Reads and checks an assertion (RFC 7523 §3) by the keys of the issuer that it claims.
    pub fn verify(
        assertion: &str,
        by: &TrustedIssuer,
        keys: &ClientKeys,
        issuer: &str,
        now: Timestamp,
    ) -> Result<Self, NotProven> {
        let refused = NotProven::Refused(UNUSABLE);
        let Ok(jws) = Jws::parse(assertion) else { return Err(refused) };
        let claims: Self = keys.verify(&jws, &ALGORITHMS).map_err(|error| match error {
            JoseError::UnknownKey => NotProven::UnknownKey,
            _ => NotProven::Refused(UNUSABLE),
        })?;
        if claims.iss == by.spec.issuer && claims.holds(issuer, now) { Ok(claims) } else { Err(refused) }
    }

    fn holds(&self, issuer: &str, now: Timestamp) -> bool {
        // §3: this server, by its issuer or its token endpoint.
        let for_us =
            |audience: &String| audience.strip_prefix(issuer).is_some_and(|rest| ["", "/oauth2/token"].contains(&rest));
        let (now, exp) = (now.secs(), self.exp.secs());
        let begun = [self.nbf, self.iat].into_iter().flatten().all(|at| at.secs() <= now + SKEW_SECS);
        self.aud.iter().any(for_us)
            && now < exp + SKEW_SECS
            && exp <= now + MAX_AHEAD_SECS
            && begun
            && !self.jti.is_empty()
    }

    /// Until when it must be remembered.
    pub fn ends(&self) -> Timestamp {
        Timestamp::from_secs(self.exp.secs() + SKEW_SECS)
    }
}

impl<'a> Request<'a> {
    pub(super) fn parse(form: &'a Form<'_>) -> Result<Self, OAuthError> {
        AuthorizationDetails::refuse(form)?;
        Ok(Self {
            assertion: form.get("assertion").ok_or(OAuthError::invalid_request("The assertion is missing."))?,
            scope: form.get("scope").map(ScopeSet::parse).transpose()?,
            resources: form.resources().into_iter().map(str::to_owned).collect(),
        })
    }

    /// What the client gets: no more than it may ask for, and no more than the issuer is trusted with. There is no
    /// refresh token: the client gets another assertion (RFC 7521 §4.1).
    pub fn decide(
        self,
        proof: AuthenticatedClient<'_>,
        by: &TrustedIssuer,
        issuer: &str,
    ) -> Result<UserTokens, OAuthError> {
        let client = proof.client();
        let trusted = by.spec.scopes.iter().filter(|name| client.may_ask_for(name) && name.as_str() != OFFLINE_ACCESS);
        let most: ScopeSet = trusted.cloned().collect();
        let scope = match self.scope {
            None => most,
            Some(asked) if asked.is_subset(&most) => asked,
            Some(_) => return Err(OAuthError::invalid_scope("The scope is wider than the client's or the issuer's.")),
        };
        let may_have = |resource: &String| {
            (is_own(resource, issuer) || client.spec.audiences.contains(resource))
                && (by.spec.audiences.is_empty() || by.spec.audiences.contains(resource))
        };
        // Without a word of the client: what the issuer is trusted with, if it is not everything.
        let resources = if self.resources.is_empty() { by.spec.audiences.clone() } else { self.resources };
        if !resources.iter().all(may_have) {
            return Err(OAuthError::invalid_target("The client or the issuer may not have tokens for this resource."));
        }
        let details = AuthorizationDetails::default();
        Ok(UserTokens { scope, resources, details, with_refresh_token: false })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::NOW;
    use super::*;
    use crate::client::AuthMethod;
    use crate::client::tests::client_with;
    use crate::client_auth::authenticate;
    use crate::error::Code;
    use rstest::rstest;
    use serde_json::{Value, json};

    const ISSUER: &str = "https://id.example/t/acme";

    fn claims(differs: &Value) -> Assertion {
        let mut claims = json!({
            "iss": "https://partner.example", "sub": "alice", "aud": ISSUER, "exp": NOW.secs() + 60, "jti": "1",
        });
        for (name, value) in differs.as_object().unwrap() {
            claims[name] = value.clone();
        }
        serde_json::from_value(claims).unwrap()
    }

    #[rstest]
    #[case(json!({}), true)]
    #[case(json!({"aud": ["x", "https://id.example/t/acme/oauth2/token"]}), true)]
    #[case(json!({"aud": "https://id.example/t/other"}), false)]
    #[case(json!({"aud": "https://id.example/t/acme2"}), false)]
    #[case(json!({"aud": []}), false)]
    #[case(json!({"exp": NOW.secs() - 29}), true)]
    #[case(json!({"exp": NOW.secs() - 30}), false)]
    #[case(json!({"exp": NOW.secs() + 3601}), false)]
    #[case(json!({"nbf": NOW.secs() + 31}), false)]
    #[case(json!({"iat": NOW.secs() + 31}), false)]
    #[case(json!({"nbf": NOW.secs() + 30, "iat": NOW.secs() - 9}), true)]
    #[case(json!({"jti": ""}), false)]
    fn what_holds(#[case] differs: Value, #[case] holds: bool) {
        assert_eq!(claims(&differs).holds(ISSUER, NOW), holds);
    }

    #[rstest]
    #[case("", &[], Ok(("openid orders", "")))]
    #[case("&scope=orders", &[], Ok(("orders", "")))]
    #[case("&scope=email", &[], Err(Code::InvalidScope))]
    #[case("&scope=offline_access", &[], Err(Code::InvalidScope))]
    #[case("&resource=https://api.example", &[], Ok(("openid orders", "https://api.example")))]
    #[case("&resource=urn:x", &[], Err(Code::InvalidTarget))]
    #[case("", &["https://api.example"], Ok(("openid orders", "https://api.example")))]
    #[case("&resource=https://other.example", &["https://api.example"], Err(Code::InvalidTarget))]
    fn decisions(#[case] more: &str, #[case] audiences: &[&str], #[case] expected: Result<(&str, &str), Code>) {
        let client = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::None);
        let hello = Form::parse(b"client_id=web").unwrap();
        let proof = authenticate(NOW, None, &hello, |_| Some(&client)).unwrap();
        let spec = TrustedJwtIssuer {
            scopes: ["openid", "orders", "offline_access", "staff"].map(|name| name.parse().unwrap()).to_vec(),
            audiences: audiences.iter().map(|name| (*name).to_owned()).collect(),
            ..TrustedJwtIssuer::default()
        };
        let by = TrustedIssuer { spec, keys: ClientKeys::default() };
        let body = format!("assertion=x{more}");
        let form = Form::parse(body.as_bytes()).unwrap();
        let decided = Request::parse(&form).unwrap().decide(proof, &by, ISSUER);
        let decided = decided.map(|tokens| (tokens.scope.to_string(), tokens.resources.join(" ")));
        let expected = expected.map(|(scope, resources)| (scope.to_owned(), resources.to_owned()));
        assert_eq!(decided.map_err(|error| error.code()), expected);
    }
}
