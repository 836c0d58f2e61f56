//! The ways an answer takes to the client, and the response types there are.

use std::collections::HashMap;

use tests::browser::{Browser, Page};
use tests::relying_party::{Tokens, parameters};
use tests::table::Table;
use tests::tenant::{APP_REDIRECT, BACKEND_REDIRECT};
use tests::world;

use serde_json::json;

/// The fields of a page that posts an answer to the client.
fn posted(page: &Page) -> HashMap<String, String> {
    let form = page.expect_form();
    assert_eq!(form.method, reqwest::Method::POST);
    form.fields.into_iter().map(|field| (field.name, field.value)).collect()
}

#[tokio::test]
async fn a_fragment_carries_the_answer_past_the_server() {
    let world = world::shared().await;
    let tenant = world.tenant("fragment").await;
    let alice = tenant.user("alice").await;
    let attempt = tenant.backend.attempt_with(&[("response_mode", Some("fragment"))]);
    let browser = Browser::new();
    let callback = browser.authorize(&attempt.url, &alice).await;
    assert_eq!(callback.query(), None, "{callback}");
    let answer: HashMap<_, _> =
        url::form_urlencoded::parse(callback.fragment().expect("a fragment").as_bytes()).into_owned().collect();
    assert_eq!((&answer["state"], &answer["iss"]), (&attempt.state, &tenant.issuer));
    let _ = tenant.backend.redeem(&answer["code"], &attempt.verifier).await.expect(200);
    // Errors take the same way.
    let bad = tenant.backend.attempt_with(&[("response_mode", Some("fragment")), ("prompt", Some("none login"))]);
    let callback = browser.open(&bad.url).await.expect_callback();
    assert!(callback.query().is_none() && callback.fragment().is_some_and(|f| f.contains("error=invalid_request")));
}

#[tokio::test]
async fn a_form_carries_the_answer_with_and_without_scripts() {
    let world = world::shared().await;
    let tenant = world.tenant("formpost").await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    let state = "<\"&'>";
    let attempt = tenant.backend.attempt_with(&[("response_mode", Some("form_post")), ("state", Some(state))]);
    let login = browser.open_page(&attempt.url).await.expect_form();
    let page = browser.sign_in(&login, &alice.email, &alice.password).await;
    assert_eq!((page.status, &page.leaves_to), (200, &None));
    let form = page.expect_form();
    assert_eq!(form.action.as_str(), BACKEND_REDIRECT);
    assert_eq!(form.buttons.len(), 1, "for browsers without scripts: {form:?}");
    let answer = posted(&page);
    assert_eq!((answer["state"].as_str(), &answer["iss"]), (state, &tenant.issuer));
    let header = |name: &str| page.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header("cache-control"), "no-store");
    let policy = header("content-security-policy");
    let nonce = policy.split("script-src 'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
    assert!(page.body.contains(&format!("<script nonce=\"{nonce}\">")), "{page:#?}");
    assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self' https:"), "{policy}");
    assert!(!page.url.as_str().contains("code="), "{}", page.url);
    let _ = tenant.backend.redeem(&answer["code"], &attempt.verifier).await.expect(200);

    // An error before anybody signed in, an answer of a silent request, and a refused consent.
    let none = tenant.app.attempt_with(&[("response_mode", Some("form_post")), ("prompt", Some("none"))]);
    let told = posted(&Browser::new().open(&none.url).await);
    assert_eq!((told["error"].as_str(), &told["state"]), ("login_required", &none.state));
    let again = tenant.backend.attempt_with(&[("response_mode", Some("form_post")), ("prompt", Some("none"))]);
    assert!(posted(&browser.open(&again.url).await).contains_key("code"));
    let consent = browser.open_page(&tenant.app.attempt_with(&[("response_mode", Some("form_post"))]).url).await;
    let denied = posted(&browser.deny(&consent.expect_form()).await);
    assert_eq!(denied["error"], "access_denied");
}

#[tokio::test]
async fn the_response_type_none_answers_without_a_code() {
    let world = world::shared().await;
    let tenant = world.tenant("none").await;
    let alice = tenant.user("alice").await;
    let attempt = tenant.app.attempt_with(&[("response_type", Some("none"))]);
    let callback = Browser::new().authorize(&attempt.url, &alice).await;
    assert!(callback.as_str().starts_with(APP_REDIRECT), "{callback}");
    let answer = parameters(&callback);
    assert_eq!(answer.len(), 2, "{answer:?}");
    assert_eq!((&answer["state"], &answer["iss"]), (&attempt.state, &tenant.issuer));
    let connection = tenant.database.connect().await;
    let rows: i64 =
        connection.query_one("select count(*) from authorization_codes", &[]).await.expect("a table").get(0);
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn a_mode_that_does_not_exist_is_told_by_the_usual_way() {
    let world = world::shared().await;
    let tenant = world.tenant("mode").await;
    let mut table = Table::new();
    for mode in ["web_message", "query.jwt", "FORM_POST"] {
        let attempt = tenant.app.attempt_with(&[("response_mode", Some(mode))]);
        let callback = Browser::new().open(&attempt.url).await.expect_callback();
        let error = parameters(&callback).remove("error");
        table.check(mode, error.as_deref() == Some("invalid_request"), || callback.to_string());
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn plain_challenges_are_taken_only_where_the_tenant_allows_it() {
    let world = world::shared().await;
    let tenant = world.tenant("plain").await;
    let alice = tenant.user("alice").await;
    let verifier = "v".repeat(64);
    let plain = [("code_challenge", Some(verifier.as_str())), ("code_challenge_method", Some("plain"))];
    let refused = Browser::new().open(&tenant.app.attempt_with(&plain).url).await.expect_callback();
    assert_eq!(parameters(&refused)["error"], "invalid_request");

    tenant.patch(&json!({ "settings": { "oauth": { "allow_plain_pkce": true } } })).await;
    let offered = &tenant.app.discovery().await.json["code_challenge_methods_supported"];
    assert_eq!(offered, &json!(["S256", "plain"]));
    let callback = Browser::new().authorize(&tenant.app.attempt_with(&plain).url, &alice).await;
    let _ = Tokens::read(tenant.app.redeem(&parameters(&callback)["code"], &verifier).await);
    // A challenge that was S256 stays it: whoever saw it cannot use it as a plain verifier (RFC 9700 §4.8.2).
    let attempt = tenant.app.attempt();
    let challenge = parameters(&attempt.url)["code_challenge"].clone();
    let callback = Browser::new().authorize(&attempt.url, &alice).await;
    let refused = tenant.app.redeem(&parameters(&callback)["code"], &challenge).await.expect(400);
    assert_eq!(refused.code(), "invalid_grant");
}
