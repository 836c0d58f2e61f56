//! Checking an authorization request: a list of named checks, the first that fails refuses.

use std::collections::BTreeSet;

use vocab::ScopeName;
use vocab::oauth::OAuthSettings;

use super::request::{AuthorizationRequest, Prompt, ResponseMode, ResponseType};
use super::response::ReturnAddress;
use crate::claims_request::ClaimsRequest;
use crate::client::{Client, GrantType};
use crate::confirmation::Thumbprint;
use crate::error::{Code, OAuthError};
use crate::form::Form;
use crate::pkce::Challenge;
use crate::resource::is_own;
use crate::scope::{OFFLINE_ACCESS, ScopeSet, built_in_claims};

/// Longest single parameter; what is accepted is stored and may come back in a URL.
const MAX_VALUE_BYTES: usize = 8 * 1024;

/// Who learns of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user, on a page: it is not known (yet) whether the redirect URI is the client's (RFC 6749 §4.1.2.1).
    Page(OAuthError),
    /// The client, by redirect.
    Redirect(ReturnAddress, OAuthError),
}

/// The tenant, as far as its requests are judged by it.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// A resource that every client may name.
    pub issuer: &'a str,
    pub settings: &'a OAuthSettings,
    /// The claims that a scope of the tenant's own releases.
    pub scope_claims: &'a dyn Fn(&ScopeName) -> Option<&'a [String]>,
}

impl std::fmt::Debug for Site<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// The way a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// By the browser.
    Front,
    /// From the client itself, authenticated (RFC 9126).
    Pushed,
}

/// Runs every check. `find_client` looks a `client_id` up among the tenant's clients.
pub fn validate<'c>(
    form: &Form<'_>,
    site: Site<'_>,
    channel: Channel,
    find_client: impl FnOnce(&str) -> Option<&'c Client>,
) -> Result<AuthorizationRequest, Refusal> {
    let client = known_client(form, find_client).map_err(Refusal::Page)?;
    let address = return_address(form, client).map_err(Refusal::Page)?;
    check_the_rest(form, site, channel, client, &address).map_err(|error| Refusal::Redirect(address, error))
}

fn check_the_rest(
    form: &Form<'_>,
    site: Site<'_>,
    channel: Channel,
    client: &Client,
    address: &ReturnAddress,
) -> Result<AuthorizationRequest, OAuthError> {
    sizes(form)?;
    nothing_unsupported(form)?;
    pushed_if_it_must_be(channel, site.settings, client)?;
    let response_type = response_type(form)?;
    grant_is_allowed(client)?;
    response_mode(form)?;
    let scope = scope(form, client)?;
    let (claims, claims_scope) = claims(form, site, client)?;
    Ok(AuthorizationRequest {
        client_id: client.client_id.clone(),
        redirect_uri: address.redirect_uri.clone(),
        response_type,
        response_mode: address.response_mode,
        state: address.state.clone(),
        nonce: owned(form, "nonce"),
        code_challenge: code_challenge(form, site.settings, client, response_type)?,
        dpop_jkt: dpop_jkt(form)?,
        prompt: prompt(form)?,
        max_age_secs: max_age(form)?.or(client.spec.default_max_age),
        acr_values: acr_values(form, client),
        login_hint: owned(form, "login_hint"),
        id_token_hint: owned(form, "id_token_hint"),
        resources: resources(form, client, site.issuer)?,
        scope,
        claims,
        claims_scope,
    })
}

fn owned(form: &Form<'_>, name: &str) -> Option<String> {
    form.get(name).map(str::to_owned)
}

/// RFC 6749 §4.1.2.1: no redirect without a valid client. A disabled client is as good as none.
pub fn known_client<'c>(
    form: &Form<'_>,
    find_client: impl FnOnce(&str) -> Option<&'c Client>,
) -> Result<&'c Client, OAuthError> {
    let id = form.get("client_id").ok_or(OAuthError::invalid_request("The client_id is missing."))?;
    find_client(id)
        .filter(|client| client.spec.enabled)
        .ok_or(OAuthError::invalid_request("The client_id belongs to no client."))
}

/// Where the answer goes. A redirect URI is always needed (OIDC Core §3.1.2.1), and RFC 9700 §4.1.3 requires the
/// comparison to be exact. A `response_mode` that does not exist is told by the usual one.
pub fn return_address(form: &Form<'_>, client: &Client) -> Result<ReturnAddress, OAuthError> {
    let uri = form.get("redirect_uri").ok_or(OAuthError::invalid_request("The redirect_uri is missing."))?;
    if !client.redirects_to(uri) {
        return Err(OAuthError::invalid_request("The redirect_uri is not registered for this client."));
    }
    Ok(ReturnAddress {
        redirect_uri: uri.to_owned(),
        response_mode: response_mode(form).unwrap_or_default(),
        // What is too long is refused below; it is not sent about.
        state: owned(form, "state").filter(|state| state.len() <= MAX_VALUE_BYTES),
    })
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

/// RFC 9126 §5, §6.
fn pushed_if_it_must_be(channel: Channel, settings: &OAuthSettings, client: &Client) -> Result<(), OAuthError> {
    let needed = settings.require_pushed_authorization_requests || client.spec.require_pushed_authorization_requests;
    match channel {
        Channel::Front if needed => {
            Err(OAuthError::invalid_request("The client must push its authorization requests (RFC 9126)."))
        }
        Channel::Front | Channel::Pushed => Ok(()),
    }
}

fn response_type(form: &Form<'_>) -> Result<ResponseType, OAuthError> {
    let asked = form.get("response_type").ok_or(OAuthError::invalid_request("The response_type is missing."))?;
    ResponseType::ALL
        .into_iter()
        .find(|known| known.as_str() == asked)
        .ok_or(OAuthError::unsupported_response_type("The only response_type is code."))
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

/// The claims asked for one by one (OIDC Core §5.5), without those that none of the client's scopes releases; and the
/// scopes that release the others.
fn claims(form: &Form<'_>, site: Site<'_>, client: &Client) -> Result<(ClaimsRequest, ScopeSet), OAuthError> {
    /// Of the protocol: they tell about the sign-in, and need no scope.
    const PROTOCOL: [&str; 3] = ["sub", "acr", "auth_time"];
    let Some(text) = form.get("claims") else {
        return Ok((ClaimsRequest::default(), ScopeSet::default()));
    };
    let mut asked = ClaimsRequest::parse(text)?;
    let releases = |scope: &ScopeName, claim: &str| match built_in_claims(scope.as_str()) {
        Some(claims) => claims.contains(&claim),
        None => (site.scope_claims)(scope).is_some_and(|claims| claims.iter().any(|name| name == claim)),
    };
    let releasing = |claim: &str| client.spec.scopes.iter().find(|scope| releases(scope, claim));
    asked.retain(|claim| PROTOCOL.contains(&claim) || releasing(claim).is_some());
    let scopes = asked.names().filter(|claim| !PROTOCOL.contains(claim)).filter_map(releasing).cloned().collect();
    Ok((asked, scopes))
}

/// The key that the code will be bound to (RFC 9449 §10).
fn dpop_jkt(form: &Form<'_>) -> Result<Option<Thumbprint>, OAuthError> {
    let told = "The dpop_jkt is not the SHA-256 thumbprint of a key.";
    form.get("dpop_jkt").map(str::parse).transpose().map_err(|_| OAuthError::invalid_request(told))
}

/// Required of public clients (RFC 9700 §2.1.1), taken from everybody; `plain` where the tenant allows it.
fn code_challenge(
    form: &Form<'_>,
    settings: &OAuthSettings,
    client: &Client,
    response_type: ResponseType,
) -> Result<Option<Challenge>, OAuthError> {
    let malformed =
        |error: crate::pkce::InvalidChallenge| OAuthError::quoting(Code::InvalidRequest, &error.to_string());
    // A method left out means `plain` (RFC 7636 §4.3).
    match (form.get("code_challenge"), form.get("code_challenge_method").unwrap_or("plain")) {
        (Some(challenge), "S256") => Challenge::parse(challenge).map(Some).map_err(malformed),
        (Some(challenge), "plain") if settings.allow_plain_pkce => {
            Challenge::plain(challenge).map(Some).map_err(malformed)
        }
        (Some(_), _) => Err(OAuthError::invalid_request("The only code_challenge_method is S256.")),
        (None, _) if form.get("code_challenge_method").is_some() => {
            Err(OAuthError::invalid_request("The code_challenge is missing."))
        }
        (None, _) if client.is_public() && response_type == ResponseType::Code => {
            Err(OAuthError::invalid_request("A public client must send a code_challenge."))
        }
        (None, _) => Ok(None),
    }
}

/// Those of the request, or else those the client is registered with (OIDC Registration §2). Not understood, they do no
/// harm; they are kept only as far as anybody would write them.
fn acr_values(form: &Form<'_>, client: &Client) -> Vec<String> {
    const MOST: usize = 16;
    match form.get("acr_values") {
        Some(text) => text.split(' ').filter(|value| !value.is_empty()).take(MOST).map(str::to_owned).collect(),
        None => client.spec.default_acr_values.clone(),
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
        run_at(&OAuthSettings::default(), Channel::Front, client, query)
    }

    fn run_at(
        settings: &OAuthSettings,
        channel: Channel,
        client: &Client,
        query: &str,
    ) -> Result<AuthorizationRequest, Refusal> {
        let form = Form::parse(query.as_bytes()).map_err(|error| Refusal::Page(error.into()))?;
        let orders = ["order_count".to_owned()];
        let site = Site {
            issuer: ISSUER,
            settings,
            scope_claims: &|scope| (scope.as_str() == "orders").then_some(&orders[..]),
        };
        validate(&form, site, channel, |id| (id == "web").then_some(client))
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
        assert_eq!(request.acr_values, ["y"]);
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
    #[case("response_type=code&response_mode=web_message", Code::InvalidRequest)]
    #[case("response_type=none+code&scope=openid", Code::UnsupportedResponseType)]
    #[case("response_type=code&scope=openid&claims=[]", Code::InvalidRequest)]
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

    #[rstest]
    #[case("", ResponseMode::Query)]
    #[case("&response_mode=query", ResponseMode::Query)]
    #[case("&response_mode=fragment", ResponseMode::Fragment)]
    #[case("&response_mode=form_post", ResponseMode::FormPost)]
    fn answers_and_errors_take_the_way_that_was_asked_for(#[case] more: &str, #[case] expected: ResponseMode) {
        assert_eq!(run(&client(), &format!("{GOOD}{more}")).unwrap().response_mode, expected);
        let (_, address) = redirected(run(&client(), &format!("{GOOD}{more}&prompt=dance")));
        assert_eq!(address.response_mode, expected);
    }

    #[test]
    fn the_response_type_none_needs_no_challenge() {
        let public = client_with(|spec| spec.token_endpoint_auth_method = AuthMethod::None);
        let request = run(&public, &GOOD.replace("=code", "=none")).unwrap();
        assert_eq!(request.response_type, ResponseType::None);
    }

    #[rstest]
    #[case("code_challenge_method=plain&", true)]
    #[case("", true)]
    #[case("code_challenge_method=S256&", false)]
    fn plain_challenges_where_the_tenant_allows_them(#[case] method: &str, #[case] good: bool) {
        let lax = OAuthSettings { allow_plain_pkce: true, ..OAuthSettings::default() };
        let query = format!("{GOOD}&{method}code_challenge={}", "v".repeat(50));
        assert_eq!(run_at(&lax, Channel::Front, &client(), &query).is_ok(), good);
        assert_eq!(redirected(run(&client(), &query)).0, Code::InvalidRequest);
        let short = format!("{GOOD}&{method}code_challenge=short");
        assert_eq!(redirected(run_at(&lax, Channel::Front, &client(), &short)).0, Code::InvalidRequest);
    }

    #[rstest]
    #[case(false, false, Channel::Front, true)]
    #[case(true, false, Channel::Front, false)]
    #[case(false, true, Channel::Front, false)]
    #[case(true, true, Channel::Pushed, true)]
    fn requests_that_must_be_pushed(
        #[case] by_tenant: bool,
        #[case] by_client: bool,
        #[case] channel: Channel,
        #[case] good: bool,
    ) {
        let settings = OAuthSettings { require_pushed_authorization_requests: by_tenant, ..OAuthSettings::default() };
        let client = client_with(|spec| spec.require_pushed_authorization_requests = by_client);
        match run_at(&settings, channel, &client, GOOD) {
            Ok(_) => assert!(good),
            refused => assert_eq!((redirected(refused).0, good), (Code::InvalidRequest, false)),
        }
    }

    #[test]
    fn what_the_client_is_registered_with_stands_in() {
        let client = client_with(|spec| {
            spec.default_max_age = Some(60);
            spec.default_acr_values = vec!["silver".into()];
        });
        let request = run(&client, GOOD).unwrap();
        assert_eq!((request.max_age_secs, request.acr_values), (Some(60), vec!["silver".to_owned()]));
        let request = run(&client, &format!("{GOOD}&max_age=5&acr_values=gold+bronze")).unwrap();
        assert_eq!(request.max_age_secs, Some(5));
        assert_eq!(request.acr_values, ["gold", "bronze"]);
    }

    #[test]
    fn claims_are_those_of_the_clients_scopes() {
        let claims = r#"{"userinfo":{"email":null,"order_count":null,"phone_number":null},"id_token":{"acr":null}}"#;
        let request = run(&client(), &format!("{GOOD}&claims={claims}")).unwrap();
        assert_eq!(request.claims.names().collect::<Vec<_>>(), ["email", "order_count", "acr"]);
        assert_eq!(request.claims_scope.to_string(), "email orders");
        assert_eq!(request.scope_to_allow().to_string(), "email openid orders");
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
