//! Consent: what was shown is granted, to the client that it was shown for, and to nobody who takes that one's place.

use serde_json::json;
use tests::browser::{Browser, Field, Form};
use tests::relying_party::{Attempt, RelyingParty, Tokens, parameters};
use tests::tenant::{APP_REDIRECT, NATIVE_REDIRECT, Tenant};
use tests::tokens::Jwt;
use tests::world;

const PRIVATE_USE: &str = "com.example.app:/callback";

/// Who got what by the answer that the browser was sent away with.
async fn granted(party: &RelyingParty, attempt: &Attempt, callback: &url::Url) -> (String, String) {
    let answer = parameters(callback);
    let code = answer.get("code").unwrap_or_else(|| panic!("no code: {callback}"));
    let claims = Jwt::parse(&Tokens::read(party.redeem(code, &attempt.verifier).await).access).claims;
    let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    (text("client_id"), text("scope"))
}

fn with(form: &Form, name: &str, value: &str) -> Form {
    let mut form = form.clone();
    form.fields.retain(|field| field.name != name);
    form.fields.push(Field { name: name.to_owned(), kind: "hidden".to_owned(), value: value.to_owned() });
    form
}

fn value<'f>(form: &'f Form, name: &str) -> &'f str {
    form.fields.iter().find(|field| field.name == name).map(|field| field.value.as_str()).expect("such a field")
}

#[tokio::test]
async fn consent_grants_what_was_shown_and_to_whom() {
    let world = world::shared().await;
    let tenant = world.tenant("consent").await;
    tenant.patch_client("backend", &json!({ "require_consent": true })).await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    let narrow = tenant.app.attempt_with(&[("scope", Some("openid"))]);
    let login = browser.open_page(&narrow.url).await.expect_form();
    let shown = browser.sign_in(&login, &alice.email, &alice.password).await.expect_form();
    // The same person is asked the same day by others, and for more, in the same browser.
    let wide = tenant.app.attempt();
    let others = tenant.backend.attempt();
    let asked_for_more = browser.open_page(&wide.url).await.expect_form();
    let asked_by_others = browser.open_page(&others.url).await.expect_form();
    for (what, other) in [("for more", &asked_for_more), ("by another client", &asked_by_others)] {
        assert!(!other.asks_for_password(), "{what}: {other:#?}");
        // The answer to one question given to the other, and the other way round.
        for (form, interaction) in [(&shown, value(other, "interaction")), (other, value(&shown, "interaction"))] {
            let swapped = browser.consent(&with(form, "interaction", interaction)).await;
            assert!(swapped.status == 403 && swapped.leaves_to.is_none(), "{what}: {swapped:#?}");
        }
    }
    for unknown in ["", "x", &"A".repeat(43)] {
        let page = browser.consent(&with(&shown, "interaction", unknown)).await;
        assert!(page.status == 400 && page.leaves_to.is_none(), "{unknown}: {page:#?}");
    }
    // A form that asks for more than its page showed, and for somebody else: whatever is added counts for nothing.
    let mut wider = shown.clone();
    for (name, value) in [
        ("scope", "openid email hj:users.write"),
        ("scopes", "email"),
        ("client_id", "backend"),
        ("redirect_uri", "https://backend.example/callback"),
        ("authorization_details", "[{\"type\":\"payment\"}]"),
    ] {
        wider = with(&wider, name, value);
    }
    let callback = browser.consent(&wider).await.expect_callback();
    assert!(callback.as_str().starts_with(APP_REDIRECT), "{callback}");
    assert_eq!(granted(&tenant.app, &narrow, &callback).await, ("app".to_owned(), "openid".to_owned()));
    // It was one answer to one question: it is no answer to the others, which still wait.
    assert_eq!(browser.consent(&shown).await.status, 400);
    let silent = browser.open(&tenant.app.attempt_with(&[("prompt", Some("none"))]).url).await.expect_callback();
    assert_eq!(parameters(&silent)["error"], "consent_required");
    let callback = browser.consent(&asked_by_others).await.expect_callback();
    let (client_id, scope) = granted(&tenant.backend, &others, &callback).await;
    assert!(client_id == "backend" && scope.contains("email"), "{client_id}: {scope}");
    let callback = browser.consent(&asked_for_more).await.expect_callback();
    assert_eq!(granted(&tenant.app, &wide, &callback).await.0, "app");
}

/// What comes of a second request in a browser where the first was allowed, and of a silent one.
async fn asked_again(tenant: &Tenant, party: &RelyingParty) -> (bool, Option<String>) {
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    let login = browser.open_page(&party.attempt().url).await.expect_form();
    let mut page = browser.sign_in(&login, &alice.email, &alice.password).await;
    if page.leaves_to.is_none() {
        page = browser.consent(&page.expect_form()).await;
    }
    assert!(parameters(&page.expect_callback()).contains_key("code"), "{page:#?}");

    let attempt = party.attempt();
    let again = browser.open(&attempt.url).await;
    let is_asked = again.leaves_to.is_none();
    let callback = if is_asked {
        assert!(again.text().contains("Allow access?") && !again.expect_form().asks_for_password(), "{again:#?}");
        browser.consent(&again.expect_form()).await.expect_callback()
    } else {
        again.expect_callback()
    };
    assert_eq!(granted(party, &attempt, &callback).await.0, party.client_id);
    // By the code that was just redeemed, too, nothing is known of who asks next.
    let silent = browser.open(&party.attempt_with(&[("prompt", Some("none"))]).url).await.expect_callback();
    (is_asked, parameters(&silent).remove("error"))
}

#[tokio::test]
async fn a_client_that_anybody_may_be_is_asked_about_each_time() {
    let world = world::shared().await;
    let required = Some("consent_required".to_owned());
    let any_port = NATIVE_REDIRECT.replace("8123", "49152");
    for (redirect_uri, changes, expected) in [
        // Any program of the device may listen there, or have the scheme (RFC 8252 §8.6).
        (NATIVE_REDIRECT, json!({}), (true, required.clone())),
        (any_port.as_str(), json!({}), (true, required.clone())),
        (PRIVATE_USE, json!({}), (true, required.clone())),
        ("https://localhost/callback", json!({}), (true, required)),
        // The site is its own.
        (APP_REDIRECT, json!({}), (false, None)),
        // The operator vouches for it.
        (NATIVE_REDIRECT, json!({ "require_consent": false }), (false, None)),
    ] {
        let tenant = world.tenant("anybody").await;
        let uris = [APP_REDIRECT, NATIVE_REDIRECT, PRIVATE_USE, "https://localhost/callback"];
        tenant.patch_client("app", &json!({ "redirect_uris": uris })).await;
        tenant.patch_client("app", &changes).await;
        let app = RelyingParty { redirect_uri: redirect_uri.to_owned(), ..tenant.app.clone() };
        assert_eq!(asked_again(&tenant, &app).await, expected, "{redirect_uri} {changes}");
    }
    // Who authenticates is known, wherever the browser is sent.
    let tenant = world.tenant("somebody").await;
    let changes = json!({ "require_consent": true, "redirect_uris": [NATIVE_REDIRECT] });
    tenant.patch_client("backend", &changes).await;
    let backend = RelyingParty { redirect_uri: NATIVE_REDIRECT.to_owned(), ..tenant.backend.clone() };
    assert_eq!(asked_again(&tenant, &backend).await, (false, None));
}
