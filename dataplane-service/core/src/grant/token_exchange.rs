//! Token exchange (RFC 8693): a client that was handed a token gets one in its place, for another audience, for less,
//! or to act in its subject's name. Never for more: scope, lifetime and sender constraint only narrow.

use serde_json::{Value, json};
use uuid::Uuid;
use vocab::Timestamp;
use vocab::client::{ExchangeMode, TokenExchange};

use crate::acr::Acr;
use crate::authorization_details::AuthorizationDetails;
use crate::client::Client;
use crate::client_auth::AuthenticatedClient;
use crate::confirmation::Confirmation;
use crate::error::OAuthError;
use crate::form::Form;
use crate::scope::ScopeSet;

/// What a token is said to be (§3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    AccessToken,
    RefreshToken,
    IdToken,
    /// A JWT of this issuer: an access token or an ID token.
    Jwt,
}

impl TokenType {
    pub const ALL: [Self; 4] = [Self::AccessToken, Self::RefreshToken, Self::IdToken, Self::Jwt];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::RefreshToken => "urn:ietf:params:oauth:token-type:refresh_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }

    fn parse(text: &str) -> Result<Self, OAuthError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(OAuthError::invalid_request("The type of the token does not exist here."))
    }
}

/// A token with its type.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub token: &'a str,
    pub kind: TokenType,
}

/// The parameters of §2.1.
#[derive(Debug)]
pub struct Request<'a> {
    pub subject: Shown<'a>,
    pub actor: Option<Shown<'a>>,
    scope: Option<ScopeSet>,
    /// By `resource` and `audience`, which here name the same things.
    targets: Vec<&'a str>,
}

impl<'a> Request<'a> {
    pub(super) fn parse(form: &'a Form<'_>) -> Result<Self, OAuthError> {
        AuthorizationDetails::refuse(form)?;
        let shown = |token: &str, kind: &str| match (form.get(token), form.get(kind)) {
            (Some(token), Some(kind)) => Ok(Some(Shown { token, kind: TokenType::parse(kind)? })),
            (None, None) => Ok(None),
            // §2.1: neither without the other.
            _ => Err(OAuthError::invalid_request("A token and its type come together.")),
        };
        match form.get("requested_token_type").map(TokenType::parse).transpose()? {
            None | Some(TokenType::AccessToken | TokenType::Jwt) => {}
            Some(_) => return Err(OAuthError::invalid_request("Only access tokens are issued in exchange.")),
        }
        let mut targets = form.resources();
        targets.extend(form.all("audience"));
        Ok(Self {
            subject: shown("subject_token", "subject_token_type")?
                .ok_or(OAuthError::invalid_request("The subject_token is missing."))?,
            actor: shown("actor_token", "actor_token_type")?,
            scope: form.get("scope").map(ScopeSet::parse).transpose()?,
            targets,
        })
    }

    /// Decides on tokens that were found good.
    pub fn decide(
        self,
        proof: AuthenticatedClient<'_>,
        subject: &Party,
        actor: Option<&Party>,
    ) -> Result<Exchanged, OAuthError> {
        let client = proof.client();
        if client.is_public() {
            return Err(OAuthError::unauthorized_client("A public client cannot exchange tokens."));
        }
        let policy = (client.spec.token_exchange.as_ref())
            .ok_or(OAuthError::unauthorized_client("The client has no policy of token exchange."))?;
        check_subject(client, policy, subject)?;
        let acts = acting(client, policy, subject, actor)?;
        // The new token is as hard to misuse as the old one: whoever has a stolen bound token gets nothing for it.
        if !proof.confirms(subject.cnf) {
            return Err(OAuthError::unauthorized_client("The subject_token is bound to a key that was not proven."));
        }
        Ok(Exchanged {
            scope: narrowed_scope(self.scope, client, subject)?,
            audience: narrowed_audience(&self.targets, policy, subject)?,
            act: acts,
            ends_by: subject.expires_at,
        })
    }
}

/// Who a token stands for, and what it is good for.
#[derive(Clone, Debug, PartialEq)]
pub struct Party {
    pub sub: String,
    /// To whom it was issued.
    pub client_id: String,
    pub scope: ScopeSet,
    pub audience: Vec<String>,
    pub expires_at: Timestamp,
    /// `None`: a client on its own behalf.
    pub user: Option<UserParty>,
    pub act: Option<Value>,
    pub may_act: Option<Value>,
    pub cnf: Option<Confirmation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserParty {
    pub id: Uuid,
    pub grant: Uuid,
    pub auth_time: Timestamp,
    pub acr: Acr,
    pub sid: Option<Uuid>,
}

/// What is to be issued.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchanged {
    pub scope: ScopeSet,
    pub audience: Vec<String>,
    /// §4.1; `None`: nobody can tell it from a token of the subject itself.
    pub act: Option<Value>,
    pub ends_by: Timestamp,
}

/// §2.2.2: "unacceptable based on policy" is an `invalid_request`.
fn check_subject(client: &Client, policy: &TokenExchange, subject: &Party) -> Result<(), OAuthError> {
    let own = subject.client_id == client.client_id.as_str();
    let allowed = policy.subject_clients.iter().any(|known| known.as_str() == subject.client_id);
    if own || allowed {
        Ok(())
    } else {
        Err(OAuthError::invalid_request(
            "The client may not exchange tokens of the client that this one was issued to.",
        ))
    }
}

/// The `act` of the new token: who acts, and through whom the token came (§4.1).
fn acting(
    client: &Client,
    policy: &TokenExchange,
    subject: &Party,
    actor: Option<&Party>,
) -> Result<Option<Value>, OAuthError> {
    let may = |mode| policy.modes.contains(&mode);
    let own = client.client_id.as_str();
    if actor.is_some_and(|actor| actor.client_id != own) {
        return Err(OAuthError::invalid_request("The actor_token was issued to another client."));
    }
    let actor = actor.map_or(own, |actor| &actor.sub);
    // §4.4: the subject's word on who may act for it.
    let named = subject.may_act.as_ref().map(|party| party.get("sub").and_then(Value::as_str));
    if named.is_some_and(|named| named != Some(actor)) {
        return Err(OAuthError::unauthorized_client("The subject_token names another who may act."));
    }
    if actor == own && may(ExchangeMode::Impersonation) {
        // What is known of those who acted before is not forgotten.
        return Ok(subject.act.clone());
    }
    if !may(ExchangeMode::Delegation) {
        return Err(OAuthError::unauthorized_client("The client may not act in this way."));
    }
    Ok(Some(match &subject.act {
        None => json!({ "sub": actor }),
        Some(before) => json!({ "sub": actor, "act": before }),
    }))
}

fn narrowed_scope(asked: Option<ScopeSet>, client: &Client, subject: &Party) -> Result<ScopeSet, OAuthError> {
    let most: ScopeSet = subject.scope.iter().filter(|name| client.may_ask_for(name)).cloned().collect();
    match asked {
        None => Ok(most),
        Some(asked) if asked.is_subset(&most) => Ok(asked),
        Some(_) => Err(OAuthError::invalid_scope("The scope is wider than the subject_token's or the client's.")),
    }
}

fn narrowed_audience(asked: &[&str], policy: &TokenExchange, subject: &Party) -> Result<Vec<String>, OAuthError> {
    if asked.is_empty() {
        return Ok(policy.audiences.first().map_or_else(|| subject.audience.clone(), |first| vec![first.clone()]));
    }
    let known = |target: &str| policy.audiences.iter().chain(&subject.audience).any(|audience| audience == target);
    let mut audience: Vec<String> = Vec::new();
    for target in asked {
        if !known(target) {
            return Err(OAuthError::invalid_target("The client may not exchange a token for this audience."));
        }
        if !audience.iter().any(|seen| seen == target) {
            audience.push((*target).to_owned());
        }
    }
    Ok(audience)
}

#[cfg(test)]
mod tests {
    use super::super::tests::NOW;
    use super::*;
    use crate::client::AuthMethod;
    use crate::client::tests::client_with;
    use crate::client_auth::authenticate;
    use crate::confirmation::Thumbprint;
    use crate::error::Code;
    use rstest::rstest;

    const ACCESS: &str = "subject_token=t&subject_token_type=urn:ietf:params:oauth:token-type:access_token";

    fn party(client_id: &str, sub: &str) -> Party {
        Party {
            sub: sub.into(),
            client_id: client_id.into(),
            scope: ScopeSet::parse("openid orders staff").unwrap(),
            audience: vec!["https://api.example".into()],
            expires_at: NOW.plus_secs(60),
            user: None,
            act: None,
            may_act: None,
            cnf: None,
        }
    }

    fn policy(modes: &[ExchangeMode]) -> TokenExchange {
        TokenExchange {
            subject_clients: vec!["front".parse().unwrap()],
            audiences: vec!["https://orders.example".into()],
            modes: modes.to_vec(),
        }
    }

    fn run(
        modes: &[ExchangeMode],
        more: &str,
        subject: &Party,
        actor: Option<&Party>,
        proven: Option<Confirmation>,
    ) -> Result<Exchanged, Code> {
        let client = client_with(|spec| {
            spec.token_exchange = Some(policy(modes));
            spec.token_endpoint_auth_method = AuthMethod::ClientSecretPost;
        });
        let hello = Form::parse(b"client_id=web&client_secret=s3cret").unwrap();
        let proof = authenticate(NOW, None, &hello, |_| Some(&client)).unwrap().bound_to(proven);
        let body = format!("{ACCESS}{more}");
        let form = Form::parse(body.as_bytes()).unwrap();
        let request = Request::parse(&form).map_err(|error| error.code())?;
        request.decide(proof, subject, actor).map_err(|error| error.code())
    }

    const BOTH: [ExchangeMode; 2] = [ExchangeMode::Impersonation, ExchangeMode::Delegation];

    #[rstest]
    #[case("subject_token=t", false)]
    #[case("subject_token_type=urn:ietf:params:oauth:token-type:jwt", false)]
    #[case("subject_token=t&subject_token_type=urn:x", false)]
    #[case("subject_token=t&subject_token_type=urn:ietf:params:oauth:token-type:saml2", false)]
    #[case("subject_token=t&subject_token_type=urn:ietf:params:oauth:token-type:jwt", true)]
    #[case("subject_token=t&subject_token_type=urn:ietf:params:oauth:token-type:jwt&actor_token=a", false)]
    fn what_a_request_has(#[case] body: &str, #[case] good: bool) {
        let form = Form::parse(body.as_bytes()).unwrap();
        assert_eq!(
            Request::parse(&form).map(|_| ()).map_err(|e| e.code()),
            if good { Ok(()) } else { Err(Code::InvalidRequest) }
        );
    }

    #[rstest]
    #[case("", Ok(("orders", "https://orders.example")))]
    #[case("&scope=orders", Ok(("orders", "https://orders.example")))]
    #[case("&resource=https://api.example", Ok(("orders", "https://api.example")))]
    #[case("&audience=https://orders.example&audience=https://orders.example", Ok(("orders", "https://orders.example")))]
    #[case("&audience=https://other.example", Err(Code::InvalidTarget))]
    #[case("&resource=https://orders.example&audience=urn:unknown", Err(Code::InvalidTarget))]
    #[case::not_the_subjects("&scope=email", Err(Code::InvalidScope))]
    #[case::not_the_clients("&scope=staff", Err(Code::InvalidScope))]
    #[case("&requested_token_type=urn:ietf:params:oauth:token-type:refresh_token", Err(Code::InvalidRequest))]
    #[case("&requested_token_type=urn:ietf:params:oauth:token-type:jwt", Ok(("orders", "https://orders.example")))]
    fn it_only_narrows(#[case] more: &str, #[case] expected: Result<(&str, &str), Code>) {
        let mut subject = party("front", "alice");
        subject.scope = ScopeSet::parse("orders staff").unwrap();
        let found = run(&BOTH, more, &subject, None, None);
        let found = found.map(|token| (token.scope.to_string(), token.audience.join(" ")));
        assert_eq!(found, expected.map(|(scope, audience)| (scope.to_owned(), audience.to_owned())));
    }

    #[rstest]
    #[case::own("web", Ok(()))]
    #[case::allowed("front", Ok(()))]
    #[case::another("other", Err(Code::InvalidRequest))]
    fn whose_tokens(#[case] client_id: &str, #[case] expected: Result<(), Code>) {
        assert_eq!(run(&BOTH, "", &party(client_id, "alice"), None, None).map(|_| ()), expected);
    }

    #[test]
    fn who_acts() {
        let (alice, robot, stranger) = (party("front", "alice"), party("web", "robot"), party("front", "robot"));
        let act = |modes: &[ExchangeMode], subject: &Party, actor: Option<&Party>| {
            run(modes, "", subject, actor, None).map(|token| token.act)
        };
        let (impersonates, delegates) = (&BOTH[..1], &BOTH[1..]);
        assert_eq!(act(impersonates, &alice, None), Ok(None));
        assert_eq!(act(delegates, &alice, None), Ok(Some(json!({"sub": "web"}))));
        assert_eq!(act(&BOTH, &alice, Some(&robot)), Ok(Some(json!({"sub": "robot"}))));
        assert_eq!(act(impersonates, &alice, Some(&robot)), Err(Code::UnauthorizedClient));
        assert_eq!(act(&BOTH, &alice, Some(&stranger)), Err(Code::InvalidRequest));
        // A chain is kept.
        let passed_on = Party { act: Some(json!({"sub": "gateway"})), ..alice.clone() };
        assert_eq!(act(delegates, &passed_on, None), Ok(Some(json!({"sub": "web", "act": {"sub": "gateway"}}))));
        assert_eq!(act(impersonates, &passed_on, None), Ok(Some(json!({"sub": "gateway"}))));
        // The subject's word.
        let reserved = |sub: &str| Party { may_act: Some(json!({"sub": sub})), ..alice.clone() };
        assert_eq!(act(impersonates, &reserved("web"), None), Ok(None));
        assert_eq!(act(&BOTH, &reserved("other"), None), Err(Code::UnauthorizedClient));
        assert_eq!(act(&BOTH, &reserved("web"), Some(&robot)), Err(Code::UnauthorizedClient));
    }

    #[test]
    fn a_bound_token_needs_its_key() {
        let [key, other] = [b"own", b"oth"].map(|key| Some(Confirmation::Key(Thumbprint::of(key))));
        let bound = Party { cnf: key, ..party("front", "alice") };
        assert!(run(&BOTH, "", &bound, None, key).is_ok());
        assert_eq!(run(&BOTH, "", &bound, None, None), Err(Code::UnauthorizedClient));
        assert_eq!(run(&BOTH, "", &bound, None, other), Err(Code::UnauthorizedClient));
    }

    #[test]
    fn a_policy_is_needed() {
        let client = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::ClientSecretPost);
        let hello = Form::parse(b"client_id=web&client_secret=s3cret").unwrap();
        let proof = authenticate(NOW, None, &hello, |_| Some(&client)).unwrap();
        let form = Form::parse(ACCESS.as_bytes()).unwrap();
        let refused = Request::parse(&form).unwrap().decide(proof, &party("web", "web"), None);
        assert_eq!(refused.unwrap_err().code(), Code::UnauthorizedClient);
    }
}
