//! Refreshing (RFC 6749 §6) with rotation (RFC 9700 §4.14.2): every use replaces the token, a second use betrays a copy.

use vocab::Timestamp;

use super::{Effect, Narrowing, Refusal, RevokedBecause, StoredRefreshToken, UNKNOWN, UserTokens};
use crate::client_auth::AuthenticatedClient;
use crate::error::OAuthError;
use crate::form::Form;
use crate::scope::ScopeSet;

/// The parameters of RFC 6749 §6.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub refresh_token: &'a str,
    /// Left out: all of the grant.
    pub scope: Option<ScopeSet>,
    pub narrowing: Narrowing,
}

impl<'a> Request<'a> {
    pub(super) fn parse(form: &'a Form<'_>) -> Result<Self, OAuthError> {
        Ok(Self {
            refresh_token: form
                .get("refresh_token")
                .ok_or(OAuthError::invalid_request("The refresh_token is missing."))?,
            scope: form.get("scope").map(ScopeSet::parse).transpose()?,
            narrowing: Narrowing::read(form)?,
        })
    }

    /// Decides on the token as it was found; the shell rotates it in one statement. A refusal that is the request's
    /// own fault (a scope too wide) leaves the token as it is.
    ///
    /// One that was replaced less than the grace ago may come from a client whose answer was lost: it gets the same
    /// successor again, as long as that was not used.
    pub fn decide(
        self,
        now: Timestamp,
        issuer: &str,
        proof: AuthenticatedClient<'_>,
        rotation: Rotation,
        found: Option<&StoredRefreshToken>,
    ) -> Result<Decision, Refusal> {
        let token = found.ok_or(Refusal::quietly(UNKNOWN))?;
        let grant = &token.grant;
        // Bound to the client it was issued to (RFC 6749 §6).
        if grant.client_id != proof.client().client_id.as_str() {
            return Err(Refusal::quietly(UNKNOWN));
        }
        // Before anything else is told or done about it: who lacks the key has a copy that is worth nothing.
        if !proof.confirms(token.confirmation) {
            let told = "The refresh token is bound to a key that this request has no proof of.";
            return Err(Refusal::quietly(OAuthError::invalid_grant(told)));
        }
        let grace_secs = match rotation {
            Rotation::Replace { grace_secs } => grace_secs,
            Rotation::Keep => 0,
        };
        let successor = match (token.rotated_at, &token.successor) {
            (None, _) => None,
            (Some(at), Some(sealed)) if now < at.plus_secs(i64::from(grace_secs)) => Some(sealed.clone()),
            (Some(_), _) => return Err(REUSED),
        };
        let lives = now < token.expires_at && now < grant.expires_at;
        if !lives || grant.is_revoked || !grant.user_is_active {
            return Err(Refusal::quietly(UNKNOWN));
        }
        // What the client has lost the right to ask for since is no longer issued.
        let still_allowed: ScopeSet =
            grant.scope.iter().filter(|name| proof.client().may_ask_for(name)).cloned().collect();
        let scope = match self.scope {
            // RFC 6749 §6: a narrower scope is for this access token; the grant and the next refresh keep theirs.
            Some(asked) if asked.is_subset(&still_allowed) => asked,
            Some(_) => return Err(Refusal::quietly(OAuthError::invalid_scope("The scope is wider than the grant."))),
            None => still_allowed,
        };
        let (resources, details) = self.narrowing.of(grant, proof.client(), issuer).map_err(Refusal::quietly)?;
        let tokens = UserTokens { scope, resources, details, with_refresh_token: true };
        Ok(match successor {
            None if rotation == Rotation::Keep => Decision::Keep(tokens),
            None => Decision::Rotate(tokens),
            Some(sealed) => Decision::Repeat(tokens, sealed),
        })
    }
}

/// Whether a token that is used is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    Replace { grace_secs: u32 },
    Keep,
}

/// What happens to the refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Rotate(UserTokens),
    /// It stays, and its idle time begins anew.
    Keep(UserTokens),
    /// It was rotated a moment ago: its successor, sealed, is answered again unless it was used itself.
    Repeat(UserTokens, String),
}

/// Somebody has a copy of the token.
pub const REUSED: Refusal = Refusal { error: UNKNOWN, effect: Effect::RevokeGrant(RevokedBecause::RefreshTokenReused) };

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, grant};
    use super::*;
    use crate::client::AuthMethod;
    use crate::client::tests::client_with;
    use crate::client_auth::authenticate;
    use crate::confirmation::{Confirmation, Thumbprint};
    use crate::error::Code;
    use rstest::rstest;

    fn stored() -> StoredRefreshToken {
        StoredRefreshToken {
            grant: grant(),
            expires_at: NOW.plus_secs(1),
            confirmation: None,
            rotated_at: None,
            successor: None,
        }
    }

    fn run(body: &str, found: Option<&StoredRefreshToken>) -> Result<UserTokens, (Code, Effect)> {
        match decide(body, 0, found)? {
            Decision::Rotate(tokens) => Ok(tokens),
            other => panic!("without grace it is replaced: {other:?}"),
        }
    }

    fn decide(body: &str, grace: u32, found: Option<&StoredRefreshToken>) -> Result<Decision, (Code, Effect)> {
        let public = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::None);
        let hello = Form::parse(b"client_id=web").unwrap();
        let proof = authenticate(NOW, None, &hello, |_| Some(&public)).unwrap();
        let form = Form::parse(body.as_bytes()).unwrap();
        let request = Request::parse(&form).unwrap();
        request
            .decide(NOW, "https://id.example", proof, Rotation::Replace { grace_secs: grace }, found)
            .map_err(|refusal| (refusal.error.code(), refusal.effect))
    }

    #[rstest]
    #[case("refresh_token=r", "email offline_access openid")]
    #[case("refresh_token=r&scope=openid", "openid")]
    fn a_good_token(#[case] body: &str, #[case] scope: &str) {
        let tokens = run(body, Some(&stored())).unwrap();
        assert_eq!(tokens.scope.to_string(), scope);
        assert!(tokens.with_refresh_token);
    }

    #[rstest]
    #[case("refresh_token=r&scope=openid+orders", Code::InvalidScope)]
    #[case("refresh_token=r&resource=https://other.example", Code::InvalidTarget)]
    fn too_much_is_refused_and_the_token_lives(#[case] body: &str, #[case] code: Code) {
        assert_eq!(run(body, Some(&stored())), Err((code, Effect::Nothing)));
    }

    #[test]
    fn without_rotation_a_good_token_stays() {
        let public = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::None);
        let proof = AuthenticatedClient::proven(&public);
        let form = Form::parse(b"refresh_token=r").unwrap();
        let ask = |token: &StoredRefreshToken| {
            Request::parse(&form).unwrap().decide(NOW, "https://id.example", proof, Rotation::Keep, Some(token))
        };
        assert!(matches!(ask(&stored()), Ok(Decision::Keep(_))));
        let rotated = StoredRefreshToken { rotated_at: Some(NOW), successor: Some("x".into()), ..stored() };
        assert_eq!(ask(&rotated), Err(REUSED));
    }

    #[test]
    fn a_scope_taken_from_the_client_is_not_issued_any_more() {
        let mut token = stored();
        token.grant.scope = ScopeSet::parse("openid withdrawn").unwrap();
        assert_eq!(run("refresh_token=r", Some(&token)).unwrap().scope.to_string(), "openid");
    }

    #[test]
    fn facts_that_refuse() {
        let with = |change: fn(&mut StoredRefreshToken)| {
            let mut token = stored();
            change(&mut token);
            run("refresh_token=r", Some(&token)).unwrap_err()
        };
        let quiet = (Code::InvalidGrant, Effect::Nothing);
        assert_eq!(with(|token| token.expires_at = NOW), quiet);
        assert_eq!(with(|token| token.grant.expires_at = NOW), quiet);
        assert_eq!(with(|token| token.grant.is_revoked = true), quiet);
        assert_eq!(with(|token| token.grant.user_is_active = false), quiet);
        assert_eq!(with(|token| token.grant.client_id = "other".into()), quiet);
        assert_eq!(run("refresh_token=r", None), Err(quiet));
        let reused = Effect::RevokeGrant(RevokedBecause::RefreshTokenReused);
        assert_eq!(with(|token| token.rotated_at = Some(NOW)), (Code::InvalidGrant, reused));
    }

    #[rstest]
    #[case::a_moment_ago(0, true, true)]
    #[case::just_in_time(9, true, true)]
    #[case::by_a_clock_that_is_ahead(-1, true, true)]
    #[case::too_late(10, true, false)]
    #[case::not_kept(0, false, false)]
    fn within_its_grace_the_same_successor_is_had_again(
        #[case] secs_ago: i64,
        #[case] is_kept: bool,
        #[case] is_repeated: bool,
    ) {
        let mut token = stored();
        token.rotated_at = Some(NOW.plus_secs(-secs_ago));
        token.successor = is_kept.then(|| "sealed".to_owned());
        let decided = decide("refresh_token=r", 10, Some(&token));
        if is_repeated {
            assert!(matches!(decided, Ok(Decision::Repeat(_, sealed)) if sealed == "sealed"));
        } else {
            let reused = Effect::RevokeGrant(RevokedBecause::RefreshTokenReused);
            assert_eq!(decided, Err((Code::InvalidGrant, reused)));
        }
        // The family's end is the end, and nobody else is answered.
        token.grant.is_revoked = true;
        assert!(decide("refresh_token=r", 10, Some(&token)).is_err());
        token.grant.is_revoked = false;
        token.grant.client_id = "other".into();
        assert_eq!(decide("refresh_token=r", 10, Some(&token)), Err((Code::InvalidGrant, Effect::Nothing)));
    }

    #[test]
    fn a_bound_token_is_of_use_with_its_key_only() {
        let [own, other] = [b"own", b"oth"].map(|key| Some(Confirmation::Key(Thumbprint::of(key))));
        let public = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::None);
        let hello = Form::parse(b"client_id=web").unwrap();
        let form = Form::parse(b"refresh_token=r").unwrap();
        for (bound, shown, good) in
            [(None, None, true), (None, own, true), (own, own, true), (own, None, false), (own, other, false)]
        {
            let proof = authenticate(NOW, None, &hello, |_| Some(&public)).unwrap().bound_to(shown);
            // Even a used one: whoever has no key learns and ends nothing.
            let token = StoredRefreshToken { confirmation: bound, rotated_at: (!good).then_some(NOW), ..stored() };
            let decided = Request::parse(&form).unwrap().decide(
                NOW,
                "https://id.example",
                proof,
                Rotation::Replace { grace_secs: 0 },
                Some(&token),
            );
            let refused = decided.map_err(|refusal| (refusal.error.code(), refusal.effect)).err();
            assert_eq!(refused, (!good).then_some((Code::InvalidGrant, Effect::Nothing)), "{bound:?} {shown:?}");
        }
    }
}
