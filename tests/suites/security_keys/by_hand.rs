//! The pages in a real Chromium with an authenticator plugged in, as people see them; and without scripts.

use tests::webdriver::Chromium;
use tests::world;

use super::page_url;

#[tokio::test]
async fn a_person_adds_a_key_and_signs_in_with_it() {
    let world = world::shared_on_localhost().await;
    let tenant = world.tenant("by-key").await;
    let alice = tenant.user("alice").await;
    let chromium = Chromium::start().await;
    let authenticator = chromium.plug_in_security_key().await;
    let sign_in = async || {
        chromium.says("Sign in").await;
        chromium.fill("#email", &alice.email).await;
        chromium.fill("#password", &alice.password).await;
        chromium.follow("main form button[type=submit]").await;
    };
    let (again, factors) = (page_url(&tenant, "/login?next=account&switch=1"), page_url(&tenant, "/account/factors"));
    chromium.open(factors.as_str()).await;
    sign_in().await;
    chromium.says("You sign in with your password alone").await;
    chromium.look("keys-none").await;
    chromium.follow("a[href*='/mfa/webauthn']").await;
    chromium.says("Add a security key or passkey").await;
    chromium.fill("#name", "The blue one").await;
    chromium.fill("#current", &alice.password).await;
    chromium.look("mfa-webauthn").await;
    // The wrong finger: the page says so, and nothing is sent.
    chromium.set_user_verified(&authenticator, false).await;
    chromium.click("#webauthn button").await;
    chromium.says("That did not work").await;
    chromium.look("mfa-webauthn-problem").await;
    chromium.set_user_verified(&authenticator, true).await;
    chromium.follow("#webauthn button").await;
    chromium.says("Keep these codes").await;
    let recovery = chromium.evaluate("document.querySelector('ol.codes code').textContent").await;
    chromium.follow("a.button").await;
    chromium.says("The blue one").await;
    chromium.look("keys").await;

    // At the next sign-in: again the wrong finger first.
    chromium.open(again.as_str()).await;
    sign_in().await;
    chromium.says("Use your security key or passkey").await;
    chromium.look("mfa-key").await;
    chromium.set_user_verified(&authenticator, false).await;
    chromium.click("#webauthn button").await;
    chromium.says("That did not work").await;
    chromium.set_user_verified(&authenticator, true).await;
    chromium.follow("#webauthn button").await;
    chromium.says("Your account").await;
    chromium.open(factors.as_str()).await;
    chromium.says("last used").await;
    chromium.look("keys-used").await;
    assert_eq!(chromium.console().await, "", "no policy stood in the way");

    // Without scripts there is another way, and the page says so.
    chromium.disable_scripts().await;
    chromium.open(again.as_str()).await;
    sign_in().await;
    chromium.says("runs no scripts").await;
    chromium.click("summary").await;
    chromium.fill("#recovery", recovery.as_str().expect("a code")).await;
    chromium.look("mfa-key-no-scripts").await;
    chromium.follow("details button").await;
    chromium.says("Your account").await;
}
