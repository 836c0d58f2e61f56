//! Checking an authorization request: a list of named checks, the first that fails refuses.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use vocab::ClientId;

use super::response::ReturnAddress;
use crate::client::{Client, GrantType};
use crate::confirmation::Thumbprint;
use crate::error::{Code, OAuthError};
use crate::form::Form;
use crate::pkce::Challenge;
use crate::resource::is_own;
use crate::scope::{OFFLINE_ACCESS, OPENID, ScopeSet};

/// Longest single parameter; what is accepted is stored and may come back in a URL.
const MAX_VALUE_BYTES: usize = 8 * 1024;

/// A request that passed every check. Serialized while the user is busy signing in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    pub client_id: ClientId,
    /// As the request gave it, which the token request must repeat.
    pub redirect_uri: String,
    pub response_mode: ResponseMode,
    pub scope: ScopeSet,
    pub state: Option<String>,
    pub nonce: Option<String>,
    pub code_challenge: Option<Challenge>,
    /// The key that the code will be bound to (RFC 9449 §10).
    #[serde(default)]
    pub dpop_jkt: Option<Thumbprint>,
    pub prompt: BTreeSet<Prompt>,
    pub max_age_secs: Option<u32>,
    pub login_hint: Option<String>,
    /// Unverified: the shell checks its signature and tells [`super::decide`] what came of it.
    pub id_token_hint: Option<String>,
    /// What the access token will be good for (RFC 8707); empty: the client's default.
    pub resources: Vec<String>,
}

impl AuthorizationRequest {
    pub fn return_address(&self) -> ReturnAddress {
        ReturnAddress {
            redirect_uri: self.redirect_uri.clone(),
            response_mode: self.response_mode,
            state: self.state.clone(),
        }
    }
}

/// How the answer reaches the client (OAuth 2.0 Multiple Response Types §2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    #[default]
    Query,
}

impl ResponseMode {
    pub const ALL: [Self; 1] = [Self::Query];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
        }
    }
}

/// What the client wants the user to be asked (OIDC Core §3.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    None,
    Login,
    Consent,
    SelectAccount,
}

impl Prompt {
    pub const ALL: [Self; 4] = [Self::None, Self::Login, Self::Consent, Self::SelectAccount];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Login => "login",
            Self::Consent => "consent",
            Self::SelectAccount => "select_account",
        }
    }
}

/// Who learns of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user, on a page: it is not known (yet) whether the redirect URI is the client's (RFC 6749 §4.1.2.1).
    Page(OAuthError),
    /// The client, by redirect.
    Redirect(ReturnAddress, OAuthError),
}

/// Runs every check. `find_client` looks a `client_id` up among the tenant's clients; `issuer` is a resource that
/// every client may name.
pub fn validate<'c>(
    form: &Form<'_>,
    issuer: &str,
    find_client: impl FnOnce(&str) -> Option<&'c Client>,
) -> Result<AuthorizationRequest, Refusal> {
    let client = known_client(form, find_client).map_err(Refusal::Page)?;
    let redirect_uri = registered_redirect_uri(form, client).map_err(Refusal::Page)?;
    let address = ReturnAddress { redirect_uri, response_mode: ResponseMode::Query, state: owned(form, "state") };
    check_the_rest(form, issuer, client, &address).map_err(|error| Refusal::Redirect(address, error))
}

fn check_the_rest(
    form: &Form<'_>,
    issuer: &str,
    client: &Client,
    address: &ReturnAddress,
) -> Result<AuthorizationRequest, OAuthError> {
    sizes(form)?;
    nothing_unsupported(form)?;
    response_type(form)?;
    grant_is_allowed(client)?;
    let response_mode = response_mode(form)?;
    let scope = scope(form, client)?;
    Ok(AuthorizationRequest {
        client_id: client.client_id.clone(),
        redirect_uri: address.redirect_uri.clone(),
        response_mode,
        state: address.state.clone(),
        nonce: owned(form, "nonce"),
        code_challenge: code_challenge(form, client)?,
        dpop_jkt: dpop_jkt(form)?,
        prompt: prompt(form)?,
        max_age_secs: max_age(form)?,
        login_hint: owned(form, "login_hint"),
        id_token_hint: owned(form, "id_token_hint"),
        resources: resources(form, client, issuer)?,
        scope,
    })
}

fn owned(form: &Form<'_>, name: &str) -> Option<String> {
    form.get(name).map(str::to_owned)
}

fn dpop_jkt(form: &Form<'_>) -> Result<Option<Thumbprint>, OAuthError> {
    let told = "The dpop_jkt is not the SHA-256 thumbprint of a key.";
    form.get("dpop_jkt").map(str::parse).transpose().map_err(|_| OAuthError::invalid_request(told))
}

/// RFC 6749 §4.1.2.1: no redirect without a valid client. A disabled client is as good as none.
fn known_client<'c>(
    form: &Form<'_>,
    find_client: impl FnOnce(&str) -> Option<&'c Client>,
) -> Result<&'c Client, OAuthError> {
    let id = form.get("client_id").ok_or(OAuthError::invalid_request("The client_id is missing."))?;
    find_client(id)
        .filter(|client| client.spec.enabled)
        .ok_or(OAuthError::invalid_request("The client_id belongs to no client."))
}

/// OIDC Core §3.1.2.1 requires it; RFC 9700 §4.1.3 requires the comparison to be exact.
fn registered_redirect_uri(form: &Form<'_>, client: &Client) -> Result<String, OAuthError> {
    let uri = form.get("redirect_uri").ok_or(OAuthError::invalid_request("The redirect_uri is missing."))?;
    if client.redirects_to(uri) {
        Ok(uri.to_owned())
    } else {
        Err(OAuthError::invalid_request("The redirect_uri is not registered for this client."))
    }
}

fn sizes(form: &Form<'_>) -> Result<(), OAuthError> {
    match form.iter().find(|(_, value)| value.len() > MAX_VALUE_BYTES) {
        None => Ok(()),
        Some((name, _)) => {
            Err(OAuthError::quoting(Code::InvalidRequest, &format!("The parameter {name} is over 8 KiB.")))
        }
    }
}

/// Parameters that change the meaning of a request must not be passed over (OIDC Core §3.1.2.6).
fn nothing_unsupported(form: &Form<'_>) -> Result<(), OAuthError> {
    for (name, code) in [
        ("request", Code::RequestNotSupported),
        ("request_uri", Code::RequestUriNotSupported),
        ("registration", Code::RegistrationNotSupported),
    ] {
        if form.get(name).is_some() {
            return Err(OAuthError::new(code, "This parameter is not supported."));
        }
    }
    Ok(())
}

/// Codes only; never a token in a URL (RFC 9700 §2.1.2).
fn response_type(form: &Form<'_>) -> Result<(), OAuthError> {
    match form.get("response_type") {
        Some("code") => Ok(()),
        Some(_) => Err(OAuthError::unsupported_response_type("The only response_type is code.")),
        None => Err(OAuthError::invalid_request("The response_type is missing.")),
    }
}

fn grant_is_allowed(client: &Client) -> Result<(), OAuthError> {
    if client.may_use(GrantType::AuthorizationCode) {
        Ok(())
    } else {
        Err(OAuthError::unauthorized_client("The client is not registered for authorization codes."))
    }
}

fn response_mode(form: &Form<'_>) -> Result<ResponseMode, OAuthError> {
    match form.get("response_mode") {
        None => Ok(ResponseMode::default()),
        Some(asked) => ResponseMode::ALL
            .into_iter()
            .find(|mode| mode.as_str() == asked)
            .ok_or(OAuthError::invalid_request("The response_mode is not supported.")),
    }
}

/// RFC 6749 §3.3. A client that may not refresh asks for `offline_access` in vain, which is no error (OIDC Core §11).
fn scope(form: &Form<'_>, client: &Client) -> Result<ScopeSet, OAuthError> {
    let mut scope = ScopeSet::parse(form.get("scope").unwrap_or_default())?;
    if !client.may_use(GrantType::RefreshToken) {
        scope.remove(OFFLINE_ACCESS);
    }
    if let Some(name) = scope.iter().find(|name| !client.may_ask_for(name)) {
        return Err(OAuthError::quoting(Code::InvalidScope, &format!("The client may not ask for scope {name}.")));
    }
    if scope.is_empty() { Err(OAuthError::invalid_scope("The scope is missing.")) } else { Ok(scope) }
}

/// Required of public clients (RFC 9700 §2.1.1), taken from everybody, `S256` only.
fn code_challenge(form: &Form<'_>, client: &Client) -> Result<Option<Challenge>, OAuthError> {
    match (form.get("code_challenge"), form.get("code_challenge_method")) {
        (Some(challenge), Some("S256")) => Challenge::parse(challenge)
            .map(Some)
            .map_err(|error| OAuthError::quoting(Code::InvalidRequest, &error.to_string())),
        // A method left out means `plain` (RFC 7636 §4.3).
        (Some(_), _) => Err(OAuthError::invalid_request("The only code_challenge_method is S256.")),
        (None, Some(_)) => Err(OAuthError::invalid_request("The code_challenge is missing.")),
        (None, None) if client.is_public() => {
            Err(OAuthError::invalid_request("A public client must send a code_challenge."))
        }
        (None, None) => Ok(None),
    }
}

/// OIDC Core §3.1.2.1: `none` stands alone.
fn prompt(form: &Form<'_>) -> Result<BTreeSet<Prompt>, OAuthError> {
    let mut prompts = BTreeSet::new();
    for word in form.get("prompt").unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        let prompt = Prompt::ALL.into_iter().find(|prompt| prompt.as_str() == word);
        prompts.insert(prompt.ok_or(OAuthError::invalid_request("The prompt is not supported."))?);
    }
    if prompts.contains(&Prompt::None) && prompts.len() > 1 {
        return Err(OAuthError::invalid_request("The prompt none cannot be combined with others."));
    }
    Ok(prompts)
}

fn max_age(form: &Form<'_>) -> Result<Option<u32>, OAuthError> {
    match form.get("max_age") {
        None => Ok(None),
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().map(Some).map_err(|_| OAuthError::invalid_request("The max_age is too large."))
        }
        Some(_) => Err(OAuthError::invalid_request("The max_age must be a number of seconds.")),
    }
}

/// RFC 8707 §2: only resources that the client is registered for, and the issuer.
fn resources(form: &Form<'_>, client: &Client, issuer: &str) -> Result<Vec<String>, OAuthError> {
    let asked: Vec<String> = form.resources().into_iter().map(str::to_owned).collect();
    if asked.iter().all(|resource| is_own(resource, issuer) || client.spec.audiences.contains(resource)) {
        Ok(asked)
    } else {
        Err(OAuthError::invalid_target("The client is not registered for this resource."))
    }
}

/// Whether an ID token comes with the access token (OIDC Core §3.1.2.1).
impl AuthorizationRequest {
    pub fn is_openid(&self) -> bool {
        self.scope.contains(OPENID)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::AuthMethod;
    use crate::client::tests::{client, client_with};
    use proptest::prelude::*;
    use rstest::rstest;

    const ISSUER: &str = "https://id.example/t/acme";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const GOOD: &str =
        "response_type=code&client_id=web&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&scope=openid+email&state=xyz";

    fn run(client: &Client, query: &str) -> Result<AuthorizationRequest, Refusal> {
        let form = Form::parse(query.as_bytes()).map_err(|error| Refusal::Page(error.into()))?;
        validate(&form, ISSUER, |id| (id == "web").then_some(client))
    }

    fn redirected(result: Result<AuthorizationRequest, Refusal>) -> (Code, ReturnAddress) {
        match result {
            Err(Refusal::Redirect(address, error)) => (error.code(), address),
            other => panic!("expected a redirect, got {other:?}"),
        }
    }

    #[test]
    fn a_good_request() {
        let request = run(
            &client(),
            &format!(
                "{GOOD}&nonce=n&code_challenge={CHALLENGE}&code_challenge_method=S256&prompt=login+consent&max_age=0\
                 &login_hint=a%40b&resource=https%3A%2F%2Fapi.example&ui_locales=..%2F..&display=x&acr_values=y"
            ),
        )
        .unwrap();
        assert_eq!(request.redirect_uri, "https://app.example/cb");
        assert_eq!(request.scope.to_string(), "email openid");
        assert_eq!(request.state.as_deref(), Some("xyz"));
        assert_eq!(request.nonce.as_deref(), Some("n"));
        assert_eq!(request.code_challenge.as_ref().unwrap().as_str(), CHALLENGE);
        assert_eq!(request.prompt, BTreeSet::from([Prompt::Login, Prompt::Consent]));
        assert_eq!(request.max_age_secs, Some(0));
        assert_eq!(request.login_hint.as_deref(), Some("a@b"));
        assert_eq!(request.resources, ["https://api.example"]);
        let stored = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<AuthorizationRequest>(&stored).unwrap(), request);
    }

    #[rstest]
    #[case::no_client("response_type=code&redirect_uri=https://app.example/cb&scope=openid")]
    #[case::unknown_client("response_type=code&client_id=nobody&redirect_uri=https://app.example/cb&scope=openid")]
    #[case::no_redirect_uri("response_type=code&client_id=web&scope=openid")]
    #[case::foreign_redirect_uri("response_type=code&client_id=web&redirect_uri=https://evil.example/cb&scope=openid")]
    #[case::added_query("response_type=code&client_id=web&redirect_uri=https://app.example/cb%3Fx=1&scope=openid")]
    #[case::injected_header("response_type=code&client_id=web&redirect_uri=https://app.example/cb%0d%0aX:1")]
    #[case::nul("response_type=code&client_id=web&redirect_uri=https://app.example/cb%00")]
    #[case::good_then_evil("client_id=web&redirect_uri=https://app.example/cb&redirect_uri=https://evil.example/cb")]
    #[case::evil_then_good("client_id=web&redirect_uri=https://evil.example/cb&redirect_uri=https://app.example/cb")]
    fn refused_on_a_page(#[case] query: &str) {
        let refusal = run(&client(), query).unwrap_err();
        assert!(matches!(&refusal, Refusal::Page(error) if error.status() == 400), "{refusal:?}");
    }

    #[test]
    fn a_disabled_client_is_refused_on_a_page() {
        let disabled = client_with(|spec| spec.enabled = false);
        assert!(matches!(run(&disabled, GOOD), Err(Refusal::Page(_))));
    }

    #[rstest]
    #[case("response_type=token", Code::UnsupportedResponseType)]
    #[case("response_type=id_token+token", Code::UnsupportedResponseType)]
    #[case("response_type=code+token", Code::UnsupportedResponseType)]
    #[case("", Code::InvalidRequest)]
    #[case("response_type=code&response_mode=fragment", Code::InvalidRequest)]
    #[case("response_type=code&scope=", Code::InvalidScope)]
    #[case("response_type=code&scope=openid+admin", Code::InvalidScope)]
    #[case("response_type=code&scope=open%22id", Code::InvalidScope)]
    #[case("response_type=code&scope=openid&prompt=none+login", Code::InvalidRequest)]
    #[case("response_type=code&scope=openid&prompt=dance", Code::InvalidRequest)]
    #[case("response_type=code&scope=openid&max_age=-1", Code::InvalidRequest)]
    #[case("response_type=code&scope=openid&max_age=99999999999", Code::InvalidRequest)]
    #[case("response_type=code&scope=openid&request=eyJhbGciOiJub25lIn0.e30.", Code::RequestNotSupported)]
    #[case("response_type=code&scope=openid&request_uri=http://127.0.0.1/x", Code::RequestUriNotSupported)]
    #[case("response_type=code&scope=openid&registration={}", Code::RegistrationNotSupported)]
    #[case("response_type=code&scope=openid&resource=urn:unknown", Code::InvalidTarget)]
    #[case("response_type=code&scope=openid&code_challenge=x&code_challenge_method=S256", Code::InvalidRequest)]
    #[case("response_type=code&scope=openid&code_challenge_method=S256", Code::InvalidRequest)]
    fn refused_by_redirect_with_state(#[case] query: &str, #[case] code: Code) {
        let query = format!("client_id=web&redirect_uri=https://app.example/cb&state=xyz&{query}");
        let (found, address) = redirected(run(&client(), &query));
        assert_eq!(found, code);
        assert_eq!(address.state.as_deref(), Some("xyz"));
    }

    #[test]
    fn over_long_values_are_refused() {
        let deep = "[".repeat(20_000);
        let (code, _) = redirected(run(&client(), &format!("{GOOD}&claims={deep}")));
        assert_eq!(code, Code::InvalidRequest);
    }

    #[rstest]
    #[case("", Err(Code::InvalidRequest))]
    #[case("&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", Err(Code::InvalidRequest))]
    #[case(
        "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=plain",
        Err(Code::InvalidRequest)
    )]
    #[case("&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256", Ok(()))]
    fn public_clients_need_pkce(#[case] more: &str, #[case] expected: Result<(), Code>) {
        let public = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::None);
        match (run(&public, &format!("{GOOD}{more}")), expected) {
            (Ok(_), Ok(())) => {}
            (result, Err(code)) => assert_eq!(redirected(result).0, code),
            (result, Ok(())) => panic!("{result:?}"),
        }
    }

    #[test]
    fn clients_without_the_grant_are_refused_and_without_refresh_get_no_offline_access() {
        let machine = client_with(|spec| spec.grant_types = vec![GrantType::ClientCredentials]);
        assert_eq!(redirected(run(&machine, GOOD)).0, Code::UnauthorizedClient);
        let online = client_with(|spec| spec.grant_types = vec![GrantType::AuthorizationCode]);
        let request = run(&online, &GOOD.replace("email", "offline_access")).unwrap();
        assert_eq!(request.scope.to_string(), "openid");
    }

    proptest! {
        #[test]
        fn never_panics_and_never_redirects_elsewhere(query in "(client_id=web&|redirect_uri=https://app.example/cb&|[a-z_]{1,9}=[^&]{0,9}&){0,9}") {
            if let Err(Refusal::Redirect(address, _)) = run(&client(), &query) {
                prop_assert_eq!(address.redirect_uri, "https://app.example/cb");
            }
        }
    }
}
