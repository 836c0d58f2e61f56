//! Tables of what is taken and refused, and where each refusal goes.

use std::collections::BTreeSet;

use super::*;
use crate::authorization_details::tests::types;
use crate::authorize::request::{Prompt, ResponseMode, ResponseType};
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
        details_types: &types(),
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

#[test]
fn details_are_asked_for_by_registration() {
    let client = client_with(|spec| spec.authorization_details_types = vec!["payment".to_owned()]);
    let with = |details: &str| {
        let query = GOOD.replace("scope=openid+email&", "");
        run(&client, &format!("{query}&authorization_details={details}"))
    };
    // It needs no scope beside (RFC 9396 §3).
    let asked = with(r#"[{"type":"payment","amount":"10"}]"#).unwrap();
    assert!(asked.scope.is_empty() && !asked.authorization_details.is_empty());
    let (code, _) = redirected(with("[]"));
    assert_eq!(code, Code::InvalidScope);
    for wrong in ["x", r#"[{"type":"payment"}]"#, r#"[{"type":"files"}]"#, r#"[{"type":"unknown"}]"#] {
        let (code, address) = redirected(with(wrong));
        assert_eq!((code, address.state.as_deref()), (Code::InvalidAuthorizationDetails, Some("xyz")), "{wrong}");
    }
}
