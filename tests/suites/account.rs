//! What ends when a person, or who manages people, takes something back: passwords, access of applications, the account
//! itself. After each, refresh tokens are worth nothing at once, and sessions elsewhere neither.

use serde_json::{Value, json};
use tests::browser::{Browser, Form, Page};
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::tenant::{Tenant, User};
use tests::web::{self, Answer};
use tests::webdriver::Chromium;
use tests::world;
use url::Url;

fn page_url(tenant: &Tenant, path: &str) -> Url {
    format!("{}{path}", tenant.issuer).parse().expect("a URL")
}

/// A browser that signed in to the app there, and what the app got.
async fn signed_in(tenant: &Tenant, user: &User) -> (Browser, Tokens) {
    let (browser, attempt) = (Browser::new(), tenant.app.attempt());
    let callback = browser.authorize(&attempt.url, user).await;
    let code = parameters(&callback).remove("code").expect("a code");
    (browser, Tokens::read(tenant.app.redeem(&code, &attempt.verifier).await))
}

/// What a client is told that asks without a page.
async fn silently(tenant: &Tenant, browser: &Browser) -> String {
    let asked = tenant.backend.attempt_with(&[("prompt", Some("none"))]);
    let answer = parameters(&browser.open(&asked.url).await.expect_callback());
    answer.get("error").cloned().unwrap_or_else(|| "a code".to_owned())
}

/// Nothing that a client holds is worth anything.
async fn is_over(client: &RelyingParty, tokens: &Tokens) {
    let refused = client.refresh(tokens.refresh()).await.expect(400);
    assert_eq!(refused.code(), "invalid_grant", "{refused:#?}");
    assert_eq!(client.userinfo(&tokens.access).await.status, 401);
}

async fn patch_user(tenant: &Tenant, user: &User, patch: &Value) -> Answer {
    let token = tenant.service.client_credentials("hj:users.write").await;
    let url = format!("{}/api/v1/users/{}", tenant.issuer, user.id);
    web::send(tenant.service.http.patch(url).bearer_auth(token).json(patch)).await
}

async fn submit(browser: &Browser, form: &Form, current: &str, new: &str) -> Page {
    browser.submit(form, &[("current", current), ("new", new)], form.buttons.first()).await
}

#[tokio::test]
async fn another_password_ends_every_other_session_and_what_clients_got() {
    let world = world::shared().await;
    let tenant = world.tenant("password").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let (here, tokens) = signed_in(&tenant, &alice).await;
    let (elsewhere, others) = signed_in(&tenant, &alice).await;
    let (of_bob, bobs) = signed_in(&tenant, &bob).await;
    let url = page_url(&tenant, "/account/password");
    let stranger = Browser::new().open_page(&url).await;
    assert!(stranger.expect_form().fields.iter().any(|field| field.name == "email"), "{stranger:#?}");

    let form = here.open_page(&url).await.expect_form();
    let new = "a donkey with a paper clip";
    // Nobody else's browser can send it, nor any without its token.
    assert_eq!(submit(&of_bob, &form, &alice.password, new).await.status, 403);
    let mut bare = form.clone();
    bare.fields.retain(|field| field.name != "csrf");
    assert_eq!(submit(&here, &bare, &alice.password, new).await.status, 403);
    for (current, new, status, words) in [
        (bob.password.as_str(), new, 403, "not your current password"),
        (alice.password.as_str(), "short", 422, "at least 8 characters"),
        (alice.password.as_str(), "Password123", 422, "tried first"),
        (alice.password.as_str(), "alice-2026-", 422, "more than a name"),
        ("", new, 403, "not your current password"),
    ] {
        let page = submit(&here, &form, current, new).await;
        assert!(page.status == status && page.text().contains(words), "{words}: {page:#?}");
        assert!(!page.body.contains(&alice.password), "the page repeats a password");
    }
    assert_eq!(silently(&tenant, &elsewhere).await, "a code");
    Tokens::read(tenant.app.refresh(others.refresh()).await);

    let before = here.cookies(&url);
    let done = submit(&here, &form, &alice.password, new).await;
    assert!(done.status == 200 && done.text().contains("Your password is changed"), "{done:#?}");
    is_over(&tenant.app, &tokens).await;
    is_over(&tenant.app, &others).await;
    assert_eq!(silently(&tenant, &elsewhere).await, "login_required");
    assert_eq!(silently(&tenant, &here).await, "a code", "this browser goes on");
    let old = web::send(Browser::request_with_cookies(&page_url(&tenant, "/account"), &before)).await;
    assert_eq!(old.status, 303, "under a fresh cookie");
    assert_eq!(silently(&tenant, &of_bob).await, "a code");
    Tokens::read(tenant.app.refresh(bobs.refresh()).await);

    // The old one is none any more, and the form counts once: it compared with the old one.
    assert_eq!(submit(&here, &form, &alice.password, "yet another one").await.status, 403);
    let sign_in = elsewhere.open_page(&tenant.app.attempt().url).await.expect_form();
    assert_eq!(elsewhere.sign_in(&sign_in, &alice.email, &alice.password).await.status, 403);
    let alice = User { password: new.to_owned(), ..alice };
    let (_, tokens) = signed_in(&tenant, &alice).await;
    Tokens::read(tenant.app.refresh(tokens.refresh()).await);
    let dump = tenant.database.dump().await;
    assert!(!dump.contains(new) && dump.contains("password_changed"));
}

#[tokio::test]
async fn a_person_takes_back_what_an_application_has() {
    let world = world::shared().await;
    let tenant = world.tenant("access").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let (browser, tokens) = signed_in(&tenant, &alice).await;
    let (of_bob, bobs) = signed_in(&tenant, &bob).await;
    // The backend asks for no consent and is shown all the same.
    let attempt = tenant.backend.attempt();
    let code = parameters(&browser.authorize(&attempt.url, &alice).await).remove("code").expect("a code");
    let backends = Tokens::read(tenant.backend.redeem(&code, &attempt.verifier).await);

    let account = page_url(&tenant, "/account");
    let page = browser.open_page(&account).await;
    for words in ["Applications with access", "The App", "The Backend", "See your email address"] {
        assert!(page.text().contains(words), "{words}: {page:#?}");
    }
    let form = page.expect_form();
    assert!(form.action.path().ends_with("/account/access"), "{form:?}");
    let app = form.fields.iter().find(|field| field.name == "client_id").map(|field| field.value.clone());
    assert_eq!(app.as_deref(), Some("app"));
    // By no other browser's page, and for no other client than the one that the form was shown for.
    assert_eq!(of_bob.submit(&form, &[], None).await.status, 403);
    assert_eq!(browser.submit(&form, &[("client_id", "backend")], None).await.status, 403);

    let done = browser.submit(&form, &[], form.buttons.first()).await;
    assert!(done.text().contains("no access any more") && !done.text().contains("The App"), "{done:#?}");
    assert!(done.text().contains("The Backend"), "{done:#?}");
    is_over(&tenant.app, &tokens).await;
    Tokens::read(tenant.backend.refresh(backends.refresh()).await);
    Tokens::read(tenant.app.refresh(bobs.refresh()).await);
    // It has to ask again.
    let asks = browser.open(&tenant.app.attempt().url).await;
    assert!(asks.leaves_to.is_none() && asks.text().contains("The App"), "{asks:#?}");
    let silent = browser.open(&tenant.app.attempt_with(&[("prompt", Some("none"))]).url).await.expect_callback();
    assert_eq!(parameters(&silent).get("error").map(String::as_str), Some("consent_required"));
}

#[tokio::test]
async fn who_manages_people_ends_what_they_have() {
    let world = world::shared().await;
    let tenant = world.tenant("managed").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let (browser, tokens) = signed_in(&tenant, &alice).await;
    let (of_bob, bobs) = signed_in(&tenant, &bob).await;
    let new = "a donkey with a paper clip";
    let answer = patch_user(&tenant, &alice, &json!({ "password": new })).await.expect(200);
    assert!(answer.json["id"] == json!(alice.id) && !answer.text.contains("donkey"), "{answer:#?}");
    is_over(&tenant.app, &tokens).await;
    assert_eq!(silently(&tenant, &browser).await, "login_required");
    signed_in(&tenant, &User { password: new.to_owned(), ..alice.clone() }).await;
    assert_eq!(silently(&tenant, &of_bob).await, "a code");

    let answer = patch_user(&tenant, &bob, &json!({ "status": "disabled" })).await.expect(200);
    assert_eq!(answer.json["status"], "disabled");
    is_over(&tenant.app, &bobs).await;
    assert_eq!(silently(&tenant, &of_bob).await, "login_required");
    let _ = patch_user(&tenant, &bob, &json!({ "status": "active" })).await.expect(200);
    assert_eq!(silently(&tenant, &of_bob).await, "login_required", "what ended does not come back");
    is_over(&tenant.app, &bobs).await;
    signed_in(&tenant, &bob).await;

    for (patch, pointer) in [
        (json!({ "password": "short" }), "/password"),
        (json!({ "password": "qwertyuiop" }), "/password"),
        (json!({ "password": bob.email }), "/password"),
        (json!({ "status": "gone" }), "/status"),
        (json!({ "email": "eve@example.com" }), "/email"),
    ] {
        assert_eq!(patch_user(&tenant, &bob, &patch).await.expect(422).pointers(), [pointer]);
    }
    let nobody = User { id: uuid::Uuid::nil().to_string(), ..bob.clone() };
    let _ = patch_user(&tenant, &nobody, &json!({ "status": "disabled" })).await.expect(404);
    // To read is not to write.
    tenant.patch_client("service", &json!({ "scopes": ["hj:users.read"] })).await;
    let token = tenant.service.client_credentials("hj:users.read").await;
    let url = format!("{}/api/v1/users/{}", tenant.issuer, bob.id);
    let request = tenant.service.http.patch(url).bearer_auth(token).json(&json!({ "status": "disabled" }));
    assert_eq!(web::send(request).await.status, 403);
}

/// Wherever one is chosen; who has a shorter one goes on with it.
#[tokio::test]
async fn a_tenant_asks_for_longer_passwords() {
    let world = world::shared().await;
    let tenant = Tenant::create_with(&world, "longer", json!({ "registration_enabled": true })).await;
    let ada = tenant.user("ada").await;
    let _ = patch_user(&tenant, &ada, &json!({ "password": "a horse, once" })).await.expect(200);
    let wrong = json!({ "settings": { "oauth": { "password_min_length": 7 } } });
    let refused = tenant.admin.patch(&format!("/tenants/{}", tenant.slug), &wrong).await.expect(422);
    assert_eq!(refused.pointers(), ["/settings/oauth/password_min_length"]);
    tenant.patch(&json!({ "settings": { "oauth": { "password_min_length": 15 } } })).await;

    let refused = patch_user(&tenant, &ada, &json!({ "password": "a horse, twice" })).await.expect(422);
    assert!(refused.text.contains("at least 15 characters"), "{refused:#?}");
    let browser = Browser::new();
    let page = browser.open_page(&page_url(&tenant, "/register")).await;
    assert!(page.body.contains("At least 15 characters") && page.body.contains("minlength=\"15\""), "{page:#?}");
    let form = page.expect_form();
    let values = |password| [("email", "bea@people.example"), ("name", "Bea"), ("password", password)];
    let page = browser.submit(&form, &values("a horse, twice"), form.buttons.first()).await;
    assert!(page.status == 422 && page.text().contains("at least 15 characters"), "{page:#?}");
    let page = browser.submit(&page.expect_form(), &values("a horse and a staple"), form.buttons.first()).await;
    assert!(page.status < 400 && !page.text().contains("at least 15 characters"), "{page:#?}");
    signed_in(&tenant, &User { password: "a horse, once".to_owned(), ..ada }).await;
}

/// With the client itself its tokens go, too: nobody can authenticate as it.
#[tokio::test]
async fn a_client_that_is_deleted_gets_nothing_more() {
    let world = world::shared().await;
    let tenant = world.tenant("deleted").await;
    let alice = tenant.user("alice").await;
    let tokens = tenant.backend.sign_in(&alice).await;
    let path = format!("/tenants/{}/clients/backend?wait=fleet&timeout=15s", tenant.slug);
    let _ = tenant.admin.delete(&path).await.expect_one_of(&[200, 204]);
    let refused = tenant.backend.refresh(tokens.refresh()).await.expect(401);
    assert_eq!(refused.code(), "invalid_client");
    // A person sees what is left, by its id, and can take it back.
    let browser = Browser::new();
    let sign_in = browser.open_page(&page_url(&tenant, "/account")).await.expect_form();
    let page = browser.sign_in(&sign_in, &alice.email, &alice.password).await;
    assert!(page.text().contains("backend"), "{page:#?}");
    let form = page.expect_form();
    assert!(browser.submit(&form, &[], form.buttons.first()).await.text().contains("no access any more"));
}

#[tokio::test]
async fn a_person_does_both_in_a_browser() {
    let world = world::shared().await;
    let tenant = world.tenant("by-hand").await;
    let alice = tenant.user("alice").await;
    let tokens = tenant.app.sign_in(&alice).await;
    let chromium = Chromium::start().await;
    chromium.disable_scripts().await;
    chromium.open(page_url(&tenant, "/account").as_str()).await;
    chromium.says("Sign in").await;
    chromium.fill("#email", &alice.email).await;
    chromium.fill("#password", &alice.password).await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Applications with access").await;
    chromium.look("account-access").await;
    chromium.follow("a[href$='/account/password']").await;
    chromium.says("Change your password").await;
    chromium.fill("#current", "wrong").await;
    chromium.fill("#new", "short").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("must be at least 8 characters").await;
    chromium.look("password-problem").await;
    chromium.fill("#current", &alice.password).await;
    chromium.fill("#new", "a donkey with a paper clip").await;
    chromium.look("password").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Your password is changed").await;
    chromium.look("account-password-changed").await;
    is_over(&tenant.app, &tokens).await;
    chromium.follow("form[action$='/account/access'] button").await;
    chromium.says("It has no access any more.").await;
}
