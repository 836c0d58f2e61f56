//! What has to happen next for a valid authorization request (OIDC Core §3.1.2.3, §3.1.2.4).

use uuid::Uuid;
use vocab::Timestamp;
use vocab::oauth::Mfa;

use super::request::{AuthorizationRequest, Prompt};
use crate::acr::Acr;
use crate::authorization_details::AuthorizationDetails;
use crate::client::Client;
use crate::error::OAuthError;
use crate::scope::ScopeSet;

/// What the shell found out about the browser that asks.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The live session of the browser; its user is active.
    pub session: Option<SessionFacts>,
    /// What this client knows the session's user by (OIDC Core §8).
    pub subject: Option<String>,
    /// When the user signed in within this very interaction, if so: what `prompt=login` asks for.
    pub signed_in_here: bool,
    /// The user chose this session within this very interaction: what `prompt=select_account` asks for.
    pub selected_here: bool,
    /// What the session's user allowed this client before.
    pub consented: ScopeSet,
    /// And in detail, as far as that still counts.
    pub consented_details: AuthorizationDetails,
    /// The user pressed "allow" in this very interaction: what `prompt=consent` asks for.
    pub consented_here: bool,
    pub id_token_hint: IdTokenHint,
    /// Which classes of authentication the tenant's users can reach.
    pub mfa: Mfa,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IdTokenHint {
    #[default]
    Absent,
    /// Not an ID token that this issuer gave this client.
    Invalid,
    /// Perhaps one, by a key that was rotated away: nobody can tell whom it names.
    KeyGone,
    /// It names this subject.
    Of(String),
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    NeedLogin,
    /// The user, who is signed in, must show a second factor.
    NeedFactor,
    /// The user must say which account it is to be.
    NeedSelection,
    /// The user must be asked for these scopes.
    NeedConsent(ScopeSet),
    /// The client gets what it asked for.
    Granted(SessionFacts),
    /// Back to the client.
    Error(OAuthError),
}

/// Decides the next step. With `prompt=none`, a step that would show a page becomes an error.
pub fn decide(now: Timestamp, request: &AuthorizationRequest, client: &Client, facts: &Facts) -> Decision {
    let silent = request.prompt.contains(&Prompt::None);
    if facts.id_token_hint == IdTokenHint::Invalid {
        let told = "The id_token_hint is not an ID token that this issuer gave this client.";
        return Decision::Error(OAuthError::invalid_request(told));
    }
    let sign_in = || {
        if silent { Decision::Error(OAuthError::login_required("The user must sign in.")) } else { Decision::NeedLogin }
    };
    let Some(session) = facts.session.as_ref() else {
        return sign_in();
    };
    if !is_wanted_user(request, facts) {
        // Somebody else has just signed in: asking again would go round in circles (OIDC Core §3.1.2.1, §5.5.1).
        return if facts.signed_in_here {
            Decision::Error(OAuthError::login_required("Another user signed in than the client means."))
        } else {
            sign_in()
        };
    }
    if !facts.signed_in_here && (request.prompt.contains(&Prompt::Login) || is_too_old(now, request, session)) {
        return sign_in();
    }
    match lacks_acr(request, session, facts) {
        Some(Decision::NeedFactor) if silent => {
            return Decision::Error(OAuthError::login_required("The user must show a second factor."));
        }
        Some(step) => return step,
        None => {}
    }
    // Whoever has just typed a name has chosen.
    if request.prompt.contains(&Prompt::SelectAccount) && !facts.selected_here && !facts.signed_in_here {
        return Decision::NeedSelection;
    }
    if needs_consent(request, client, facts) {
        return if silent {
            Decision::Error(OAuthError::consent_required("The user must consent."))
        } else {
            Decision::NeedConsent(request.scope_to_allow())
        };
    }
    Decision::Granted(session.clone())
}

/// Whether the session's user is whom the client means, by a hint (OIDC Core §3.1.2.1) or by a claim (§5.5.1).
fn is_wanted_user(request: &AuthorizationRequest, facts: &Facts) -> bool {
    let subject = facts.subject.as_deref();
    let by_hint = match &facts.id_token_hint {
        IdTokenHint::Of(hinted) => subject == Some(hinted.as_str()),
        IdTokenHint::KeyGone => facts.signed_in_here,
        IdTokenHint::Absent | IdTokenHint::Invalid => true,
    };
    let claimed = request.claims.subjects();
    by_hint && (claimed.is_empty() || subject.is_some_and(|subject| claimed.contains(&subject)))
}

fn is_too_old(now: Timestamp, request: &AuthorizationRequest, session: &SessionFacts) -> bool {
    request.max_age_secs.is_some_and(|max_age| session.auth_time.plus_secs(i64::from(max_age)) <= now)
}

/// RFC 9470 §5: a class that was asked for and can be reached is needed, however it was asked for. One that cannot is a
/// failed authentication if it is essential (OIDC Core §5.5.1.1), else it was a wish.
fn lacks_acr(request: &AuthorizationRequest, session: &SessionFacts, facts: &Facts) -> Option<Decision> {
    let (values, essential) = request.acr_wanted();
    if Acr::of(&session.amr).satisfies(&values) {
        return None;
    }
    // Every session is of the weaker class: what it can lack and reach is the second factor.
    if Acr::reachable(facts.mfa).iter().any(|class| class.satisfies(&values)) {
        return Some(Decision::NeedFactor);
    }
    let told = "No sign-in here is of the authentication context class that was asked for.";
    essential.then(|| Decision::Error(OAuthError::unmet_authentication_requirements(told)))
}

fn needs_consent(request: &AuthorizationRequest, client: &Client, facts: &Facts) -> bool {
    if facts.consented_here {
        return false;
    }
    let allowed = request.scope_to_allow().is_subset(&facts.consented)
        && facts.consented_details.covers(&request.authorization_details);
    // Who says to be a client that is not known for sure is treated as if nothing had been allowed before (RFC 8252 §8.6).
    let counts = allowed && client.is_assured_at(&request.redirect_uri);
    request.prompt.contains(&Prompt::Consent) || (client.spec.require_consent && !counts)
}

#[cfg(test)]
mod tests {
    use super::super::{Channel, Site, validate};
    use super::*;
    use crate::authorization_details::DetailTypes;
    use crate::authorization_details::tests::details;
    use crate::client::AuthMethod;
    use crate::client::tests::{client, client_with};
    use crate::error::Code;
    use crate::form::Form;
    use rstest::rstest;
    use vocab::oauth::OAuthSettings;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);
    const ALICE: Uuid = Uuid::from_u128(1);

    fn request(more: &str) -> AuthorizationRequest {
        let query = format!("response_type=code&client_id=web&redirect_uri=https://app.example/cb&scope=openid{more}");
        let client = client();
        let form = Form::parse(query.as_bytes()).unwrap();
        let site = Site {
            issuer: "https://id.example",
            settings: &OAuthSettings::default(),
            scope_claims: &|_| None,
            details_types: &DetailTypes::default(),
        };
        validate(&form, site, Channel::Front, |_| Some(&client)).unwrap()
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

    fn session_of_two(age_secs: i64) -> Option<SessionFacts> {
        let amr = ["pwd", "otp", "mfa"].map(str::to_owned).to_vec();
        session(age_secs).map(|session| SessionFacts { amr, ..session })
    }

    /// Where nobody has a second factor, its class is one that nobody knows.
    #[rstest]
    #[case::essential(
        r#"&claims={"id_token":{"acr":{"essential":true,"value":"urn:hellojohn:acr:2fa"}}}"#,
        "unmet_authentication_requirements"
    )]
    #[case::wished("&acr_values=urn:hellojohn:acr:2fa", "code")]
    fn without_second_factors(#[case] more: &str, #[case] expected: &str) {
        let facts = Facts { session: session(60), mfa: Mfa::Off, ..Facts::default() };
        assert_eq!(step(more, false, &facts), expected);
    }

    fn step(more: &str, require_consent: bool, facts: &Facts) -> &'static str {
        name(&decide(NOW, &request(more), &client_with(|spec| spec.require_consent = require_consent), facts))
    }

    fn name(decision: &Decision) -> &'static str {
        match decision {
            Decision::NeedLogin => "login",
            Decision::NeedFactor => "factor",
            Decision::NeedConsent(_) => "consent",
            Decision::NeedSelection => "select",
            Decision::Granted(_) => "code",
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
    #[case::select_account("&prompt=select_account", session(60), false, "select")]
    #[case::select_account_of_none("&prompt=select_account", None, false, "login")]
    #[case::login_selects("&prompt=select_account+login", session(60), true, "code")]
    #[case::acr_met(
        r#"&claims={"id_token":{"acr":{"essential":true,"value":"urn:hellojohn:acr:1fa"}}}"#,
        session(60),
        false,
        "code"
    )]
    #[case::acr_unmet(
        r#"&claims={"id_token":{"acr":{"essential":true,"values":["urn:hellojohn:acr:2fa"]}}}"#,
        session(60),
        false,
        "factor"
    )]
    #[case::acr_unknown(
        r#"&claims={"id_token":{"acr":{"essential":true,"values":["gold"]}}}"#,
        session(60),
        false,
        "unmet_authentication_requirements"
    )]
    #[case::acr_wished(
        r#"&claims={"id_token":{"acr":{"values":["urn:hellojohn:acr:2fa"]}}}"#,
        session(60),
        false,
        "factor"
    )]
    #[case::acr_values("&acr_values=urn:hellojohn:acr:2fa", session(60), false, "factor")]
    #[case::acr_values_after_login("&acr_values=urn:hellojohn:acr:2fa&prompt=login", session(0), true, "factor")]
    #[case::acr_values_silently("&acr_values=urn:hellojohn:acr:2fa&prompt=none", session(60), false, "login_required")]
    #[case::acr_values_met("&acr_values=urn:hellojohn:acr:2fa", session_of_two(60), false, "code")]
    #[case::acr_values_either("&acr_values=urn:hellojohn:acr:2fa+urn:hellojohn:acr:1fa", session(60), false, "code")]
    #[case::acr_values_unknown("&acr_values=gold", session(60), false, "code")]
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

    /// RFC 8252 §8.6. Where the operator vouches for a client, nobody is asked about it at all.
    #[rstest]
    #[case::of_its_own_site("https://app.example/cb", AuthMethod::None, true, "code")]
    #[case::on_loopback("http://127.0.0.1:7/cb", AuthMethod::None, true, "consent")]
    #[case::proves_itself("http://127.0.0.1:7/cb", AuthMethod::ClientSecretBasic, true, "code")]
    #[case::vouched_for("http://127.0.0.1:7/cb", AuthMethod::None, false, "code")]
    fn what_was_allowed_before_counts_for_who_is_known(
        #[case] redirect_uri: &str,
        #[case] method: AuthMethod,
        #[case] require_consent: bool,
        #[case] expected: &str,
    ) {
        let client = client_with(|spec| {
            spec.token_endpoint_auth_method = method;
            spec.require_consent = require_consent;
        });
        let consented = ScopeSet::parse("openid").unwrap();
        let facts = Facts { session: session(1), consented, ..Facts::default() };
        let silent = if expected == "consent" { Code::ConsentRequired.as_str() } else { expected };
        for (more, expected) in [("", expected), ("&prompt=none", silent)] {
            let request = AuthorizationRequest { redirect_uri: redirect_uri.to_owned(), ..request(more) };
            assert_eq!(name(&decide(NOW, &request, &client, &facts)), expected, "{more}");
            let just_now = Facts { consented_here: true, ..facts.clone() };
            assert_eq!(name(&decide(NOW, &request, &client, &just_now)), "code", "{more}");
        }
    }

    #[test]
    fn consent_covers_the_details() {
        let client = client_with(|spec| spec.require_consent = true);
        let mut asked = request("");
        asked.authorization_details = details(&serde_json::json!([{"type": "files", "actions": ["read"]}]));
        let consents = |allowed: serde_json::Value| {
            let consented = ScopeSet::parse("openid").unwrap();
            let consented_details = details(&allowed);
            let facts = Facts { session: session(1), consented, consented_details, ..Facts::default() };
            matches!(decide(NOW, &asked, &client, &facts), Decision::NeedConsent(_))
        };
        assert!(consents(serde_json::json!([])));
        assert!(consents(serde_json::json!([{"type": "files", "actions": ["write"]}])));
        assert!(!consents(serde_json::json!([{"type": "files", "actions": ["read", "write"]}])));
    }

    #[test]
    fn an_account_is_chosen_once() {
        let chosen = Facts { session: session(60), selected_here: true, ..Facts::default() };
        assert_eq!(step("&prompt=select_account", false, &chosen), "code");
        assert_eq!(step("&prompt=select_account+login", false, &chosen), "login");
    }

    #[rstest]
    #[case("&prompt=none", "alice", false, "code")]
    #[case("&prompt=none", "bob", false, Code::LoginRequired.as_str())]
    #[case("", "bob", false, "login")]
    #[case("", "bob", true, Code::LoginRequired.as_str())]
    fn the_user_that_is_meant(
        #[case] more: &str,
        #[case] meant: &str,
        #[case] signed_in_here: bool,
        #[case] expected: &str,
    ) {
        let facts = Facts { session: session(1), subject: Some("alice".into()), signed_in_here, ..Facts::default() };
        let hinted = Facts { id_token_hint: IdTokenHint::Of(meant.into()), ..facts.clone() };
        assert_eq!(step(more, false, &hinted), expected);
        for member in ["id_token", "userinfo"] {
            let claims = format!(r#"{more}&claims={{"{member}":{{"sub":{{"value":"{meant}"}}}}}}"#);
            assert_eq!(step(&claims, false, &facts), expected, "{claims}");
        }
    }

    #[rstest]
    #[case("&prompt=none")]
    #[case("")]
    fn a_bad_hint_is_an_error(#[case] more: &str) {
        let facts = Facts { session: session(1), id_token_hint: IdTokenHint::Invalid, ..Facts::default() };
        assert_eq!(step(more, false, &facts), Code::InvalidRequest.as_str());
    }

    /// "Nobody can tell" is no yes; whoever signs in now is taken.
    #[rstest]
    #[case("&prompt=none", false, Code::LoginRequired.as_str())]
    #[case("", false, "login")]
    #[case("", true, "code")]
    fn a_hint_whose_key_is_gone_makes_the_user_sign_in(
        #[case] more: &str,
        #[case] signed_in_here: bool,
        #[case] expected: &str,
    ) {
        let facts =
            Facts { session: session(1), id_token_hint: IdTokenHint::KeyGone, signed_in_here, ..Facts::default() };
        assert_eq!(step(more, false, &facts), expected);
    }

    #[test]
    fn consent_covers_the_claims_that_are_asked_for_one_by_one() {
        let claims = r#"&claims={"userinfo":{"email":null}}"#;
        let facts = Facts { session: session(1), consented: ScopeSet::parse("openid").unwrap(), ..Facts::default() };
        assert_eq!(step(claims, true, &facts), "consent");
        let facts = Facts { consented: ScopeSet::parse("openid email").unwrap(), ..facts };
        assert_eq!(step(claims, true, &facts), "code");
    }
}
