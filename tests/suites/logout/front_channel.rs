//! OIDC Front-Channel Logout 1.0 in a real Chromium: the frames are loaded, and the browser goes on without a script.

use serde_json::json;
use tests::listener::Listener;
use tests::relying_party::RelyingParty;
use tests::tenant::Tenant;
use tests::tokens::Jwt;
use tests::webdriver::Chromium;

use super::{logout_url, world};

async fn look(chromium: &Chromium, name: &str) {
    chromium.look(name).await;
    let console = chromium.console().await;
    assert!(!console.contains("Content Security Policy"), "{name}: {console}");
}

#[tokio::test]
async fn every_client_of_the_session_is_shown_in_a_frame_and_then_the_browser_goes_back() {
    let tenant = Tenant::create(world().await, "frames").await;
    let alice = tenant.user("alice").await;
    let (app, backend) = (Listener::start().await, Listener::start().await);
    let redirect_uri = backend.url("/callback");
    tenant
        .patch_client(
            "app",
            &json!({
                "frontchannel_logout_uri": app.url("/out;odd"), "redirect_uris": [app.url("/callback")],
                "require_consent": false,
            }),
        )
        .await;
    tenant
        .patch_client(
            "backend",
            &json!({
                "frontchannel_logout_uri": backend.url("/out?keep=1"), "frontchannel_logout_session_required": true,
                "redirect_uris": [redirect_uri], "post_logout_redirect_uris": [backend.url("/bye")],
            }),
        )
        .await;
    let chromium = Chromium::start().await;
    let party = RelyingParty { redirect_uri, ..tenant.backend.clone() };
    let attempt = party.attempt();
    chromium.open(attempt.url.as_str()).await;
    chromium.fill("#email", &alice.email).await;
    chromium.fill("#password", &alice.password).await;
    chromium.follow("button[type=submit]").await;
    let arrived = chromium.arrives_at(&backend.url("/callback")).await.parse().expect("a URL");
    let code = &tests::relying_party::parameters(&arrived)["code"];
    let tokens = tests::relying_party::Tokens::read(party.redeem(code, &attempt.verifier).await);
    let party = RelyingParty { redirect_uri: app.url("/callback"), ..tenant.app.clone() };
    chromium.open(party.attempt().url.as_str()).await;
    chromium.arrives_at(&app.url("/callback")).await;

    // Asked first, because there is no hint.
    let bye = backend.url("/bye");
    let parameters = [("client_id", "backend"), ("post_logout_redirect_uri", bye.as_str()), ("state", "s")];
    chromium.open(logout_url(&tenant, &parameters).as_str()).await;
    chromium.says("Sign out?").await;
    look(&chromium, "logout-asked").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("You are signed out").await;
    let frames = chromium.evaluate("document.querySelectorAll('iframe').length").await;
    assert_eq!(frames, 2);
    look(&chromium, "logout-frames").await;
    chromium.arrives_at(&format!("{bye}?state=s")).await;

    let sid = Jwt::parse(tokens.id()).claims["sid"].as_str().expect("a sid").to_owned();
    let issuer: String = url::form_urlencoded::byte_serialize(tenant.issuer.as_bytes()).collect();
    let shown = |listener: &Listener| -> Vec<String> {
        let targets = listener.requests().into_iter().map(|request| request.target);
        targets.filter(|target| target.starts_with("/out")).collect()
    };
    assert_eq!(shown(&app), ["/out;odd"]);
    assert_eq!(shown(&backend), [format!("/out?keep=1&iss={issuer}&sid={sid}")]);
}
