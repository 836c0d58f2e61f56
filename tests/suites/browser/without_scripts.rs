//! The same in a Chromium that runs no scripts, as many embedded browsers: everything is a form. On a phone and on a desk.

use serde_json::json;
use tests::relying_party::Tokens;
use tests::web;
use tests::webdriver::Chromium;
use tests::world;

use super::{redeemed, stage};

/// The page as it is seen at this width.
async fn look(chromium: &Chromium, name: &str, width: u32) {
    chromium.expect_to_fit(name, width).await;
    chromium.screenshot(&format!("plain-{name}-{width}")).await;
}

#[tokio::test]
async fn people_sign_in_allow_answer_and_sign_out_without_scripts() {
    let world = world::shared().await;
    let (tenant, app, port) = stage(&world, "plain").await;
    let alice = tenant.user("alice").await;
    let grants = ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"];
    tenant.patch_client("app", &json!({ "grant_types": grants })).await;
    let chromium = Chromium::start().await;
    chromium.disable_scripts().await;
    for width in [390, 1280] {
        chromium.set_width(width).await;
        let attempt = app.attempt_with(&[("response_mode", Some("form_post")), ("prompt", Some("consent"))]);
        chromium.open(attempt.url.as_str()).await;
        chromium.says("Sign in").await;
        look(&chromium, "sign-in", width).await;
        chromium.fill("#email", &alice.email).await;
        chromium.fill("#password", "a wrong one").await;
        chromium.follow("button[type=submit]").await;
        chromium.says("is wrong").await;
        chromium.fill("#password", &alice.password).await;
        chromium.follow("button[type=submit]").await;
        chromium.says("Allow access?").await;
        look(&chromium, "consent", width).await;
        chromium.follow("button[value=allow]").await;
        // Nothing submits the answer but its button.
        chromium.says("Continue").await;
        look(&chromium, "form-post", width).await;
        chromium.follow("button").await;
        redeemed(&chromium, &app, port, &attempt).await;

        let begun = web::send(app.back_channel("device_authorization", &[("scope", "openid")])).await.expect(200);
        chromium.open(&format!("{}/oauth2/device", tenant.issuer)).await;
        chromium.fill("[name=user_code]", &begun.text_of("user_code").to_lowercase()).await;
        look(&chromium, "device", width).await;
        chromium.follow("button[type=submit]").await;
        chromium.says(&begun.text_of("user_code")).await;
        look(&chromium, "device-confirm", width).await;
        chromium.follow("button[value=allow]").await;
        chromium.says("Device connected").await;
        let code = [("grant_type", grants[2]), ("device_code", &begun.text_of("device_code"))];
        let _ = Tokens::read(app.token(&code).await);

        chromium.open(&format!("{}/account", tenant.issuer)).await;
        chromium.says("Nothing waits").await;
        look(&chromium, "account", width).await;
        chromium.open(&format!("{}/oauth2/logout", tenant.issuer)).await;
        chromium.says("You are signed in").await;
        look(&chromium, "sign-out", width).await;
        chromium.follow("button[type=submit]").await;
        chromium.says("You are signed out").await;
        look(&chromium, "signed-out", width).await;
        let wrong = app.attempt_with(&[("redirect_uri", Some("https://evil.example/cb"))]);
        chromium.open(wrong.url.as_str()).await;
        chromium.says("This link does not work").await;
        look(&chromium, "error", width).await;
    }
}

#[tokio::test]
async fn with_scripts_the_answer_posts_itself() {
    let world = world::shared().await;
    let (tenant, app, port) = stage(&world, "posts-itself").await;
    let alice = tenant.user("alice").await;
    let chromium = Chromium::start().await;
    let attempt = app.attempt_with(&[("response_mode", Some("form_post"))]);
    chromium.open(attempt.url.as_str()).await;
    chromium.fill("#email", &alice.email).await;
    chromium.fill("#password", &alice.password).await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Allow access?").await;
    chromium.follow("button[value=allow]").await;
    redeemed(&chromium, &app, port, &attempt).await;
    // And where the operator vouches for the application nobody is asked at all.
    tenant.patch_client("app", &json!({ "require_consent": false })).await;
    let again = app.attempt_with(&[("response_mode", Some("form_post"))]);
    chromium.open(again.url.as_str()).await;
    redeemed(&chromium, &app, port, &again).await;
    let console = chromium.console().await;
    assert!(!console.contains("Content Security Policy"), "{console}");
}
