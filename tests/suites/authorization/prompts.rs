//! What the client says about the user that it means, and about the sign-in that it wants (OIDC Core §3.1.2.1).

use serde_json::json;
use tests::browser::Browser;
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::table::Table;
use tests::tokens::{self, Jwt};
use tests::world;
use url::Url;

async fn silently(browser: &Browser, party: &RelyingParty, changes: &[(&str, Option<&str>)]) -> String {
    let mut all = vec![("prompt", Some("none"))];
    all.extend_from_slice(changes);
    let callback = browser.open(&party.attempt_with(&all).url).await.expect_callback();
    let mut answer = parameters(&callback);
    answer
        .remove("error")
        .unwrap_or_else(|| if answer.contains_key("code") { "code".to_owned() } else { String::new() })
}

/// Signs in at the backend client, which asks for no consent; the browser, and the ID token.
async fn signed_in(party: &RelyingParty, user: &tests::tenant::User) -> (Browser, String) {
    let browser = Browser::new();
    let attempt = party.attempt();
    let callback = browser.authorize(&attempt.url, user).await;
    let tokens = Tokens::read(party.redeem(&parameters(&callback)["code"], &attempt.verifier).await);
    (browser, tokens.id().to_owned())
}

#[tokio::test]
async fn an_id_token_hint_says_whom_the_client_means() {
    let world = world::shared().await;
    let (tenant, other) = (world.tenant("hint").await, world.tenant("foreign").await);
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let mallory = other.user("mallory").await;
    let (browser, of_alice) = signed_in(&tenant.backend, &alice).await;
    let (_, of_bob) = signed_in(&tenant.backend, &bob).await;
    let (_, of_elsewhere) = signed_in(&other.backend, &mallory).await;
    let app = tenant.app.sign_in(&alice).await;
    let mut changed = Jwt::parse(&of_bob);
    changed.claims["sub"] = alice.id.as_str().into();
    let signature = changed.signature.clone();

    let mut table = Table::new();
    for (what, hint, expected) in [
        ("her own", of_alice.clone(), "code"),
        ("somebody else's", of_bob.clone(), "login_required"),
        ("of another tenant", of_elsewhere, "invalid_request"),
        ("of another client", app.id().to_owned(), "invalid_request"),
        ("an access token", app.access.clone(), "invalid_request"),
        ("alg none", Jwt::parse(&of_alice).with_alg_none(), "invalid_request"),
        ("a changed subject", changed.signed_with(&signature), "invalid_request"),
        ("garbage", "garbage".to_owned(), "invalid_request"),
    ] {
        let told = silently(&browser, &tenant.backend, &[("id_token_hint", Some(&hint))]).await;
        table.check(what, told == expected, || format!("want {expected}, got {told}"));
    }
    table.finish(&world).await;

    // With a page to ask on, it asks; and tells the client when somebody else answers.
    let attempt = tenant.backend.attempt_with(&[("id_token_hint", Some(&of_bob))]);
    let login = browser.open_page(&attempt.url).await.expect_form();
    let told = browser.sign_in(&login, &alice.email, &alice.password).await.expect_callback();
    assert_eq!(parameters(&told)["error"], "login_required");
    let login = browser.open_page(&tenant.backend.attempt_with(&[("id_token_hint", Some(&of_bob))]).url).await;
    let told = browser.sign_in(&login.expect_form(), &bob.email, &bob.password).await.expect_callback();
    assert!(parameters(&told).contains_key("code"), "{told}");
}

#[tokio::test]
async fn a_hint_whose_key_is_gone_makes_the_user_sign_in_again() {
    let world = world::shared().await;
    let tenant = world.tenant("rotated").await;
    let alice = tenant.user("alice").await;
    let (browser, hint) = signed_in(&tenant.backend, &alice).await;
    tenant.replace_keys().await;
    assert_eq!(silently(&browser, &tenant.backend, &[("id_token_hint", Some(&hint))]).await, "login_required");
    let login = browser.open_page(&tenant.backend.attempt_with(&[("id_token_hint", Some(&hint))]).url).await;
    let told = browser.sign_in(&login.expect_form(), &alice.email, &alice.password).await.expect_callback();
    assert!(parameters(&told).contains_key("code"), "{told}");
}

#[tokio::test]
async fn an_expired_id_token_is_as_good_a_hint() {
    let world = world::shared().await;
    let settings = json!({ "lifetimes": { "id_token_secs": 1 } });
    let tenant = tests::tenant::Tenant::create_with(&world, "expired", settings).await;
    let alice = tenant.user("alice").await;
    let (browser, hint) = signed_in(&tenant.backend, &alice).await;
    let expires = Jwt::parse(&hint).claims["exp"].as_i64().expect("exp");
    let since_1970 = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("past 1970");
    tests::wait::until("the ID token has expired", std::time::Duration::from_secs(10), async || {
        if since_1970().as_secs() > expires.unsigned_abs() { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    assert_eq!(silently(&browser, &tenant.backend, &[("id_token_hint", Some(&hint))]).await, "code");
}

#[tokio::test]
async fn select_account_asks_which_account_it_shall_be() {
    let world = world::shared().await;
    let tenant = world.tenant("select").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let (browser, _) = signed_in(&tenant.backend, &alice).await;
    let select = || tenant.backend.attempt_with(&[("prompt", Some("select_account"))]);

    let page = browser.open_page(&select().url).await;
    assert!(page.text().contains(&alice.email), "{page:#?}");
    let form = page.expect_form();
    assert!(!form.asks_for_password(), "{page:#?}");
    let callback = browser.submit(&form, &[], form.buttons.first()).await.expect_callback();
    assert!(parameters(&callback).contains_key("code"), "{callback}");
    // A form that was shown to another browser chooses nothing.
    let stranger = Browser::new();
    let stolen = browser.open_page(&select().url).await.expect_form();
    assert!([400, 403].contains(&stranger.submit(&stolen, &[], stolen.buttons.first()).await.status));

    let page = browser.open_page(&select().url).await;
    let other: Url = page.link("login").expect("a link to use another account");
    let form = browser.open_page(&other).await.expect_form();
    let callback = browser.sign_in(&form, &bob.email, &bob.password).await.expect_callback();
    assert!(parameters(&callback).contains_key("code"), "{callback}");
    // Nobody is signed in: signing in is choosing.
    let login = Browser::new().open_page(&select().url).await;
    assert!(login.expect_form().asks_for_password());
}

#[tokio::test]
async fn what_the_client_is_registered_with_holds_where_the_request_says_nothing() {
    let world = world::shared().await;
    let tenant = world.tenant("defaults").await;
    let alice = tenant.user("alice").await;
    let patch =
        json!({ "default_max_age": 3600, "default_acr_values": ["urn:hellojohn:acr:1fa"], "require_auth_time": true });
    tenant.patch_client("backend", &patch).await;
    let (browser, id) = signed_in(&tenant.backend, &alice).await;
    let claims = tokens::verify(&id, &tenant.backend.jwks().await.json).expect("verifies");
    assert!(claims["auth_time"].is_i64() && claims["acr"] == "urn:hellojohn:acr:1fa", "{claims:#}");
    let age = "update sessions set auth_time = auth_time - interval '2 hours'";
    tenant.database.connect().await.execute(age, &[]).await.expect("a table");
    assert_eq!(silently(&browser, &tenant.backend, &[]).await, "login_required");
    assert_eq!(silently(&browser, &tenant.backend, &[("max_age", Some("86400"))]).await, "code");
}

#[tokio::test]
async fn a_login_hint_fills_the_form() {
    let world = world::shared().await;
    let tenant = world.tenant("loginhint").await;
    let hint = "ada\"><b>@example.com";
    let attempt = tenant.app.attempt_with(&[("login_hint", Some(hint)), ("ui_locales", Some("fr-CA xx"))]);
    let page = Browser::new().open_page(&attempt.url).await;
    let form = page.expect_form();
    let field = form.fields.iter().find(|field| field.name == form.email_field()).expect("a field");
    assert_eq!(field.value, hint);
}
