//! Redeeming an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.6).

use vocab::Timestamp;

use super::{Effect, Narrowing, Refusal, RevokedBecause, StoredCode, UNKNOWN, UserTokens, may_refresh};
use crate::client_auth::AuthenticatedClient;
use crate::confirmation::Confirmation;
use crate::error::OAuthError;
use crate::form::Form;
use crate::pkce;

/// The parameters of RFC 6749 §4.1.3.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub code: &'a str,
    pub redirect_uri: Option<&'a str>,
    pub code_verifier: Option<&'a str>,
    pub narrowing: Narrowing,
}

impl<'a> Request<'a> {
    pub(super) fn parse(form: &'a Form<'_>) -> Result<Self, OAuthError> {
        Ok(Self {
            code: form.get("code").ok_or(OAuthError::invalid_request("The code is missing."))?,
            redirect_uri: form.get("redirect_uri"),
            code_verifier: form.get("code_verifier"),
            narrowing: Narrowing::read(form)?,
        })
    }

    /// Decides on the code as it was found. The shell then takes the code and stores what follows in one statement, so
    /// that of two requests that both found it unused one alone succeeds.
    pub fn decide(
        self,
        now: Timestamp,
        issuer: &str,
        proof: AuthenticatedClient<'_>,
        found: Option<&StoredCode>,
    ) -> Result<UserTokens, Refusal> {
        let code = found.ok_or(Refusal::quietly(UNKNOWN))?;
        if code.is_redeemed {
            return Err(reused(code, proof));
        }
        self.check(now, issuer, proof, code).map_err(|error| Refusal { error, effect: Effect::BurnCode })
    }

    fn check(
        self,
        now: Timestamp,
        issuer: &str,
        proof: AuthenticatedClient<'_>,
        code: &StoredCode,
    ) -> Result<UserTokens, OAuthError> {
        let client = proof.client();
        let grant = &code.grant;
        if grant.client_id != client.client_id.as_str() {
            return Err(UNKNOWN);
        }
        if code.expires_at <= now || grant.is_revoked || !grant.user_is_active {
            return Err(UNKNOWN);
        }
        // Required because the authorization request had one; the same string (RFC 6749 §4.1.3).
        if self.redirect_uri != Some(code.redirect_uri.as_str()) {
            return Err(OAuthError::invalid_grant("The redirect_uri is not the one of the authorization request."));
        }
        if code.dpop_jkt.is_some_and(|key| proof.confirmation() != Some(Confirmation::Key(key))) {
            return Err(OAuthError::invalid_grant("The code is bound to a key that this request has no proof of."));
        }
        pkce::verify(code.code_challenge.as_ref(), self.code_verifier)?;
        let (resources, details) = self.narrowing.of(grant, client, issuer)?;
        let with_refresh_token = may_refresh(client, &grant.scope);
        Ok(UserTokens { scope: grant.scope.clone(), resources, details, with_refresh_token })
    }
}

/// RFC 6749 §4.1.2: deny, and revoke what was issued before. Not at the word of another client.
fn reused(code: &StoredCode, proof: AuthenticatedClient<'_>) -> Refusal {
    let effect = if code.grant.client_id == proof.client().client_id.as_str() {
        Effect::RevokeGrant(RevokedBecause::CodeReused)
    } else {
        Effect::Nothing
    };
    Refusal { error: UNKNOWN, effect }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, grant};
    use super::*;
    use crate::client::tests::{client, client_with};
    use crate::client::{AuthMethod, Client, GrantType};
    use crate::client_auth::authenticate;
    use crate::confirmation::Thumbprint;
    use crate::error::Code;
    use crate::pkce::Challenge;
    use crate::scope::ScopeSet;
    use rstest::rstest;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const GOOD: &str =
        "code=c&redirect_uri=https://app.example/cb&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn stored() -> StoredCode {
        StoredCode {
            grant: grant(),
            redirect_uri: "https://app.example/cb".into(),
            code_challenge: Some(Challenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap()),
            dpop_jkt: None,
            expires_at: NOW.plus_secs(1),
            is_redeemed: false,
            traceparent: None,
        }
    }

    fn run(client: &Client, body: &str, found: Option<&StoredCode>) -> Result<UserTokens, (Code, Effect)> {
        let mut public = client.clone();
        public.spec.token_endpoint_auth_method = AuthMethod::None;
        let hello = format!("client_id={}", client.client_id);
        let hello = Form::parse(hello.as_bytes()).unwrap();
        let proof = authenticate(NOW, None, &hello, |_| Some(&public)).unwrap();
        let form = Form::parse(body.as_bytes()).unwrap();
        let request = Request::parse(&form).unwrap();
        request
            .decide(NOW, "https://id.example", proof, found)
            .map_err(|refusal| (refusal.error.code(), refusal.effect))
    }

    #[test]
    fn a_good_code() {
        let tokens = run(&client(), GOOD, Some(&stored())).unwrap();
        assert_eq!(tokens.scope, grant().scope);
        assert_eq!(tokens.resources, ["https://api.example"]);
        assert!(tokens.with_refresh_token);
    }

    #[test]
    fn refresh_tokens_need_offline_access_and_the_registered_grant() {
        let online = client_with(|spec| spec.grant_types = vec![GrantType::AuthorizationCode]);
        assert!(!run(&online, GOOD, Some(&stored())).unwrap().with_refresh_token);
        let mut code = stored();
        code.grant.scope = ScopeSet::parse("openid").unwrap();
        assert!(!run(&client(), GOOD, Some(&code)).unwrap().with_refresh_token);
    }

    #[rstest]
    #[case::other_redirect_uri("code=c&redirect_uri=https://app.example/cb2", Code::InvalidGrant)]
    #[case::no_redirect_uri("code=c", Code::InvalidGrant)]
    #[case::no_verifier("code=c&redirect_uri=https://app.example/cb", Code::InvalidGrant)]
    #[case::wrong_verifier(
        "code=c&redirect_uri=https://app.example/cb&code_verifier=EBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        Code::InvalidGrant
    )]
    #[case::short_verifier("code=c&redirect_uri=https://app.example/cb&code_verifier=abc", Code::InvalidGrant)]
    fn a_wrong_request_burns_the_code(#[case] body: &str, #[case] code: Code) {
        assert_eq!(run(&client(), body, Some(&stored())), Err((code, Effect::BurnCode)));
    }

    #[test]
    fn a_wider_resource_is_refused() {
        let body = format!("{GOOD}&resource=https://other.example");
        assert_eq!(run(&client(), &body, Some(&stored())), Err((Code::InvalidTarget, Effect::BurnCode)));
    }

    #[test]
    fn without_resources_in_the_grant_any_registered_one_will_do() {
        let mut code = stored();
        code.grant.audience.clear();
        for (resource, good) in [("https://other.example", true), ("https://id.example", true), ("urn:x", false)] {
            assert_eq!(run(&client(), &format!("{GOOD}&resource={resource}"), Some(&code)).is_ok(), good, "{resource}");
        }
    }

    #[test]
    fn a_verifier_without_a_challenge_is_refused() {
        let code = StoredCode { code_challenge: None, ..stored() };
        assert_eq!(run(&client(), GOOD, Some(&code)), Err((Code::InvalidGrant, Effect::BurnCode)));
        let without = GOOD.replace(&format!("&code_verifier={VERIFIER}"), "");
        assert!(run(&client(), &without, Some(&code)).is_ok());
    }

    #[test]
    fn facts_that_refuse() {
        let with = |change: fn(&mut StoredCode)| {
            let mut code = stored();
            change(&mut code);
            run(&client(), GOOD, Some(&code)).unwrap_err()
        };
        let burnt = (Code::InvalidGrant, Effect::BurnCode);
        assert_eq!(with(|code| code.expires_at = NOW), burnt);
        assert_eq!(with(|code| code.grant.is_revoked = true), burnt);
        assert_eq!(with(|code| code.grant.user_is_active = false), burnt);
        assert_eq!(with(|code| code.grant.client_id = "other".into()), burnt);
        assert_eq!(run(&client(), GOOD, None), Err((Code::InvalidGrant, Effect::Nothing)));
    }

    #[test]
    fn a_second_use_revokes_the_grant_but_not_at_the_word_of_another_client() {
        let mut code = StoredCode { is_redeemed: true, ..stored() };
        let revoked = Effect::RevokeGrant(RevokedBecause::CodeReused);
        assert_eq!(run(&client(), GOOD, Some(&code)), Err((Code::InvalidGrant, revoked)));
        code.grant.client_id = "other".into();
        assert_eq!(run(&client(), GOOD, Some(&code)), Err((Code::InvalidGrant, Effect::Nothing)));
    }

    #[test]
    fn a_bound_code_is_of_use_with_its_key_only() {
        let [own, other] = [b"own", b"oth"].map(|key| Thumbprint::of(key));
        let public = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::None);
        let hello = Form::parse(b"client_id=web").unwrap();
        let form = Form::parse(GOOD.as_bytes()).unwrap();
        let code = StoredCode { dpop_jkt: Some(own), ..stored() };
        for (shown, good) in [
            (Some(Confirmation::Key(own)), true),
            (Some(Confirmation::Key(other)), false),
            (Some(Confirmation::Certificate(own)), false),
            (None, false),
        ] {
            let proof = authenticate(NOW, None, &hello, |_| Some(&public)).unwrap().bound_to(shown);
            let decided = Request::parse(&form).unwrap().decide(NOW, "https://id.example", proof, Some(&code));
            let refused = decided.map_err(|refusal| (refusal.error.code(), refusal.effect)).err();
            assert_eq!(refused, (!good).then_some((Code::InvalidGrant, Effect::BurnCode)), "{shown:?}");
        }
    }
}
