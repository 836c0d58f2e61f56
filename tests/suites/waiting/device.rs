//! The device flow (RFC 8628), from the device's first request to its tokens, and what must not work.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{RelyingParty, Tokens};
use tests::tenant::Tenant;
use tests::tokens::Jwt;
use tests::web::{self, Answer};
use tests::webdriver::Chromium;

use super::{
    SCOPES, add_client, expire, forget_last_question, open_signed_in, page_url, payment, press, refused, short,
    with_client, with_payments,
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn tv() -> Value {
    json!({
        "client_id": "tv", "name": "The TV", "token_endpoint_auth_method": "none", "scopes": SCOPES,
        "grant_types": [GRANT, "refresh_token"],
    })
}

async fn stage(name: &str) -> (Tenant, RelyingParty) {
    with_client(name, short(), tv()).await
}

async fn begin(tv: &RelyingParty) -> Answer {
    let form = [("client_id", tv.client_id.as_str()), ("scope", "openid profile offline_access")];
    web::send(tv.http.post(tv.endpoint("device_authorization")).form(&form)).await.expect(200)
}

async fn ask(party: &RelyingParty, device_code: &str) -> Answer {
    party.token(&[("grant_type", GRANT), ("device_code", device_code)]).await
}

#[tokio::test]
async fn a_device_is_connected_by_a_code_that_a_person_types_as_they_like() {
    let (tenant, tv) = stage("connected").await;
    let alice = tenant.user("alice").await;
    let begun = begin(&tv).await;
    assert_eq!(begun.header("cache-control"), Some("no-store"));
    let (device_code, user_code) = (begun.text_of("device_code"), begun.text_of("user_code"));
    assert!(device_code.len() >= 43, "{device_code}");
    assert_eq!(begun.json["verification_uri"], format!("{}/oauth2/device", tenant.issuer));
    assert_eq!(
        begun.json["verification_uri_complete"],
        format!("{}/oauth2/device?user_code={user_code}", tenant.issuer)
    );
    assert_eq!((&begun.json["interval"], &begun.json["expires_in"]), (&json!(60), &json!(600)));
    let metadata = tv.discovery().await.json;
    assert_eq!(metadata["device_authorization_endpoint"], tv.endpoint("device_authorization"));
    assert!(metadata["grant_types_supported"].as_array().expect("a list").contains(&json!(GRANT)));

    refused(&ask(&tv, &device_code).await, "authorization_pending");
    // Faster than allowed; and another client learns nothing, nor slows it down.
    refused(&ask(&tv, &device_code).await, "slow_down");
    let client = json!({
        "name": "Other", "token_endpoint_auth_method": "none", "scopes": SCOPES, "grant_types": [GRANT],
    });
    let other = add_client(&tenant, client).await;
    refused(&ask(&other, &device_code).await, "invalid_grant");

    // Typed in small letters with spaces, in a browser that nobody is signed in to.
    let browser = Browser::new();
    let page = browser.open_page(&page_url(&tenant, "/oauth2/device", &[])).await;
    let typed = user_code.to_lowercase().replace('-', " ");
    let page = browser.submit(&page.expect_form(), &[("user_code", &typed)], None).await;
    assert!(page.expect_form().asks_for_password(), "{page:#?}");
    let page = browser.sign_in(&page.expect_form(), &alice.email, &alice.password).await;
    // The code is shown for comparison, with who asks and what for; nothing is allowed yet.
    for words in [user_code.as_str(), "The TV", alice.email.as_str(), "Keep this access while you are away"] {
        assert!(page.text().contains(words), "{words}: {page:#?}");
    }
    assert!(page.body.contains("<svg"), "no QR code: {page:#?}");
    forget_last_question(&tenant, "device_codes").await;
    refused(&ask(&tv, &device_code).await, "authorization_pending");
    let done = press(&browser, &page, "allow").await;
    assert!(done.text().contains("Device connected"), "{done:#?}");

    // Of any number of questions at once, one gets tokens.
    let answers = join_all((0..8).map(|_| ask(&tv, &device_code))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1, "{lost:#?}");
    for answer in &lost {
        refused(answer, "invalid_grant");
    }
    let tokens = Tokens::read(won.into_iter().next().expect("one"));
    let id = Jwt::parse(tokens.id()).claims;
    assert_eq!((&id["sub"], &id["aud"], id.get("sid")), (&json!(alice.id), &json!("tv"), None));
    assert_eq!(tv.userinfo(&tokens.access).await.expect(200).json["name"], "alice");
    let again = Tokens::read(tv.refresh(tokens.refresh()).await);
    assert_eq!(tv.userinfo(&again.access).await.expect(200).json["sub"], json!(alice.id));
    // Once.
    let page = browser.open(&page_url(&tenant, "/oauth2/device", &[("user_code", &user_code)])).await;
    assert_eq!(page.status, 404, "{page:#?}");
}

#[tokio::test]
async fn a_link_with_the_code_allows_nothing_and_a_no_is_told() {
    let (tenant, tv) = stage("denied").await;
    let alice = tenant.user("alice").await;
    let begun = begin(&tv).await;
    let (device_code, complete) = (begun.text_of("device_code"), begun.text_of("verification_uri_complete"));
    let browser = Browser::new();
    let page = open_signed_in(&browser, &complete.parse().expect("a URL"), &alice).await;
    assert!(page.text().contains(&begun.text_of("user_code")), "{page:#?}");
    // Neither the link, nor a form without the page's token, nor one of another code.
    browser.open_page(&complete.parse().expect("a URL")).await;
    refused(&ask(&tv, &device_code).await, "authorization_pending");
    let mut forged = page.expect_form();
    forged.fields.retain(|field| field.name != "csrf");
    let allow = forged.buttons.iter().find(|button| button.value == "allow").cloned();
    assert_eq!(browser.submit(&forged, &[], allow.as_ref()).await.status, 403);
    let other = begin(&tv).await.text_of("user_code");
    assert_eq!(browser.submit(&page.expect_form(), &[("user_code", &other)], allow.as_ref()).await.status, 403);
    forget_last_question(&tenant, "device_codes").await;
    refused(&ask(&tv, &device_code).await, "authorization_pending");

    let done = press(&browser, &page, "deny").await;
    assert!(done.text().contains("Not connected"), "{done:#?}");
    refused(&ask(&tv, &device_code).await, "access_denied");
    // Too late to think again.
    assert_eq!(press(&browser, &page, "allow").await.status, 404);
    refused(&ask(&tv, &device_code).await, "access_denied");
}

#[tokio::test]
async fn what_is_unknown_expired_or_of_another_tenant_is_refused() {
    let (tenant, tv) = stage("refused").await;
    let (other, other_tv) = stage("elsewhere").await;
    let (alice, bob) = (tenant.user("alice").await, other.user("bob").await);
    for code in ["garbage", "' OR 1=1--", &"x".repeat(8000)] {
        refused(&ask(&tv, code).await, "invalid_grant");
    }
    refused(&tv.token(&[("grant_type", GRANT)]).await, "invalid_request");
    let begun = begin(&tv).await;
    let (device_code, user_code) = (begun.text_of("device_code"), begun.text_of("user_code"));
    refused(&ask(&other_tv, &device_code).await, "invalid_grant");
    let page =
        open_signed_in(&Browser::new(), &page_url(&other, "/oauth2/device", &[("user_code", &user_code)]), &bob).await;
    assert_eq!(page.status, 404, "{page:#?}");

    expire(&tenant, "device_codes").await;
    refused(&ask(&tv, &device_code).await, "expired_token");
    let page =
        open_signed_in(&Browser::new(), &page_url(&tenant, "/oauth2/device", &[("user_code", &user_code)]), &alice)
            .await;
    assert_eq!(page.status, 404, "{page:#?}");

    // The request itself.
    let post = |form: &[(&str, &str)]| web::send(tv.http.post(tv.endpoint("device_authorization")).form(form));
    refused(&post(&[("client_id", "tv"), ("scope", "admin")]).await, "invalid_scope");
    refused(&post(&[("client_id", "tv"), ("scope", "openid"), ("resource", "urn:x")]).await, "invalid_target");
    refused(&post(&[("client_id", "app"), ("scope", "openid")]).await, "unauthorized_client");
    assert_eq!(post(&[("client_id", "nobody"), ("scope", "openid")]).await.expect(401).code(), "invalid_client");
    assert_eq!(post(&[("client_id", "backend"), ("scope", "openid")]).await.expect(401).code(), "invalid_client");
    let get = web::send(tv.http.get(tv.endpoint("device_authorization"))).await.expect(405);
    assert_eq!(get.header("allow"), Some("POST"));
}

#[tokio::test]
async fn guessing_codes_takes_a_session_and_ends_soon() {
    let (tenant, tv) = stage("guessing").await;
    let alice = tenant.user("alice").await;
    let known = begin(&tv).await.text_of("user_code");
    // Nobody who is not signed in learns whether a code is known.
    let stranger = Browser::new();
    let url = |code: &str| page_url(&tenant, "/oauth2/device", &[("user_code", code)]);
    for code in [known.as_str(), "BCDFGHJKL"] {
        assert!(stranger.open_page(&url(code)).await.expect_form().asks_for_password());
    }
    let browser = Browser::new();
    open_signed_in(&browser, &page_url(&tenant, "/login", &[]), &alice).await;
    let letters = "BCDFGHJKLMNPQRSTVWXZ";
    let mut statuses = Vec::new();
    for last in letters.chars() {
        // A right one in between does not help the guesser.
        assert!([200, 429].contains(&browser.open(&url(&known)).await.status));
        let page = browser.open(&url(&format!("BBBBBBBB{last}"))).await;
        assert_eq!(page.status == 429, page.headers.contains_key("retry-after"), "{page:#?}");
        statuses.push(page.status);
    }
    let first = statuses.iter().position(|status| *status == 429);
    assert!(first.is_some_and(|first| first <= 12), "{statuses:?}");
}

#[tokio::test]
async fn what_a_device_asks_in_detail_is_shown_and_granted() {
    let mut client = tv();
    client["authorization_details_types"] = json!(["payment"]);
    let (tenant, tv) = with_client("device-details", with_payments(), client).await;
    let alice = tenant.user("alice").await;
    let begin = async |details: &Value| {
        let details = details.to_string();
        let form = [("client_id", "tv"), ("scope", "openid"), ("authorization_details", details.as_str())];
        web::send(tv.http.post(tv.endpoint("device_authorization")).form(&form)).await
    };
    refused(&begin(&json!([{ "type": "payment", "to": "me" }])).await, "invalid_authorization_details");
    let begun = begin(&payment()).await.expect(200);
    let code = begun.text_of("user_code");
    let browser = Browser::new();
    let url = page_url(&tenant, "/oauth2/device", &[("user_code", code.as_str())]);
    let page = open_signed_in(&browser, &url, &alice).await;
    assert!(page.text().contains("Make a payment") && page.text().contains("12.50 EUR"), "{page:#?}");
    press(&browser, &page, "allow").await;
    let tokens = Tokens::read(ask(&tv, &begun.text_of("device_code")).await);
    assert_eq!(tokens.answer.json["authorization_details"], payment());
    assert_eq!(Jwt::parse(&tokens.access).claims["authorization_details"], payment());
}

#[tokio::test]
async fn codes_are_stored_as_digests_and_never_repeat() {
    let (tenant, tv) = stage("digests").await;
    let answers = join_all((0..20).map(|_| begin(&tv))).await;
    let secrets: BTreeSet<String> =
        answers.iter().flat_map(|answer| [answer.text_of("device_code"), answer.text_of("user_code")]).collect();
    assert_eq!(secrets.len(), 40);
    let dump = tenant.database.dump().await;
    for secret in &secrets {
        assert!(!dump.contains(secret) && !dump.contains(&secret.replace('-', "")), "{secret}");
    }
}

/// Looks at the page as wide and narrow, light and dark screens show it.
pub(super) async fn look(chromium: &Chromium, name: &str) {
    chromium.look(name).await;
    let console = chromium.console().await;
    assert!(!console.contains("Content Security Policy"), "{name}: {console}");
}

#[tokio::test]
async fn a_person_does_it_in_a_browser() {
    let (tenant, tv) = stage("chromium").await;
    tenant.patch(&json!({ "settings": { "registration_enabled": true } })).await;
    let begun = begin(&tv).await;
    let chromium = Chromium::start().await;
    chromium.open(&begun.text_of("verification_uri")).await;
    chromium.says("Connect a device").await;
    look(&chromium, "device-code").await;
    chromium.fill("#user_code", "abc").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("not such a code").await;
    look(&chromium, "device-wrong").await;
    chromium.fill("#user_code", &begun.text_of("user_code").to_lowercase()).await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Sign in").await;
    // By way of a new account, the code is not forgotten.
    chromium.follow(".foot a").await;
    chromium.says("Create an account").await;
    chromium.fill("#email", "ada@people.example").await;
    chromium.fill("#password", "a horse with a staple").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Is this your device?").await;
    chromium.click("summary").await;
    look(&chromium, "device-confirm").await;
    chromium.follow("button[value=allow]").await;
    chromium.says("Device connected").await;
    look(&chromium, "device-done").await;
    let tokens = Tokens::read(ask(&tv, &begun.text_of("device_code")).await);
    assert_eq!(tv.userinfo(&tokens.access).await.expect(200).status, 200);
}
