//! Authenticators that sign, as a second factor: how a person adds, sees, uses and removes them, and what clients are told.

#[path = "security_keys/by_hand.rs"]
mod by_hand;
#[path = "security_keys/forged.rs"]
mod forged;

use serde_json::{Value, json};
use tests::authenticator_app::{AuthenticatorApp, recovery_codes};
use tests::browser::{Browser, Page};
use tests::relying_party::{Attempt, Tokens, parameters};
use tests::security_key::{PRESENT, SYNCED, SecurityKey, VERIFIED, asked};
use tests::tenant::{Tenant, User};
use tests::tokens::Jwt;
use tests::{web, world};
use url::Url;

const TWO: &str = "urn:hellojohn:acr:2fa";

fn page_url(tenant: &Tenant, path: &str) -> Url {
    format!("{}{path}", tenant.issuer).parse().expect("a URL")
}

/// Shows the password there. What follows is the second factor.
async fn show_password(browser: &Browser, url: &Url, user: &User) -> Page {
    let sign_in = browser.open_page(url).await.expect_form();
    let page = browser.sign_in(&sign_in, &user.email, &user.password).await;
    assert!(page.status == 200 && page.url.path().contains("/mfa"), "{page:#?}");
    page
}

/// A browser of a user who has just added a key, with the key and the recovery codes.
async fn enrolled(tenant: &Tenant, user: &User) -> (Browser, SecurityKey, Vec<String>) {
    let browser = Browser::new();
    let sign_in = browser.open_page(&page_url(tenant, "/login?next=factors")).await.expect_form();
    let page = browser.sign_in(&sign_in, &user.email, &user.password).await;
    let add = page.link("/mfa/webauthn").unwrap_or_else(|| panic!("no link to add a key: {page:#?}"));
    let key = SecurityKey::new();
    let page = key.add(&browser, &browser.open_page(&add).await, "Blue", &user.password).await;
    let codes = recovery_codes(&page);
    assert!(page.status == 200 && codes.len() == 8, "{page:#?}");
    (browser, key, codes)
}

async fn claims(tenant: &Tenant, attempt: &Attempt, callback: &Url) -> Value {
    let code = parameters(callback).remove("code").unwrap_or_else(|| panic!("no code: {callback}"));
    let tokens = Tokens::read(tenant.backend.redeem(&code, &attempt.verifier).await);
    Jwt::parse(tokens.id()).claims
}

/// Scripts that the page's policy lets run.
fn script_policy(page: &Page) -> Option<String> {
    let policy = page.headers["content-security-policy"].to_str().expect("text").to_owned();
    policy.split("; ").find(|part| part.starts_with("script-src")).map(ToOwned::to_owned)
}

#[tokio::test]
async fn a_key_is_added_on_the_way_where_two_factors_are_required() {
    let world = world::shared_on_localhost().await;
    let tenant = world.tenant("required").await;
    tenant.patch(&json!({ "settings": { "oauth": { "mfa": "required" } } })).await;
    // One that stays in its hardware, and one that is copied to other devices (RFC 8176 §2).
    for (name, flags, method) in [("alice", PRESENT | VERIFIED, "hwk"), ("bob", PRESENT | VERIFIED | SYNCED, "swk")] {
        let user = tenant.user(name).await;
        let (browser, attempt, key) = (Browser::new(), tenant.backend.attempt(), SecurityKey::new());
        let page = show_password(&browser, &attempt.url, &user).await;
        let page = browser.open_page(&page.link("/mfa/webauthn").expect("another way than an app")).await;
        assert!(page.link("/mfa/totp").is_some(), "and back");
        // The password was shown a moment ago.
        let form = page.form_with("credential");
        assert!(!form.asks_for_password());
        let says = tests::security_key::Says { flags, ..key.says(&page) };
        let made = key.create(&says);
        let page = browser.submit(&form, &[("credential", &made)], form.buttons.first()).await;
        assert_eq!(recovery_codes(&page).len(), 8, "{page:#?}");
        let callback = browser.open(&page.link("/login").expect("a link onward")).await.expect_callback();
        let told = claims(&tenant, &attempt, &callback).await;
        assert_eq!((&told["amr"], &told["acr"]), (&json!(["pwd", method, "user", "mfa"]), &json!(TWO)));

        let (browser, attempt) = (Browser::new(), tenant.backend.attempt());
        let page = show_password(&browser, &attempt.url, &user).await;
        let says = tests::security_key::Says { flags, ..key.says(&page) };
        let done = tests::security_key::bring(&browser, &page, &key.sign(&says)).await;
        let told = claims(&tenant, &attempt, &done.expect_callback()).await;
        assert_eq!((&told["amr"], &told["acr"]), (&json!(["pwd", method, "user", "mfa"]), &json!(TWO)));
        assert!(done.set_cookies.iter().any(|it| it.contains("hj_sign_in=;") && it.contains("Max-Age=0")), "{done:#?}");
    }
}

#[tokio::test]
async fn a_person_has_several_factors_and_uses_any_of_them() {
    let world = world::shared_on_localhost().await;
    let tenant = world.tenant("several").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let (browser, blue, codes) = enrolled(&tenant, &alice).await;
    let factors = page_url(&tenant, "/account/factors");
    let add = page_url(&tenant, "/mfa/webauthn?next=factors");
    // A second one takes the password, too, and brings no other recovery codes. Its name is shown as it is.
    let red = SecurityKey::new();
    let page = browser.open_page(&add).await;
    let refused = red.add(&browser, &page, "Red", "wrong password").await;
    assert!(refused.status == 403 && refused.text().contains("not your password"), "{refused:#?}");
    assert!(refused.body.contains("value=\"Red\""), "what was typed stays: {refused:#?}");
    let page = red.add(&browser, &refused, "<b>Red</b>", &alice.password).await;
    assert!(page.url == factors && page.text().contains("<b>Red</b>") && page.text().contains("Blue"), "{page:#?}");
    assert!(page.text().contains("8 left") && !page.text().contains("last used"), "{page:#?}");
    assert_eq!(script_policy(&page), None, "scripts are for the pages that ask for a key");
    // An app beside them.
    let page = browser.open_page(&page.link("/mfa/totp").expect("a link to add an app")).await;
    let (app, page) = AuthenticatorApp::add(&browser, &page, &alice.password).await;
    assert!(
        page.url == factors && page.link("/mfa/totp").is_none() && page.link("/mfa/webauthn").is_some(),
        "{page:#?}"
    );

    // The same key once more: the browser is told which there are. Nor is it anybody else's.
    let page = browser.open_page(&add).await;
    let known: Vec<Value> = asked(&page)["excludeCredentials"].as_array().expect("a list").clone();
    assert_eq!(known.len(), 2);
    assert_eq!(blue.add(&browser, &page, "again", &alice.password).await.status, 422);
    let (of_bob, ..) = enrolled(&tenant, &bob).await;
    let page = of_bob.open_page(&add).await;
    let page = blue.add(&of_bob, &page, "mine", &bob.password).await;
    assert!(page.status == 409 && page.text().contains("known here already"), "{page:#?}");

    // Any of them at the next sign-in.
    for way in 0..4 {
        let (browser, attempt) = (Browser::new(), tenant.backend.attempt());
        let page = show_password(&browser, &attempt.url, &alice).await;
        let script = script_policy(&page).expect("the page's own script runs");
        assert!(script.starts_with("script-src 'nonce-") && page.body.matches("<script").count() == 1, "{script}");
        let form = page.form_with("code");
        let type_in = async |code: &str| browser.submit(&form, &[("code", code)], form.buttons.first()).await;
        let (done, amr) = match way {
            0 => (blue.show(&browser, &page).await, json!(["pwd", "hwk", "user", "mfa"])),
            1 => (red.show(&browser, &page).await, json!(["pwd", "hwk", "user", "mfa"])),
            2 => (type_in(&app.code_in(1)).await, json!(["pwd", "otp", "mfa"])),
            _ => (type_in(&codes[0]).await, json!(["pwd", "otp", "mfa"])),
        };
        assert_eq!(claims(&tenant, &attempt, &done.expect_callback()).await["amr"], amr, "{way}");
    }
    let page = browser.open_page(&factors).await;
    assert_eq!(page.text().matches("last used").count(), 3, "{page:#?}");

    let token = tenant.service.client_credentials("hj:users.read").await;
    let listed = format!("{}/api/v1/users/{}/factors", tenant.issuer, alice.id);
    let listed = web::send(web::client().get(listed).bearer_auth(token)).await.expect(200).json;
    let first = &listed["items"][0];
    assert_eq!((&first["kind"], &first["name"]), (&json!("webauthn"), &json!("Blue")));
    assert!(first["last_used_at"].is_string() && !listed.to_string().contains("hjs1."), "{listed}");

    // One that is removed signs nobody in, not even with a challenge of before.
    let other = Browser::new();
    let at_mfa = show_password(&other, &tenant.backend.attempt().url, &alice).await;
    let remove = page.forms().into_iter().find(|form| form.fields.iter().any(|field| field.name == "remove"));
    let remove = remove.expect("the oldest comes first");
    let refused = browser.submit(&remove, &[("current", "wrong password")], remove.buttons.first()).await;
    assert_eq!(refused.status, 403);
    let page = browser.submit(&remove, &[("current", &alice.password)], remove.buttons.first()).await;
    assert!(page.text().contains("It is removed.") && !page.text().contains("Blue"), "{page:#?}");
    let refused = blue.show(&other, &at_mfa).await;
    assert!(refused.status == 403 && refused.leaves_to.is_none(), "{refused:#?}");
    assert_eq!(asked(&refused)["allowCredentials"].as_array().map(Vec::len), Some(1));
    let _ = red.show(&other, &refused).await.expect_callback();

    // At rest there is no credential to be read.
    let dump = tenant.database.dump().await;
    assert!(dump.contains("hjs1.") && !dump.contains("cred_id"), "sealed");
    // While there are none at all, nobody is asked for one.
    tenant.patch(&json!({ "settings": { "oauth": { "mfa": "off" } } })).await;
    assert_eq!(browser.open(&add).await.status, 404);
}
