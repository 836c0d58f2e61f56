//! What has to happen next for a valid authorization request (OIDC Core §3.1.2.3, §3.1.2.4).

use uuid::Uuid;
use vocab::Timestamp;

use super::request::{AuthorizationRequest, Prompt};
use crate::client::Client;
use crate::error::OAuthError;
use crate::scope::ScopeSet;

/// What the shell found out about the browser that asks.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The live session of the browser; its user is active.
    pub session: Option<SessionFacts>,
    /// When the user signed in within this very interaction, if so: what `prompt=login` asks for.
    pub signed_in_here: bool,
    /// What the session's user allowed this client before.
    pub consented: ScopeSet,
    /// The user pressed "allow" in this very interaction: what `prompt=consent` asks for.
    pub consented_here: bool,
    pub id_token_hint: IdTokenHint,
}

/// A session, as far as authorization cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    pub user_id: Uuid,
    pub sid: Uuid,
    pub auth_time: Timestamp,
    /// How the user signed in (RFC 8176).
    pub amr: Vec<String>,
}

/// What came of verifying `id_token_hint` against the tenant's keys. An expired one is good (OIDC Core §3.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdTokenHint {
    #[default]
    Absent,
    /// Not one of this issuer's ID tokens.
    Invalid,
    /// It names this user.
    Of(Uuid),
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    NeedLogin,
    /// The user must be asked for these scopes.
    NeedConsent(ScopeSet),
    IssueCode(SessionFacts),
    /// Back to the client.
    Error(OAuthError),
}

/// Decides the next step. With `prompt=none`, a step that would show a page becomes an error.
pub fn decide(now: Timestamp, request: &AuthorizationRequest, client: &Client, facts: &Facts) -> Decision {
    let silent = request.prompt.contains(&Prompt::None);
    if facts.id_token_hint == IdTokenHint::Invalid {
        return Decision::Error(OAuthError::invalid_request("The id_token_hint is not a token of this issuer."));
    }
    let Some(session) = facts.session.as_ref().filter(|session| login_suffices(now, request, session, facts)) else {
        return if silent {
            Decision::Error(OAuthError::login_required("The user must sign in."))
        } else {
            Decision::NeedLogin
        };
    };
    if needs_consent(request, client, facts) {
        return if silent {
            Decision::Error(OAuthError::consent_required("The user must consent."))
        } else {
            Decision::NeedConsent(request.scope.clone())
        };
    }
    Decision::IssueCode(session.clone())
}

fn login_suffices(now: Timestamp, request: &AuthorizationRequest, session: &SessionFacts, facts: &Facts) -> bool {
    // The client means another user than the one who is signed in.
    let right_user = match facts.id_token_hint {
        IdTokenHint::Of(user_id) => user_id == session.user_id,
        IdTokenHint::Absent | IdTokenHint::Invalid => true,
    };
    // Choosing an account is signing in, as long as a browser has one session.
    let asked_again = request.prompt.contains(&Prompt::Login) || request.prompt.contains(&Prompt::SelectAccount);
    let too_old = request.max_age_secs.is_some_and(|max_age| session.auth_time.plus_secs(i64::from(max_age)) <= now);
    right_user && (facts.signed_in_here || !(asked_again || too_old))
}

fn needs_consent(request: &AuthorizationRequest, client: &Client, facts: &Facts) -> bool {
    if facts.consented_here {
        return false;
    }
    request.prompt.contains(&Prompt::Consent)
        || (client.spec.require_consent && !request.scope.is_subset(&facts.consented))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::{client, client_with};
    use crate::error::Code;
    use crate::form::Form;
    use rstest::rstest;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);
    const ALICE: Uuid = Uuid::from_u128(1);
    const BOB: Uuid = Uuid::from_u128(2);

    fn request(more: &str) -> AuthorizationRequest {
        let query = format!("response_type=code&client_id=web&redirect_uri=https://app.example/cb&scope=openid{more}");
        let client = client();
        let form = Form::parse(query.as_bytes()).unwrap();
        super::super::validate(&form, "https://id.example", |_| Some(&client)).unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "the rows below have somebody or nobody")]
    fn session(age_secs: i64) -> Option<SessionFacts> {
        Some(SessionFacts {
            user_id: ALICE,
            sid: Uuid::from_u128(9),
            auth_time: NOW.plus_secs(-age_secs),
            amr: vec!["pwd".into()],
        })
    }

    fn step(more: &str, require_consent: bool, facts: &Facts) -> &'static str {
        match decide(NOW, &request(more), &client_with(|spec| spec.require_consent = require_consent), facts) {
            Decision::NeedLogin => "login",
            Decision::NeedConsent(_) => "consent",
            Decision::IssueCode(_) => "code",
            Decision::Error(error) => error.code().as_str(),
        }
    }

    #[rstest]
    #[case::nobody("", None, false, "login")]
    #[case::silent_nobody("&prompt=none", None, false, "login_required")]
    #[case::signed_in("", session(60), false, "code")]
    #[case::silent("&prompt=none", session(60), false, "code")]
    #[case::login_again("&prompt=login", session(60), false, "login")]
    #[case::logged_in_again("&prompt=login", session(0), true, "code")]
    #[case::select_account("&prompt=select_account", session(60), false, "login")]
    #[case::young_enough("&max_age=61", session(60), false, "code")]
    #[case::too_old("&max_age=60", session(60), false, "login")]
    #[case::too_old_silently("&max_age=10&prompt=none", session(60), false, "login_required")]
    #[case::max_age_zero("&max_age=0", session(0), false, "login")]
    #[case::max_age_zero_after_login("&max_age=0", session(3), true, "code")]
    fn logins(
        #[case] more: &str,
        #[case] session: Option<SessionFacts>,
        #[case] signed_in_here: bool,
        #[case] expected: &str,
    ) {
        assert_eq!(step(more, false, &Facts { session, signed_in_here, ..Facts::default() }), expected);
    }

    #[rstest]
    #[case::first_time("", true, "", false, "consent")]
    #[case::silent("&prompt=none", true, "", false, "consent_required")]
    #[case::before("", true, "openid", false, "code")]
    #[case::for_less("", true, "email", false, "consent")]
    #[case::asked_again("&prompt=consent", true, "openid", false, "consent")]
    #[case::asked_of_a_trusted_client("&prompt=consent", false, "", false, "consent")]
    #[case::just_now("&prompt=consent", true, "openid", true, "code")]
    #[case::trusted("", false, "", false, "code")]
    fn consents(
        #[case] more: &str,
        #[case] require_consent: bool,
        #[case] consented: &str,
        #[case] consented_here: bool,
        #[case] expected: &str,
    ) {
        let consented = ScopeSet::parse(consented).unwrap();
        let facts = Facts { session: session(1), consented, consented_here, ..Facts::default() };
        assert_eq!(step(more, require_consent, &facts), expected);
    }

    #[rstest]
    #[case("&prompt=none", IdTokenHint::Of(ALICE), "code")]
    #[case("&prompt=none", IdTokenHint::Of(BOB), Code::LoginRequired.as_str())]
    #[case("", IdTokenHint::Of(BOB), "login")]
    #[case("&prompt=none", IdTokenHint::Invalid, Code::InvalidRequest.as_str())]
    #[case("", IdTokenHint::Invalid, Code::InvalidRequest.as_str())]
    fn hints(#[case] more: &str, #[case] id_token_hint: IdTokenHint, #[case] expected: &str) {
        let facts = Facts { session: session(1), id_token_hint, ..Facts::default() };
        assert_eq!(step(more, false, &facts), expected);
    }
}
