//! CIBA (OIDC CIBA Core 1.0) in the modes poll and ping: a client asks, the user answers on the account page.

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::listener::{Answer as Says, Listener};
use tests::relying_party::{RelyingParty, Tokens};
use tests::tenant::{Tenant, User};
use tests::tokens::Jwt;
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};
use tests::webdriver::Chromium;

use super::device::look;
use super::{
    SCOPES, add_client, expire, forget_last_question, open_signed_in, page_url, payment, press, refused, short,
    with_client, with_payments,
};

const GRANT: &str = "urn:openid:params:grant-type:ciba";

fn bank(more: &Value) -> Value {
    let mut client = json!({
        "client_id": "bank", "name": "The Bank", "token_endpoint_auth_method": "client_secret_basic",
        "scopes": SCOPES, "grant_types": [GRANT, "refresh_token"], "backchannel_token_delivery_mode": "poll",
    });
    client.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    client
}

async fn stage(name: &str) -> (Tenant, RelyingParty, User) {
    let (tenant, bank) = with_client(name, short(), bank(&json!({}))).await;
    let alice = tenant.user("alice").await;
    (tenant, bank, alice)
}

async fn request(bank: &RelyingParty, form: &[(&str, &str)]) -> Answer {
    let request = bank.http.post(bank.endpoint("bc-authorize")).form(form);
    web::send(request.basic_auth(&bank.client_id, bank.secret.as_deref())).await
}

async fn ask(bank: &RelyingParty, auth_req_id: &str) -> Answer {
    bank.token(&[("grant_type", GRANT), ("auth_req_id", auth_req_id)]).await
}

#[tokio::test]
async fn a_client_that_polls_gets_tokens_once_the_user_allowed_it() {
    let (tenant, bank, alice) = stage("poll").await;
    let metadata = bank.discovery().await.json;
    assert_eq!(metadata["backchannel_authentication_endpoint"], bank.endpoint("bc-authorize"));
    assert_eq!(metadata["backchannel_token_delivery_modes_supported"], json!(["poll", "ping"]));
    assert_eq!(metadata["backchannel_user_code_parameter_supported"], false);

    let form = [
        ("scope", "openid profile offline_access"),
        ("login_hint", alice.email.as_str()),
        ("binding_message", "W4SCT"),
        ("requested_expiry", "120"),
    ];
    let begun = request(&bank, &form).await.expect(200);
    assert_eq!((&begun.json["expires_in"], &begun.json["interval"]), (&json!(120), &json!(60)));
    assert_eq!(begun.header("cache-control"), Some("no-store"));
    let auth_req_id = begun.text_of("auth_req_id");
    refused(&ask(&bank, &auth_req_id).await, "authorization_pending");
    refused(&ask(&bank, &auth_req_id).await, "slow_down");

    // Not by the page of somebody else.
    let eve = tenant.user("eve").await;
    let elsewhere = Browser::new();
    let account = page_url(&tenant, "/account", &[]);
    let page = open_signed_in(&elsewhere, &account, &eve).await;
    assert!(page.text().contains("Nothing waits"), "{page:#?}");

    let browser = Browser::new();
    let page = open_signed_in(&browser, &account, &alice).await;
    for words in ["The Bank", "W4SCT", "See your profile"] {
        assert!(page.text().contains(words), "{words}: {page:#?}");
    }
    // Her form in another's browser, and without its token.
    let mut forged = page.expect_form();
    let allow = forged.buttons.iter().find(|button| button.value == "allow").cloned();
    assert_eq!(elsewhere.submit(&forged, &[], allow.as_ref()).await.status, 403);
    forged.fields.retain(|field| field.name != "csrf");
    assert_eq!(browser.submit(&forged, &[], allow.as_ref()).await.status, 403);
    forget_last_question(&tenant, "ciba_requests").await;
    refused(&ask(&bank, &auth_req_id).await, "authorization_pending");

    let done = press(&browser, &page, "allow").await;
    assert!(done.text().contains("You allowed it.") && done.text().contains("Nothing waits"), "{done:#?}");
    let tokens = Tokens::read(ask(&bank, &auth_req_id).await);
    let id = Jwt::parse(tokens.id()).claims;
    assert_eq!((&id["sub"], &id["aud"]), (&json!(alice.id), &json!("bank")));
    assert_eq!(bank.userinfo(&tokens.access).await.expect(200).json["name"], "alice");
    Tokens::read(bank.refresh(tokens.refresh()).await);
    refused(&ask(&bank, &auth_req_id).await, "invalid_grant");

    // By an ID token of hers, and she says no.
    let begun = request(&bank, &[("scope", "openid"), ("id_token_hint", tokens.id())]).await.expect(200);
    let page = browser.open_page(&account).await;
    assert!(press(&browser, &page, "deny").await.text().contains("You denied it."));
    refused(&ask(&bank, &begun.text_of("auth_req_id")).await, "access_denied");
    // Nor in time.
    let begun = request(&bank, &[("scope", "openid"), ("login_hint", &alice.email)]).await.expect(200);
    let page = browser.open_page(&account).await;
    expire(&tenant, "ciba_requests").await;
    assert!(press(&browser, &page, "allow").await.text().contains("waits no more"));
    refused(&ask(&bank, &begun.text_of("auth_req_id")).await, "expired_token");
}

#[tokio::test]
async fn a_client_that_is_pinged_learns_of_the_answer_though_it_was_away() {
    let (tenant, _, alice) = stage("ping").await;
    let listener = Listener::start().await;
    listener.answers(Says::Status(503));
    let pinged = bank(&json!({
        "client_id": "pinged", "backchannel_token_delivery_mode": "ping",
        "backchannel_client_notification_endpoint": listener.url("/ping"),
    }));
    let pinged = add_client(&tenant, pinged).await;
    let form = [("scope", "openid"), ("login_hint", alice.email.as_str())];
    refused(&request(&pinged, &form).await, "invalid_request");
    let browser = Browser::new();
    let account = page_url(&tenant, "/account", &[]);
    let token = "secret-notification-token";
    let mut pings = 0;
    for (answer, error) in [("allow", None), ("deny", Some("access_denied"))] {
        let form = [form.as_slice(), &[("client_notification_token", token)]].concat();
        let auth_req_id = request(&pinged, &form).await.expect(200).text_of("auth_req_id");
        let dump = tenant.database.dump().await;
        assert!(!dump.contains(token) && !dump.contains(&auth_req_id), "a secret is stored as it is");
        let page = open_signed_in(&browser, &account, &alice).await;
        press(&browser, &page, answer).await;
        // It fails at first, and is tried again.
        listener.got(pings + 1).await;
        listener.answers(Says::Status(204));
        let got = listener.got(pings + 2).await;
        pings = got.len();
        for ping in &got[pings - 2..] {
            assert_eq!((ping.method.as_str(), ping.target.as_str()), ("POST", "/ping"));
            assert_eq!(ping.header("authorization"), Some("Bearer secret-notification-token"));
            assert_eq!(ping.header("content-type"), Some("application/json"));
            assert_eq!(ping.body, json!({ "auth_req_id": auth_req_id }).to_string());
        }
        let asked = ask(&pinged, &auth_req_id).await;
        match error {
            None => drop(Tokens::read(asked)),
            Some(error) => refused(&asked, error),
        }
        listener.answers(Says::Status(503));
    }
    let database = tenant.database.connect().await;
    until("the outbox is empty", PATIENCE, async || {
        let row = database.query_one("select count(*) from outbox", &[]).await.map_err(|error| error.to_string())?;
        let left: i64 = row.get(0);
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn what_is_asked_in_detail_is_shown_and_granted() {
    let client = bank(&json!({ "authorization_details_types": ["payment"] }));
    let (tenant, bank) = with_client("ciba-details", with_payments(), client).await;
    let alice = tenant.user("alice").await;
    let details = payment().to_string();
    let hint = ("login_hint", alice.email.as_str());
    let form = [("scope", "openid"), hint, ("authorization_details", details.as_str())];
    let begun = request(&bank, &form).await.expect(200);
    for wrong in [json!([{ "type": "files" }]), json!([{ "type": "payment" }]), json!("x")] {
        let wrong = wrong.to_string();
        let form = [("scope", "openid"), hint, ("authorization_details", wrong.as_str())];
        refused(&request(&bank, &form).await, "invalid_authorization_details");
    }
    let browser = Browser::new();
    let page = open_signed_in(&browser, &page_url(&tenant, "/account", &[]), &alice).await;
    assert!(page.text().contains("Make a payment") && page.text().contains("12.50 EUR"), "{page:#?}");
    press(&browser, &page, "allow").await;
    let tokens = Tokens::read(ask(&bank, &begun.text_of("auth_req_id")).await);
    assert_eq!(tokens.answer.json["authorization_details"], payment());
    assert_eq!(Jwt::parse(&tokens.access).claims["authorization_details"], payment());
}

#[tokio::test]
async fn what_a_client_may_not_ask_is_refused_by_name() {
    let (tenant, bank, alice) = stage("ciba-refused").await;
    let (other, other_bank, bob) = stage("ciba-other").await;
    let hint = ("login_hint", alice.email.as_str());
    let openid = ("scope", "openid");
    let foreign = tenant.backend.sign_in(&alice).await;
    let long = "x".repeat(101);
    let rows: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("invalid_scope", vec![hint]),
        ("invalid_scope", vec![hint, ("scope", "profile")]),
        ("invalid_request", vec![openid]),
        ("invalid_request", vec![openid, hint, ("id_token_hint", "x")]),
        ("invalid_request", vec![openid, ("login_hint_token", "x")]),
        ("invalid_request", vec![openid, ("id_token_hint", "garbage")]),
        ("invalid_request", vec![openid, ("id_token_hint", foreign.id())]),
        ("invalid_request", vec![openid, hint, ("request", "x")]),
        ("invalid_request", vec![openid, hint, ("requested_expiry", "-1")]),
        ("invalid_binding_message", vec![openid, hint, ("binding_message", &long)]),
        ("unknown_user_id", vec![openid, ("login_hint", "nobody@example.com")]),
        ("unknown_user_id", vec![openid, ("login_hint", bob.email.as_str())]),
        ("unknown_user_id", vec![openid, ("login_hint", "pg_sleep(9)")]),
    ];
    for (error, form) in &rows {
        refused(&request(&bank, form).await, error);
    }
    tenant.replace_keys().await;
    refused(&request(&bank, &[openid, ("id_token_hint", foreign.id())]).await, "unknown_user_id");
    let wrong = request(&bank.with_secret("wrong"), &[openid, hint]).await.expect(401);
    assert_eq!(wrong.code(), "invalid_client");
    refused(&request(&tenant.backend, &[openid, hint]).await, "unauthorized_client");
    let public = web::send(bank.http.post(bank.endpoint("bc-authorize")).form(&[("client_id", "app"), openid, hint]));
    refused(&public.await, "unauthorized_client");
    // Nobody is worn out.
    for _ in 0..5 {
        let _ = request(&bank, &[openid, hint]).await.expect(200);
    }
    refused(&request(&bank, &[openid, hint]).await, "access_denied");
    // Another tenant's, and nobody's.
    let begun = request(&other_bank, &[openid, ("login_hint", &bob.email)]).await.expect(200);
    refused(&ask(&bank, &begun.text_of("auth_req_id")).await, "invalid_grant");
    refused(&ask(&bank, "garbage").await, "invalid_grant");
    assert_eq!(other.slug, bob.email.split(['@', '.']).nth(1).unwrap_or_default());

    // Registration.
    let path = format!("/tenants/{}/clients/app", tenant.slug);
    let public = json!({ "grant_types": [GRANT], "backchannel_token_delivery_mode": "poll" });
    assert_eq!(tenant.admin.patch(&path, &public).await.expect_refused().pointers(), ["/grant_types"]);
    let path = format!("/tenants/{}/clients/bank", tenant.slug);
    let push = json!({ "backchannel_token_delivery_mode": "push" });
    let _ = tenant.admin.patch(&path, &push).await.expect_refused();
    let nowhere = json!({ "backchannel_token_delivery_mode": "ping" });
    let pointers = ["/backchannel_client_notification_endpoint"];
    assert_eq!(tenant.admin.patch(&path, &nowhere).await.expect_refused().pointers(), pointers);
}

#[tokio::test]
async fn a_person_answers_in_a_browser() {
    let (tenant, bank, alice) = stage("ciba-chromium").await;
    let form =
        [("scope", "openid profile"), ("login_hint", alice.email.as_str()), ("binding_message", "Pay 12 € to Bob")];
    let begun = request(&bank, &form).await.expect(200);
    let _ = request(&bank, &form[..2]).await.expect(200);
    let chromium = Chromium::start().await;
    chromium.open(page_url(&tenant, "/account", &[]).as_str()).await;
    chromium.says("Sign in").await;
    chromium.fill("#email", &alice.email).await;
    chromium.fill("#password", &alice.password).await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Pay 12 € to Bob").await;
    look(&chromium, "account").await;
    chromium.follow("button[value=allow]").await;
    chromium.says("You allowed it.").await;
    look(&chromium, "account-allowed").await;
    Tokens::read(ask(&bank, &begun.text_of("auth_req_id")).await);
    chromium.follow("button[value=deny]").await;
    chromium.says("Nothing waits for your answer.").await;
    look(&chromium, "account-empty").await;
}
