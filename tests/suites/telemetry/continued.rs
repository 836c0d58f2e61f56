//! What a client began by itself goes on in one trace, over the user's answer to the tokens: a pushed request, a device's,
//! one of CIBA. Nobody brings a trace along.

use serde_json::{Value, json};
use tests::browser::{Browser, Page};
use tests::relying_party::{RelyingParty, parameters};
use tests::tenant::{Tenant, User};
use tests::traces::Collector;
use tests::wait::{PATIENCE, until};
use tests::web;
use url::Url;

use super::{has_spans, is_connected, traced};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const CIBA: &str = "urn:openid:params:grant-type:ciba";

/// The one trace that `first` began, once it has these steps and nothing else begins in it.
async fn leads_to(collector: &Collector, first: &str, steps: &[&str]) {
    let trace_id = until("the first request was told of", PATIENCE, async || {
        collector.traces_with(first).pop().ok_or("not yet".to_owned())
    })
    .await;
    let names: Vec<_> = [first].iter().chain(steps).map(|step| format!("dataplane-service: {step}")).collect();
    has_spans(collector, &trace_id, &names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>()).await;
    is_connected(collector, &trace_id).await;
    let spans = collector.spans(&trace_id);
    let began: Vec<_> = spans.iter().filter(|span| span.parent_span_id.is_empty()).map(|span| &span.name).collect();
    assert_eq!(began, [first]);
    for step in steps {
        assert_eq!(spans.iter().filter(|span| span.name == *step).count(), 1, "{step}: {spans:#?}");
    }
}

async fn add(tenant: &Tenant, client: Value) -> RelyingParty {
    let clients = format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug);
    let answer = tenant.admin.post(&clients, &client).await.expect(201);
    let secret = answer.json["client_secret"].as_str().map(ToOwned::to_owned);
    RelyingParty::new(&tenant.issuer, &answer.text_of("client_id"), secret, "")
}

/// Opens a page of the tenant and signs in where it asks.
async fn signed_in(browser: &Browser, tenant: &Tenant, path: &str, user: &User) -> Page {
    let url = Url::parse(&format!("{}{path}", tenant.issuer)).expect("a URL");
    let page = browser.open_page(&url).await;
    match page.form() {
        Some(form) if form.asks_for_password() => browser.sign_in(&form, &user.email, &user.password).await,
        _ => page,
    }
}

async fn allow(browser: &Browser, page: &Page) {
    let form = page.expect_form();
    let button = form.buttons.iter().find(|button| button.value == "allow");
    let done = browser.submit(&form, &[], Some(button.unwrap_or_else(|| panic!("{page:#?}")))).await;
    assert_eq!(done.status, 200, "{done:#?}");
}

async fn pushed(tenant: &Tenant, alice: &User) {
    let attempt = tenant.app.attempt();
    let form: Vec<(String, String)> = attempt.url.query_pairs().into_owned().collect();
    let request = tenant.app.http.post(tenant.app.endpoint("par")).form(&form);
    let uri = web::send(request).await.expect(201).text_of("request_uri");
    let reference = [("client_id", tenant.app.client_id.as_str()), ("request_uri", &uri)];
    let url = Url::parse_with_params(&tenant.app.endpoint("authorize"), reference).expect("a URL");
    let callback = Browser::new().authorize(&url, alice).await;
    let _ = tenant.app.redeem(&parameters(&callback)["code"], &attempt.verifier).await.expect(200);
}

async fn device(tenant: &Tenant, alice: &User) {
    let tv = json!({
        "client_id": "tv", "name": "The TV", "token_endpoint_auth_method": "none", "scopes": ["openid"],
        "grant_types": [DEVICE],
    });
    let tv = add(tenant, tv).await;
    let form = [("client_id", "tv"), ("scope", "openid")];
    let begun = web::send(tv.http.post(tv.endpoint("device_authorization")).form(&form)).await.expect(200);
    let form = [("grant_type", DEVICE), ("device_code", &begun.text_of("device_code"))];
    assert_eq!(tv.token(&form).await.expect(400).code(), "authorization_pending");
    let browser = Browser::new();
    let path = format!("/oauth2/device?user_code={}", begun.text_of("user_code"));
    let page = signed_in(&browser, tenant, &path, alice).await;
    allow(&browser, &page).await;
    let _ = tv.token(&form).await.expect(200);
}

async fn backchannel(tenant: &Tenant, alice: &User) {
    let bank = json!({
        "client_id": "bank", "name": "The Bank", "token_endpoint_auth_method": "client_secret_basic",
        "scopes": ["openid"], "grant_types": [CIBA], "backchannel_token_delivery_mode": "poll",
    });
    let bank = add(tenant, bank).await;
    let asked = bank.back_channel("bc-authorize", &[("scope", "openid"), ("login_hint", &alice.email)]);
    let begun = web::send(asked).await.expect(200);
    let browser = Browser::new();
    let page = signed_in(&browser, tenant, "/account", alice).await;
    allow(&browser, &page).await;
    let _ = bank.token(&[("grant_type", CIBA), ("auth_req_id", &begun.text_of("auth_req_id"))]).await.expect(200);
}

#[tokio::test]
async fn what_a_client_begins_is_one_trace_to_the_tokens() {
    let collector = Collector::start().await;
    let world = traced(&collector, 1).await;
    let tenant = Tenant::create(&world, "begun").await;
    let alice = tenant.user("alice").await;
    pushed(&tenant, &alice).await;
    let steps = ["authorize", "sign in", "consent", "redeem the code"];
    leads_to(&collector, "POST /t/{slug}/oauth2/par", &steps).await;
    device(&tenant, &alice).await;
    leads_to(&collector, "POST /t/{slug}/oauth2/device_authorization", &["answer", "redeem the code"]).await;
    backchannel(&tenant, &alice).await;
    leads_to(&collector, "POST /t/{slug}/oauth2/bc-authorize", &["answer", "redeem the code"]).await;
}
