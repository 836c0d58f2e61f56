//! A second factor at the sign-in: how a person adds one, that nothing is had without it, and what clients are told.

#[path = "second_factor/by_hand.rs"]
mod by_hand;
#[path = "second_factor/helped.rs"]
mod helped;
#[path = "second_factor/resealed.rs"]
mod resealed;

use serde_json::{Value, json};
use tests::authenticator_app::{AuthenticatorApp, recovery_codes};
use tests::browser::{Browser, Page};
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::tenant::{Tenant, User};
use tests::tokens::Jwt;
use tests::wait::{PATIENCE, until};
use tests::web;
use tests::world;
use url::Url;

const TWO: &str = "urn:hellojohn:acr:2fa";

fn page_url(tenant: &Tenant, path: &str) -> Url {
    format!("{}{path}", tenant.issuer).parse().expect("a URL")
}

/// A browser of a user who has just added an app, with the app and the recovery codes.
async fn enrolled(tenant: &Tenant, user: &User) -> (Browser, AuthenticatorApp, Vec<String>) {
    let browser = Browser::new();
    let sign_in = browser.open_page(&page_url(tenant, "/login?next=factors")).await.expect_form();
    let page = browser.sign_in(&sign_in, &user.email, &user.password).await;
    assert!(page.text().contains("password alone"), "{page:#?}");
    let add = page.link("/mfa/totp").expect("a link to add an app");
    let page = browser.open_page(&add).await;
    let (app, page) = AuthenticatorApp::add(&browser, &page, &user.password).await;
    let codes = recovery_codes(&page);
    assert!(page.status == 200 && codes.len() == 8, "{page:#?}");
    forget_steps(tenant).await;
    (browser, app, codes)
}

/// As if the codes that were used had been used long ago.
async fn forget_steps(tenant: &Tenant) {
    let connection = tenant.database.connect().await;
    let forget = "update second_factors set last_step = last_step - 1000";
    connection.execute(forget, &[]).await.expect("a table");
}

/// Shows the password there. What follows is the second factor.
async fn show_password(browser: &Browser, url: &Url, user: &User) -> Page {
    let sign_in = browser.open_page(url).await.expect_form();
    let page = browser.sign_in(&sign_in, &user.email, &user.password).await;
    assert!(page.status == 200 && page.url.path().ends_with("/mfa"), "{page:#?}");
    page
}

async fn show_code(browser: &Browser, page: &Page, code: &str) -> Page {
    let form = page.form_with("code");
    browser.submit(&form, &[("code", code)], form.buttons.first()).await
}

fn claims_of(token: &str) -> Value {
    Jwt::parse(token).claims
}

async fn redeem(party: &RelyingParty, callback: &Url, verifier: &str) -> Tokens {
    let code = parameters(callback).remove("code").unwrap_or_else(|| panic!("no code: {callback}"));
    Tokens::read(party.redeem(&code, verifier).await)
}

#[tokio::test]
async fn who_has_a_second_factor_gets_nothing_without_it() {
    let world = world::shared().await;
    let tenant = world.tenant("halfway").await;
    let alice = tenant.user("alice").await;
    let (_, app, _) = enrolled(&tenant, &alice).await;

    let (browser, attempt) = (Browser::new(), tenant.backend.attempt());
    let login = browser.open_page(&attempt.url).await;
    let interaction = parameters(&login.url)["interaction"].clone();
    let page = browser.sign_in(&login.expect_form(), &alice.email, &alice.password).await;
    assert!(page.url.path().ends_with("/mfa") && page.text().contains("The Backend"), "{page:#?}");
    assert!(!browser.cookies(&attempt.url).contains("hj_session"), "no session yet");
    // Every way on that the sign-in has, gone without the second factor.
    for path in ["/login", "/consent", "/register", "/mfa", "/mfa/totp"] {
        let url = page_url(&tenant, &format!("{path}?interaction={interaction}"));
        let around = browser.open(&url).await;
        assert!(around.leaves_to.is_none(), "{path}: {around:#?}");
        assert!(!around.url.path().ends_with("/mfa/totp"), "nobody adds a factor in place of the one there is");
    }
    assert!(browser.open(&tenant.backend.attempt().url).await.leaves_to.is_none());
    let silent = tenant.backend.attempt_with(&[("prompt", Some("none"))]);
    let refused = parameters(&browser.open(&silent.url).await.expect_callback());
    assert_eq!(refused["error"], "login_required");
    for path in ["/account", "/account/factors", "/account/password", "/oauth2/device?user_code=BCDFGHJKL"] {
        let page = browser.open(&page_url(&tenant, path)).await;
        assert!(page.url.path().ends_with("/login"), "{path}: {page:#?}");
    }

    // Neither a wrong code, nor another browser, nor a form without its token.
    let wrong = show_code(&browser, &page, &app.wrong_code()).await;
    assert!(wrong.status == 403 && wrong.text().contains("wrong"), "{wrong:#?}");
    let form = page.form_with("code");
    let code = app.code();
    assert!(Browser::new().submit(&form, &[("code", &code)], None).await.leaves_to.is_none());
    let mut bare = form.clone();
    bare.fields.retain(|field| field.name != "csrf");
    assert_eq!(browser.submit(&bare, &[("code", &code)], None).await.status, 403);

    let done = show_code(&browser, &page, &code).await;
    let tokens = redeem(&tenant.backend, &done.expect_callback(), &attempt.verifier).await;
    let claims = claims_of(tokens.id());
    assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]), "RFC 8176");
    assert_eq!(claims["acr"], TWO);
    assert_eq!(claims_of(&tokens.access)["acr"], TWO);
    assert!(done.set_cookies.iter().any(|it| it.contains("hj_sign_in=;") && it.contains("Max-Age=0")), "{done:#?}");
    // It is a session like any other now.
    let again = tenant.backend.attempt_with(&[("prompt", Some("none"))]);
    assert!(parameters(&browser.open(&again.url).await.expect_callback()).contains_key("code"));
}

#[tokio::test]
async fn a_code_counts_once_wherever_it_is_shown() {
    let world = world::shared().await;
    let tenant = world.tenant("once").await;
    let alice = tenant.user("alice").await;
    let (_, app, _) = enrolled(&tenant, &alice).await;
    let (first, second) = (Browser::new(), Browser::new());
    let (one, two) = (tenant.backend.attempt(), tenant.backend.attempt());
    let (at_first, at_second) =
        (show_password(&first, &one.url, &alice).await, show_password(&second, &two.url, &alice).await);
    // Side by side: one of the two.
    let (code, earlier) = (app.code(), app.code_in(-1));
    let answers = futures::join!(show_code(&first, &at_first, &code), show_code(&second, &at_second, &code));
    let is_in = |page: &Page| page.leaves_to.as_ref().is_some_and(|url| parameters(url).contains_key("code"));
    assert_eq!([&answers.0, &answers.1].into_iter().filter(|page| is_in(page)).count(), 1, "{answers:#?}");
    // And not later, nor one of before.
    let third = Browser::new();
    let page = show_password(&third, &tenant.backend.attempt().url, &alice).await;
    for code in [code.clone(), format!("{} {}", &code[..3], &code[3..]), earlier] {
        let refused = show_code(&third, &page, &code).await;
        assert!(refused.status == 403 && !is_in(&refused), "{code}: {refused:#?}");
    }
}

#[tokio::test]
async fn guesses_are_limited_wherever_they_come_from() {
    let world = world::shared().await;
    let tenant = world.tenant("guesses").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let (_, app, codes) = enrolled(&tenant, &alice).await;
    let (_, bobs, _) = enrolled(&tenant, &bob).await;
    let wrong = app.wrong_code();
    let mut statuses = Vec::new();
    for network in 2..6 {
        let browser = Browser::from_address(std::net::IpAddr::from([127, 0, 0, network]));
        let page = show_password(&browser, &tenant.backend.attempt().url, &alice).await;
        for _ in 0..25 {
            statuses.push(show_code(&browser, &page, &wrong).await.status);
        }
    }
    // Ten are free; of the rest only those that waited are judged, and each waits twice as long as the one before.
    let judged = statuses.iter().filter(|status| **status == 403).count();
    assert!((10..20).contains(&judged), "{judged} of 100 were judged: {statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 100 - judged);
    // The right one has to wait, too, and so has a recovery code: they would be guesses.
    let browser = Browser::new();
    let page = show_password(&browser, &tenant.backend.attempt().url, &alice).await;
    until("the wait is long", PATIENCE, async || {
        let refused = show_code(&browser, &page, &wrong).await;
        let secs = refused.headers.get("retry-after").and_then(|secs| secs.to_str().ok()?.parse::<u32>().ok());
        if secs.is_some_and(|secs| secs >= 7) { Ok(()) } else { Err(format!("{secs:?}")) }
    })
    .await;
    for right in [app.code(), codes[0].clone()] {
        let page = show_code(&browser, &page, &right).await;
        assert!(page.status == 429 && page.text().contains("Please wait"), "{page:#?}");
    }
    // Somebody else does not.
    let (browser, attempt) = (Browser::new(), tenant.backend.attempt());
    let page = show_password(&browser, &attempt.url, &bob).await;
    let _ = show_code(&browser, &page, &bobs.code()).await.expect_callback();
}

#[tokio::test]
async fn a_recovery_code_lets_in_once_and_new_ones_end_the_old() {
    let world = world::shared().await;
    let tenant = world.tenant("recovery").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let (_, app, codes) = enrolled(&tenant, &alice).await;
    let (_, _, bobs) = enrolled(&tenant, &bob).await;
    let url = page_url(&tenant, "/login?next=factors");
    let (browser, other) = (Browser::new(), Browser::new());
    let page = show_password(&browser, &url, &alice).await;
    for wrong in [bobs[0].as_str(), "abcd-efgh-ijkl-mnop-qrst-uvwx"] {
        assert_eq!(show_code(&browser, &page, wrong).await.status, 403, "{wrong}");
    }
    let typed = codes[0].to_uppercase().replace('-', " ");
    let inside = show_code(&browser, &page, &typed).await;
    assert!(inside.url.path().ends_with("/account/factors") && inside.text().contains("7 left"), "{inside:#?}");
    let page = show_password(&other, &url, &alice).await;
    assert_eq!(show_code(&other, &page, &codes[0]).await.status, 403, "once");

    // New ones, by the password alone.
    let form = inside.form_with("renew");
    let refused = browser.submit(&form, &[("current", "wrong password")], form.buttons.first()).await;
    assert!(refused.status == 403 && refused.text().contains("not your password"), "{refused:#?}");
    let renewed = browser.submit(&form, &[("current", &alice.password)], form.buttons.first()).await;
    let fresh = recovery_codes(&renewed);
    assert!(fresh.len() == 8 && fresh.iter().all(|code| !codes.contains(code)), "{renewed:#?}");
    assert_eq!(show_code(&other, &page, &codes[1]).await.status, 403, "the old ones are over");
    let inside = show_code(&other, &page, &fresh[0]).await;
    assert!(inside.text().contains("7 left"), "{inside:#?}");

    // At rest there is neither a code nor the seed.
    let dump = tenant.database.dump().await;
    let secrets = codes.iter().chain(&fresh).chain(&bobs);
    for secret in secrets.flat_map(|code| [code.clone(), code.replace('-', "")]).chain([app.seed.clone()]) {
        assert!(!dump.contains(&secret), "{secret} is in the database");
    }
    assert!(dump.contains("hjs1."), "the seeds are there, sealed");
}

#[tokio::test]
async fn to_remove_one_takes_both_factors() {
    let world = world::shared().await;
    let tenant = world.tenant("remove").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    // A session of before, which has shown the password alone.
    let old = Browser::new();
    old.authorize(&tenant.backend.attempt().url, &alice).await;
    let (browser, app, _) = enrolled(&tenant, &alice).await;
    let (of_bob, ..) = enrolled(&tenant, &bob).await;
    let url = page_url(&tenant, "/account/factors");
    let inside = browser.open_page(&url).await;
    let form = inside.form_with("remove");
    let remove = async |browser: &Browser, password: &str| {
        browser.submit(&form, &[("current", password)], form.buttons.first()).await
    };
    let page = old.open(&url).await;
    assert!(page.url.path().ends_with("/mfa"), "the second factor first: {page:#?}");
    assert!(remove(&old, &alice.password).await.url.path().ends_with("/mfa"));
    assert_eq!(remove(&of_bob, &bob.password).await.status, 403);
    assert_eq!(remove(&browser, "wrong password").await.status, 403);
    // Nobody adds a second app, and the page says so.
    assert!(inside.link("/mfa/totp").is_none());
    let page = browser.open_page(&page_url(&tenant, "/mfa/totp?next=factors")).await;
    let (_, page) = AuthenticatorApp::add(&browser, &page, &alice.password).await;
    assert!(page.status == 409 && page.text().contains("already"), "{page:#?}");

    // The old session shows the second factor and goes on as one of two, signed in when it was.
    let before = old.cookies(&url);
    let page = old.open(&url).await;
    let inside = show_code(&old, &page, &app.code()).await;
    assert!(inside.url.path().ends_with("/account/factors") && old.cookies(&url) != before, "{inside:#?}");
    let done = remove(&browser, &alice.password).await;
    assert!(done.text().contains("It is removed.") && done.text().contains("password alone"), "{done:#?}");
    let count = "select (select count(*) from second_factors), (select count(*) from recovery_codes)";
    let row = tenant.database.connect().await.query_one(count, &[]).await.expect("a table");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 8), "Bob's");
    // The password is enough again.
    let _ = Browser::new().authorize(&tenant.backend.attempt().url, &alice).await;
}

#[tokio::test]
async fn a_client_that_asks_for_the_stronger_class_gets_it() {
    let world = world::shared().await;
    let tenant = world.tenant("stronger").await;
    let alice = tenant.user("alice").await;
    tenant.patch_client("backend", &json!({ "scopes": ["openid", "hj:users.read"] })).await;
    let step_up = json!({ "acr_values": [TWO] });
    tenant.patch(&json!({ "settings": { "oauth": { "user_api_step_up": step_up } } })).await;
    let discovery = tenant.backend.discovery().await.json;
    assert_eq!(discovery["acr_values_supported"], json!(["urn:hellojohn:acr:1fa", TWO]));

    let scope = ("scope", Some("openid hj:users.read"));
    let users = |token: &str| tenant.service.http.get(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(token);
    let browser = Browser::new();
    let attempt = tenant.backend.attempt_with(&[scope]);
    let callback = browser.authorize(&attempt.url, &alice).await;
    let weak = redeem(&tenant.backend, &callback, &attempt.verifier).await;
    assert_eq!(claims_of(weak.id())["amr"], json!(["pwd"]));
    let refused = web::send(users(&weak.access)).await.expect(401);
    assert_eq!(refused.code(), "insufficient_user_authentication");
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains(&format!("acr_values=\"{TWO}\"")), "{challenge}");

    // The client asks for what the challenge said. The user has no second factor yet, and adds one on the way.
    let acr = ("acr_values", Some(TWO));
    let silent = tenant.backend.attempt_with(&[scope, acr, ("prompt", Some("none"))]);
    let refused = parameters(&browser.open(&silent.url).await.expect_callback());
    assert_eq!(refused["error"], "login_required");
    let attempt = tenant.backend.attempt_with(&[scope, acr]);
    let page = browser.open_page(&attempt.url).await;
    assert!(page.url.path().ends_with("/mfa/totp"), "{page:#?}");
    let form = page.form_with("offer");
    let scanned = AuthenticatorApp::scan(&page);
    for (code, password, status) in
        [(scanned.wrong_code(), alice.password.as_str(), 422), (scanned.code(), "wrong password", 403)]
    {
        let refused = browser.submit(&form, &[("code", &code), ("current", password)], form.buttons.first()).await;
        assert_eq!(refused.status, status, "{refused:#?}");
    }
    let (app, page) = AuthenticatorApp::add(&browser, &page, &alice.password).await;
    let callback = browser.open(&page.link("/login").expect("a link onward")).await.expect_callback();
    let strong = redeem(&tenant.backend, &callback, &attempt.verifier).await;
    let (before, after) = (claims_of(weak.id()), claims_of(strong.id()));
    assert_eq!((&after["acr"], &after["amr"]), (&json!(TWO), &json!(["pwd", "otp", "mfa"])));
    assert_eq!(after["auth_time"], before["auth_time"], "the password was not asked for as at a sign-in");
    assert_eq!(after["sid"], before["sid"]);
    let _ = web::send(users(&strong.access)).await.expect(200);
    let _ = web::send(users(&weak.access)).await.expect(401);

    // Another browser: the password, then the code; as at any sign-in.
    forget_steps(&tenant).await;
    let (browser, attempt) = (Browser::new(), tenant.backend.attempt_with(&[scope, acr]));
    let page = show_password(&browser, &attempt.url, &alice).await;
    let callback = show_code(&browser, &page, &app.code()).await.expect_callback();
    let strong = redeem(&tenant.backend, &callback, &attempt.verifier).await;
    let _ = web::send(users(&strong.access)).await.expect(200);
    // The better class does for the weaker.
    let silent = ("prompt", Some("none"));
    let attempt = tenant.backend.attempt_with(&[scope, silent, ("acr_values", Some("urn:hellojohn:acr:1fa"))]);
    let callback = browser.open(&attempt.url).await.expect_callback();
    let tokens = redeem(&tenant.backend, &callback, &attempt.verifier).await;
    assert_eq!(claims_of(tokens.id())["acr"], TWO);
}

#[tokio::test]
async fn at_an_address_that_is_no_name_there_are_no_keys_and_the_pages_say_so() {
    let world = world::shared().await;
    let tenant = world.tenant("nameless").await;
    let alice = tenant.user("alice").await;
    let (browser, app, _) = enrolled(&tenant, &alice).await;
    let page = browser.open_page(&page_url(&tenant, "/account/factors")).await;
    assert!(page.link("/mfa/webauthn").is_none() && page.text().contains("takes a domain name"), "{page:#?}");
    let page = browser.open(&page_url(&tenant, "/mfa/webauthn?next=factors")).await;
    assert!(page.status == 404 && page.text().contains("takes a domain name"), "{page:#?}");
    // One from when the issuer had a name.
    let before = format!(
        "insert into second_factors (id, user_id, kind, sealed, sign_count, name, created_at) \
         values (gen_random_uuid(), '{}', 'webauthn', 'x', 0, 'Blue', now())",
        alice.id
    );
    tenant.database.connect().await.batch_execute(&before).await.expect("a table");
    let (browser, attempt) = (Browser::new(), tenant.backend.attempt());
    let page = show_password(&browser, &attempt.url, &alice).await;
    assert!(page.text().contains("cannot be used right now") && !page.body.contains("<script"), "{page:#?}");
    let _ = show_code(&browser, &page, &app.code()).await.expect_callback();
}

#[tokio::test]
async fn a_tenant_decides_who_needs_one() {
    let world = world::shared().await;
    let tenant = world.tenant("policy").await;
    let (alice, bob) = (tenant.user("alice").await, tenant.user("bob").await);
    let mfa = async |mode: &str| tenant.patch(&json!({ "settings": { "oauth": { "mfa": mode } } })).await;
    let (_, app, _) = enrolled(&tenant, &alice).await;
    let weak = Browser::new();
    weak.authorize(&tenant.backend.attempt().url, &bob).await;

    mfa("required").await;
    // Sessions of one factor are none any more.
    let silent = tenant.backend.attempt_with(&[("prompt", Some("none"))]);
    assert_eq!(parameters(&weak.open(&silent.url).await.expect_callback())["error"], "login_required");
    assert!(weak.open(&page_url(&tenant, "/account")).await.url.path().ends_with("/login"));
    // Who has no second factor adds one before the sign-in is done, without the password again.
    let (browser, attempt) = (Browser::new(), tenant.backend.attempt());
    let sign_in = browser.open_page(&attempt.url).await.expect_form();
    let page = browser.sign_in(&sign_in, &bob.email, &bob.password).await;
    assert!(page.url.path().ends_with("/mfa/totp") && !page.form_with("offer").asks_for_password(), "{page:#?}");
    assert!(parameters(&browser.open(&silent.url).await.expect_callback()).contains_key("error"));
    let (_, page) = AuthenticatorApp::add(&browser, &page, "").await;
    assert_eq!(recovery_codes(&page).len(), 8, "{page:#?}");
    let callback = browser.open(&page.link("/login").expect("a link onward")).await.expect_callback();
    let tokens = redeem(&tenant.backend, &callback, &attempt.verifier).await;
    assert_eq!(claims_of(tokens.id())["acr"], TWO);

    mfa("off").await;
    let attempt = tenant.backend.attempt_with(&[("acr_values", Some(TWO))]);
    let callback = Browser::new().authorize(&attempt.url, &alice).await;
    let tokens = redeem(&tenant.backend, &callback, &attempt.verifier).await;
    assert_eq!(claims_of(tokens.id())["amr"], json!(["pwd"]));
    assert_eq!(tenant.backend.discovery().await.json["acr_values_supported"], json!(["urn:hellojohn:acr:1fa"]));
    assert_eq!(browser.open(&page_url(&tenant, "/account/factors")).await.status, 404);

    mfa("optional").await;
    let (browser, attempt) = (Browser::new(), tenant.backend.attempt());
    let page = show_password(&browser, &attempt.url, &alice).await;
    // A password that is changed meanwhile ends what was begun with it.
    let token = tenant.service.client_credentials("hj:users.write").await;
    let user = format!("{}/api/v1/users/{}", tenant.issuer, alice.id);
    let body = json!({ "password": "a donkey with a paper clip" });
    let _ = web::send(tenant.service.http.patch(user).bearer_auth(token).json(&body)).await.expect(200);
    let over = show_code(&browser, &page, &app.code()).await;
    assert!(over.leaves_to.is_none() && over.url.path().ends_with("/login"), "{over:#?}");
}
