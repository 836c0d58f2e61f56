//! Signing out at a client's word (OIDC RP-Initiated Logout 1.0): what the request means, and whether the user is asked.

use form_urlencoded::byte_serialize;
use serde::Deserialize;
use uuid::Uuid;

use crate::authorize::SessionFacts;
use crate::client::Client;
use crate::error::OAuthError;
use crate::form::Form;

/// The claims of an `id_token_hint` whose signature, type and issuer are right. It may have expired (§2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HintClaims {
    pub sub: String,
    /// The client that it was issued to.
    pub aud: String,
    pub sid: Option<Uuid>,
}

/// What came of verifying `id_token_hint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    Absent,
    /// Not one of this issuer's ID tokens.
    Invalid,
    Of(HintClaims),
}

/// A request that passed every check.
#[derive(Clone, Debug)]
pub struct LogoutRequest<'c> {
    /// The client that asks, as far as it is known.
    pub client: Option<&'c Client>,
    /// Where the browser goes afterwards: registered by the client, with the `state` as it came.
    pub return_to: Option<ReturnTo>,
    hint: Option<HintClaims>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo {
    pub uri: String,
    pub state: Option<String>,
}

impl ReturnTo {
    pub fn url(&self) -> String {
        let Some(state) = &self.state else { return self.uri.clone() };
        let separator = if self.uri.contains('?') { '&' } else { '?' };
        let state: String = byte_serialize(state.as_bytes()).collect();
        format!("{}{separator}state={state}", self.uri)
    }
}

/// Longest `state` that is sent back.
const MAX_STATE_BYTES: usize = 8 * 1024;

/// Checks the parameters of §2. Nobody is signed out or sent anywhere by a request that fails here.
pub fn validate<'c>(
    form: &Form<'_>,
    hint: Hint,
    find_client: impl Fn(&str) -> Option<&'c Client>,
) -> Result<LogoutRequest<'c>, OAuthError> {
    let hint = match hint {
        Hint::Invalid => {
            return Err(OAuthError::invalid_request("The id_token_hint is not an ID token of this issuer."));
        }
        Hint::Absent => None,
        Hint::Of(claims) => Some(claims),
    };
    let client = client(form, hint.as_ref(), find_client)?;
    Ok(LogoutRequest { client, return_to: return_to(form, client)?, hint })
}

fn client<'c>(
    form: &Form<'_>,
    hint: Option<&HintClaims>,
    find_client: impl Fn(&str) -> Option<&'c Client>,
) -> Result<Option<&'c Client>, OAuthError> {
    let known = |id: &str| find_client(id).filter(|client| client.spec.enabled);
    match (form.get("client_id"), hint) {
        // "the OP MUST verify that the Client Identifier matches the one used as the audience of the ID Token".
        (Some(id), Some(hint)) if hint.aud != id => {
            Err(OAuthError::invalid_request("The id_token_hint was issued to another client."))
        }
        (Some(id), _) => known(id).map(Some).ok_or(OAuthError::invalid_request("The client_id belongs to no client.")),
        (None, Some(hint)) => Ok(known(&hint.aud)),
        (None, None) => Ok(None),
    }
}

/// §3: only to a registered address, the same string. Without a client there is nothing to compare it with, so the
/// browser stays here.
fn return_to(form: &Form<'_>, client: Option<&Client>) -> Result<Option<ReturnTo>, OAuthError> {
    let (Some(uri), Some(client)) = (form.get("post_logout_redirect_uri"), client) else { return Ok(None) };
    if !client.spec.post_logout_redirect_uris.iter().any(|registered| registered == uri) {
        return Err(OAuthError::invalid_request("The post_logout_redirect_uri is not registered for this client."));
    }
    let state = form.get("state");
    if state.is_some_and(|state| state.len() > MAX_STATE_BYTES) {
        return Err(OAuthError::invalid_request("The state is over 8 KiB."));
    }
    Ok(Some(ReturnTo { uri: uri.to_owned(), state: state.map(str::to_owned) }))
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This browser is signed out already.
    Done,
    /// Anybody can make a browser follow a link: the user is asked.
    Ask,
    /// The client holds an ID token of this very session.
    End,
}

pub fn decide(request: &LogoutRequest<'_>, session: Option<&SessionFacts>) -> Decision {
    let Some(session) = session else { return Decision::Done };
    let fits = request.hint.as_ref().is_some_and(|hint| match hint.sid {
        Some(sid) => sid == session.sid,
        None => hint.sub == session.user_id.to_string(),
    });
    if fits { Decision::End } else { Decision::Ask }
}

/// The address that a client wants to be shown in a frame, with `iss` and `sid` if it asked for them
/// (OIDC Front-Channel Logout 1.0 §2).
pub fn frame_url(client: &Client, issuer: &str, sid: Uuid) -> Option<String> {
    let uri = client.spec.frontchannel_logout_uri.as_deref()?;
    if !client.spec.frontchannel_logout_session_required {
        return Some(uri.to_owned());
    }
    let separator = if uri.contains('?') { '&' } else { '?' };
    let issuer: String = byte_serialize(issuer.as_bytes()).collect();
    Some(format!("{uri}{separator}iss={issuer}&sid={sid}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::client_with;
    use rstest::rstest;
    use vocab::Timestamp;

    const ALICE: Uuid = Uuid::from_u128(1);
    const SID: Uuid = Uuid::from_u128(2);
    const BYE: &str = "post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye";

    fn web() -> Client {
        client_with(|spec| {
            spec.post_logout_redirect_uris =
                vec!["https://app.example/bye".into(), "https://app.example/bye?from=hj".into()];
        })
    }

    fn hint(aud: &str, sid: Option<Uuid>) -> Hint {
        Hint::Of(HintClaims { sub: ALICE.to_string(), aud: aud.into(), sid })
    }

    fn run(query: &str, hint: Hint) -> Result<(bool, Option<String>), OAuthError> {
        let client = web();
        let form = Form::parse(query.as_bytes()).unwrap();
        let request = validate(&form, hint, |id| (id == "web").then_some(&client))?;
        Ok((request.client.is_some(), request.return_to.map(|to| to.url())))
    }

    #[rstest]
    #[case::nothing("", Hint::Absent, false, None)]
    #[case::only_state("state=x", Hint::Absent, false, None)]
    #[case::uri_of_nobody(BYE, Hint::Absent, false, None)]
    #[case::by_hint(BYE, hint("web", Some(SID)), true, Some("https://app.example/bye"))]
    #[case::by_client_id(&format!("{BYE}&client_id=web"), Hint::Absent, true, Some("https://app.example/bye"))]
    #[case::both(&format!("{BYE}&client_id=web"), hint("web", None), true, Some("https://app.example/bye"))]
    #[case::state(&format!("{BYE}&state=a%26b+c"), hint("web", None), true, Some("https://app.example/bye?state=a%26b+c"))]
    #[case::with_query(
        &format!("{BYE}%3Ffrom%3Dhj&state=s"),
        hint("web", None),
        true,
        Some("https://app.example/bye?from=hj&state=s")
    )]
    #[case::deleted_client("", hint("gone", None), false, None)]
    #[case::ignored("ui_locales=..%2F..&logout_hint=a", Hint::Absent, false, None)]
    fn taken(#[case] query: &str, #[case] hint: Hint, #[case] known: bool, #[case] to: Option<&str>) {
        assert_eq!(run(query, hint), Ok((known, to.map(str::to_owned))));
    }

    #[rstest]
    #[case::not_ours(BYE, Hint::Invalid)]
    #[case::another_clients(&format!("{BYE}&client_id=web"), hint("other", None))]
    #[case::unknown_client("client_id=nobody", Hint::Absent)]
    #[case::unregistered("post_logout_redirect_uri=https%3A%2F%2Fevil.example", hint("web", None))]
    #[case::added_query(&format!("{BYE}%3Fx%3D1"), hint("web", None))]
    #[case::javascript("post_logout_redirect_uri=javascript:alert(1)&client_id=web", Hint::Absent)]
    #[case::data("post_logout_redirect_uri=data:text/html,x&client_id=web", Hint::Absent)]
    fn refused(#[case] query: &str, #[case] hint: Hint) {
        assert_eq!(run(query, hint).unwrap_err().status(), 400);
    }

    #[test]
    fn long_state_is_refused() {
        assert!(run(&format!("{BYE}&client_id=web&state={}", "x".repeat(9000)), Hint::Absent).is_err());
    }

    #[test]
    fn a_disabled_client_is_none() {
        let client = client_with(|spec| spec.enabled = false);
        let form = Form::parse(b"client_id=web").unwrap();
        assert!(validate(&form, Hint::Absent, |_| Some(&client)).is_err());
        let form = Form::parse(b"").unwrap();
        assert!(validate(&form, hint("web", None), |_| Some(&client)).unwrap().client.is_none());
    }

    #[rstest]
    #[case::no_hint(Hint::Absent, Decision::Ask)]
    #[case::of_the_session(hint("web", Some(SID)), Decision::End)]
    #[case::of_an_older_session(hint("web", Some(Uuid::from_u128(9))), Decision::Ask)]
    #[case::of_the_user(hint("web", None), Decision::End)]
    #[case::of_another_user(
        Hint::Of(HintClaims { sub: "somebody".into(), aud: "web".into(), sid: None }),
        Decision::Ask
    )]
    fn asks_unless_the_hint_fits(#[case] hint: Hint, #[case] expected: Decision) {
        let client = web();
        let form = Form::parse(b"").unwrap();
        let request = validate(&form, hint, |_| Some(&client)).unwrap();
        let session = SessionFacts { user_id: ALICE, sid: SID, auth_time: Timestamp::from_secs(1), amr: vec![] };
        assert_eq!(decide(&request, Some(&session)), expected);
        assert_eq!(decide(&request, None), Decision::Done);
    }

    #[rstest]
    #[case(None, false, None)]
    #[case(Some("https://app.example/out"), false, Some("https://app.example/out"))]
    #[case(
        Some("https://app.example/out"),
        true,
        Some(
            "https://app.example/out?iss=https%3A%2F%2Fid.example%2Ft%2Facme&sid=00000000-0000-0000-0000-000000000002"
        )
    )]
    #[case(
        Some("https://app.example/out?a=b"),
        true,
        Some(
            "https://app.example/out?a=b&iss=https%3A%2F%2Fid.example%2Ft%2Facme&sid=00000000-0000-0000-0000-000000000002"
        )
    )]
    fn frames(#[case] uri: Option<&str>, #[case] required: bool, #[case] expected: Option<&str>) {
        let client = client_with(|spec| {
            spec.frontchannel_logout_uri = uri.map(str::to_owned);
            spec.frontchannel_logout_session_required = required;
        });
        assert_eq!(frame_url(&client, "https://id.example/t/acme", SID).as_deref(), expected);
    }
}
