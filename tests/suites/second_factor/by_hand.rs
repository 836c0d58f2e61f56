//! The pages in a real Chromium without scripts, as people see them.

use tests::authenticator_app::AuthenticatorApp;
use tests::webdriver::Chromium;
use tests::world;

use super::{forget_steps, page_url};

async fn text_of(chromium: &Chromium, selector: &str) -> String {
    let text = chromium.evaluate(&format!("document.querySelector('{selector}').textContent")).await;
    text.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_person_adds_an_app_and_signs_in_with_it() {
    let world = world::shared().await;
    let tenant = world.tenant("by-phone").await;
    let alice = tenant.user("alice").await;
    let chromium = Chromium::start().await;
    chromium.disable_scripts().await;
    let sign_in = async || {
        chromium.says("Sign in").await;
        chromium.fill("#email", &alice.email).await;
        chromium.fill("#password", &alice.password).await;
        chromium.follow("button[type=submit]").await;
    };
    chromium.open(page_url(&tenant, "/account").as_str()).await;
    sign_in().await;
    chromium.says("Your account").await;
    chromium.follow("a[href$='/account/factors']").await;
    chromium.says("You sign in with your password alone").await;
    chromium.look("factors-none").await;
    chromium.follow("a.button").await;
    chromium.says("Add an authenticator app").await;
    chromium.click("summary").await;
    let app = AuthenticatorApp::of(&text_of(&chromium, "#seed").await);
    chromium.fill("#current", &alice.password).await;
    chromium.fill("#code", &app.wrong_code()).await;
    chromium.look("mfa-totp").await;
    chromium.follow("main form button[type=submit]").await;
    chromium.says("That is not the code the app shows now").await;
    chromium.look("mfa-totp-problem").await;
    chromium.fill("#current", &alice.password).await;
    chromium.fill("#code", &app.code()).await;
    chromium.follow("main form button[type=submit]").await;
    chromium.says("Keep these codes").await;
    chromium.look("recovery-codes").await;
    let recovery = text_of(&chromium, "ol.codes code").await;
    chromium.follow("a.button").await;
    chromium.says("8 left").await;
    chromium.look("factors").await;

    // And again, as at the next sign-in, with the app and with a recovery code.
    forget_steps(&tenant).await;
    chromium.open(page_url(&tenant, "/login?next=account&switch=1").as_str()).await;
    sign_in().await;
    chromium.says("One more step").await;
    chromium.fill("#code", &app.wrong_code()).await;
    chromium.follow("main form button[type=submit]").await;
    chromium.says("The code is wrong").await;
    chromium.look("mfa-problem").await;
    chromium.fill("#code", &app.code()).await;
    chromium.follow("main form button[type=submit]").await;
    chromium.says("Your account").await;
    chromium.open(page_url(&tenant, "/login?next=account&switch=1").as_str()).await;
    sign_in().await;
    chromium.says("One more step").await;
    chromium.click("summary").await;
    chromium.fill("#recovery", &recovery).await;
    chromium.look("mfa-recovery").await;
    chromium.follow("details button").await;
    chromium.says("Your account").await;
}
