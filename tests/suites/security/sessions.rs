//! Sessions, interactions and the forms between them: whose they are, and what cannot be done with them.

use reqwest::Method;
use serde_json::json;
use tests::browser::{Browser, Field, Form};
use tests::relying_party::parameters;
use tests::table::Table;
use tests::tenant::{Tenant, User};
use tests::web;
use tests::world;
use url::Url;

/// Where every form of the tenant goes.
fn doors(tenant: &Tenant) -> Vec<String> {
    ["login", "register", "consent", "oauth2/logout", "oauth2/device", "account"]
        .map(|path| format!("{}/{path}", tenant.issuer))
        .into()
}

async fn open_tenant(world: &world::World, name: &str) -> (Tenant, User) {
    let tenant = Tenant::create_with(world, name, json!({ "registration_enabled": true })).await;
    let alice = tenant.user("alice").await;
    (tenant, alice)
}

async fn silently(tenant: &Tenant, browser: &Browser) -> String {
    let asked = tenant.backend.attempt_with(&[("prompt", Some("none"))]);
    let answer = parameters(&browser.open(&asked.url).await.expect_callback());
    answer.get("error").cloned().unwrap_or_else(|| "a code".to_owned())
}

#[tokio::test]
async fn a_form_that_another_site_sent_is_refused_even_with_every_cookie() {
    let world = world::shared().await;
    let (tenant, alice) = open_tenant(&world, "elsewhere").await;
    let browser = Browser::new();
    let fields = [("email", alice.email.as_str()), ("password", alice.password.as_str()), ("decision", "allow")];
    let elsewhere = async |form: &Form, site: &str| {
        web::send(browser.submission(form, &fields, form.buttons.first()).header("sec-fetch-site", site)).await
    };
    let login = browser.open_page(&tenant.app.attempt().url).await.expect_form();
    for site in ["cross-site", "same-site"] {
        let _ = elsewhere(&login, site).await.expect(403);
    }
    let register = browser.open_page(&format!("{}/register", tenant.issuer).parse::<Url>().expect("a URL")).await;
    let _ = elsewhere(&register.expect_form(), "cross-site").await.expect(403);
    let consent = browser.sign_in(&login, &alice.email, &alice.password).await.expect_form();
    let _ = elsewhere(&consent, "cross-site").await.expect(403);
    let logout = browser.open_page(&format!("{}/oauth2/logout", tenant.issuer).parse::<Url>().expect("a URL")).await;
    let _ = elsewhere(&logout.expect_form(), "cross-site").await.expect(403);
    assert_eq!(silently(&tenant, &browser).await, "a code", "still signed in");
    // Its own pages say so.
    let _ = elsewhere(&consent, "same-origin").await.expect_one_of(&[302, 303]);
}

#[tokio::test]
async fn signing_out_takes_a_form_and_ends_the_session_for_every_copy_of_its_cookie() {
    let world = world::shared().await;
    let (tenant, alice) = open_tenant(&world, "sign-out").await;
    let browser = Browser::new();
    browser.authorize(&tenant.backend.attempt().url, &alice).await;
    let door: Url = format!("{}/oauth2/logout", tenant.issuer).parse().expect("a URL");
    let copied = browser.cookies(&door);
    let mut form = browser.open_page(&door).await.expect_form();
    assert_eq!(silently(&tenant, &browser).await, "a code", "a link alone signs nobody out");
    let real = form.clone();
    form.fields.retain(|field| field.name != "csrf");
    assert!(browser.submit(&form, &[], None).await.text().contains("Sign out"), "asked, as by a link");
    assert_eq!(silently(&tenant, &browser).await, "a code");
    form.fields.push(Field { name: "csrf".to_owned(), kind: "hidden".to_owned(), value: "x".to_owned() });
    assert_eq!(browser.submit(&form, &[], None).await.status, 403);
    assert_eq!(silently(&tenant, &browser).await, "a code");
    assert_eq!(browser.submit(&real, &[], None).await.status, 200);
    assert_eq!(silently(&tenant, &browser).await, "login_required");
    let asked = tenant.backend.attempt_with(&[("prompt", Some("none"))]);
    let answer = web::send(Browser::request_with_cookies(&asked.url, &copied)).await;
    assert!(answer.header("location").is_some_and(|to| to.contains("error=login_required")), "{answer:#?}");
}

#[tokio::test]
async fn two_tabs_each_answer_their_own_request() {
    let world = world::shared().await;
    let (tenant, alice) = open_tenant(&world, "tabs").await;
    let browser = Browser::new();
    let (one, two) = (tenant.app.attempt(), tenant.backend.attempt());
    let (first, second) = (browser.open_page(&one.url).await, browser.open_page(&two.url).await);
    let answered = browser.sign_in(&second.expect_form(), &alice.email, &alice.password).await.expect_callback();
    assert_eq!(parameters(&answered)["state"], two.state);
    assert!(answered.as_str().starts_with(&tenant.backend.redirect_uri), "{answered}");
    let consent = browser.sign_in(&first.expect_form(), &alice.email, &alice.password).await.expect_form();
    let answered = browser.consent(&consent).await.expect_callback();
    assert_eq!(parameters(&answered)["state"], one.state);
    assert!(answered.as_str().starts_with(&tenant.app.redirect_uri), "{answered}");
    // Each once.
    let again = browser.consent(&consent).await;
    assert!(again.status == 400 && again.leaves_to.is_none(), "{again:#?}");
}

#[tokio::test]
async fn an_interaction_of_another_browser_opens_no_page() {
    let world = world::shared().await;
    let (tenant, alice) = open_tenant(&world, "stolen").await;
    let browser = Browser::new();
    let login = browser.open_page(&tenant.app.attempt().url).await;
    let consent = browser.sign_in(&login.expect_form(), &alice.email, &alice.password).await;
    // Someone who is signed in himself and follows the link.
    let other = Browser::new();
    other.authorize(&tenant.backend.attempt().url, &tenant.user("eve").await).await;
    for page in [&login, &consent] {
        let seen = other.open(&page.url).await;
        assert!(seen.status == 400 && seen.form().is_none() && seen.leaves_to.is_none(), "{seen:#?}");
    }
    assert_eq!(other.consent(&consent.expect_form()).await.status, 400);
    let _ = browser.consent(&consent.expect_form()).await.expect_callback();
}

#[tokio::test]
async fn what_is_no_form_or_says_a_thing_twice_is_refused_at_every_door() {
    let world = world::shared().await;
    let (tenant, _) = open_tenant(&world, "doors").await;
    let mut table = Table::new();
    let http = web::client();
    let form = "application/x-www-form-urlencoded";
    let mut every = doors(&tenant);
    every.extend(["authorize", "token", "device_authorization", "bc-authorize"].map(|name| tenant.app.endpoint(name)));
    for door in &every {
        let post = |kind: &str, body: String| http.request(Method::POST, door).header("content-type", kind).body(body);
        for kind in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
            table.row(door, post(kind, "csrf=a&email=b&client_id=app".to_owned()), &[400, 415]).await;
        }
        table.row(door, http.post(door).body("csrf=a"), &[400, 415]).await;
        for twice in ["csrf=a&csrf=b", "client_id=app&client_id=app", "interaction=a&interaction=b", "%63srf=a&csrf=a"]
        {
            table.row(door, post(form, twice.to_owned()), &[400]).await;
        }
        for broken in ["a=%", "a=%zz", "a=%00", "a=%ff"] {
            table.row(door, post(form, broken.to_owned()), &[400]).await;
        }
        table.row(door, post(form, format!("a={}", "x".repeat(10 << 20))), &[400, 413]).await;
        let many: Vec<String> = (0..2_000).map(|number| format!("name-{number}=x")).collect();
        table.row(door, post(form, many.join("&")), &[400]).await;
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn no_parameter_leads_a_signed_in_browser_elsewhere() {
    let world = world::shared().await;
    let (tenant, alice) = open_tenant(&world, "return-to").await;
    let browser = Browser::new();
    for name in ["return_to", "next", "continue", "redirect", "url", "target"] {
        for value in ["https://evil.example/", "//evil.example/", "/\\evil.example"] {
            let url = Url::parse_with_params(&format!("{}/login", tenant.issuer), [(name, value)]).expect("a URL");
            let page = browser.open(&url).await;
            assert!(page.leaves_to.is_none() && !page.body.contains("evil.example"), "{page:#?}");
            if let Some(form) = page.form().filter(Form::asks_for_password) {
                let page = browser.sign_in(&form, &alice.email, &alice.password).await;
                assert!(page.status == 200 && page.leaves_to.is_none(), "{page:#?}");
            }
        }
    }
}
