//! The sign-in page: its forms, its cookies, and what it lets slip.

use tests::browser::{Browser, Form, Page};
use tests::relying_party::parameters;
use tests::web;
use tests::world;

/// The hidden values that tie a form to its page and browser.
fn hidden(form: &Form) -> Vec<String> {
    form.fields.iter().filter(|field| field.kind == "hidden").map(|field| field.name.clone()).collect()
}

fn without(form: &Form, name: &str) -> Form {
    let mut form = form.clone();
    form.fields.retain(|field| field.name != name);
    form
}

#[tokio::test]
async fn a_login_form_without_its_own_token_starts_no_session() {
    let world = world::shared().await;
    let tenant = world.tenant("csrf").await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    let attempt = tenant.backend.attempt();
    let form = browser.open_page(&attempt.url).await.expect_form();
    let fill = [(form.email_field(), alice.email.as_str()), (form.password_field(), alice.password.as_str())];
    let hidden = hidden(&form);
    assert!(!hidden.is_empty(), "{form:#?}");
    let refused = |what: &str, page: &Page| {
        assert!(page.status == 403 && page.leaves_to.is_none(), "{what}: {page:#?}");
    };
    for name in &hidden {
        refused(name, &browser.submit(&without(&form, name), &fill, None).await);
        let mut forged = fill.to_vec();
        forged.push((name, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
        refused(name, &browser.submit(&form, &forged, None).await);
    }
    // What is genuine in another browser's page of the same request: a part of it, and all of it, as of somebody who wants
    // this person to sign in for him.
    let theirs = Browser::new().open_page(&attempt.url).await.expect_form();
    for name in &hidden {
        let genuine = theirs.fields.iter().find(|field| field.name == *name).expect("the same form");
        let mut forged = fill.to_vec();
        forged.push((name, &genuine.value));
        refused(name, &browser.submit(&form, &forged, None).await);
    }
    refused("another browser's page", &browser.submit(&theirs, &fill, None).await);
    // Another browser with the whole form, but without the cookies that belong to it.
    refused("another browser", &Browser::new().submit(&form, &fill, None).await);
    // From a page of another site.
    let foreign = browser.submission(&form, &fill, None).header("origin", "https://evil.example");
    let mut foreign = foreign.build().expect("a request");
    foreign.headers_mut().insert("origin", "https://evil.example".parse().expect("a header"));
    foreign.headers_mut().insert("sec-fetch-site", "cross-site".parse().expect("a header"));
    let answer = web::client().execute(foreign).await.expect("an answer");
    assert_eq!(answer.status(), 403, "{answer:?}");
    let silent = tenant.backend.attempt_with(&[("prompt", Some("none"))]);
    let callback = parameters(&browser.open(&silent.url).await.expect_callback());
    assert_eq!(callback["error"], "login_required");
    // The real one still works.
    let page = browser.submit(&form, &fill, None).await;
    assert!(parameters(&page.expect_callback()).contains_key("code"));
    // Once: genuine as it is, nothing waits for it any more.
    assert_eq!(browser.submit(&form, &fill, None).await.status, 400);
}

#[tokio::test]
async fn the_session_cookie_changes_at_sign_in_and_is_well_guarded() {
    let world = world::shared().await;
    let tenant = world.tenant("cookies").await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    let first = browser.open_page(&tenant.backend.attempt().url).await;
    let before: Vec<String> =
        first.set_cookies.iter().filter_map(|it| it.split(';').next()).map(ToOwned::to_owned).collect();
    let form = first.expect_form();
    let signed_in = browser.sign_in(&form, &alice.email, &alice.password).await;
    let _ = signed_in.expect_callback();
    let fresh: Vec<&String> = signed_in.set_cookies.iter().filter(|it| !it.contains("Max-Age=0")).collect();
    assert!(!fresh.is_empty(), "signing in sets a session cookie: {signed_in:#?}");
    for cookie in &fresh {
        let pair = cookie.split(';').next().unwrap_or_default();
        assert!(!before.iter().any(|old| old == pair), "kept from before the sign-in: {cookie}");
    }
    for cookie in first.set_cookies.iter().chain(&signed_in.set_cookies) {
        let attributes = cookie.to_lowercase();
        assert!(attributes.contains("httponly"), "{cookie}");
        assert!(attributes.contains("samesite=lax") || attributes.contains("samesite=strict"), "{cookie}");
        // The issuer is http here; what else they have over https is told in `https`.
        assert!(!attributes.contains("domain="), "{cookie}");
    }
    for (status, url) in &signed_in.hops {
        assert!([302, 303].contains(status), "{status} to {url} would repeat the password");
    }
}

#[tokio::test]
async fn passwords_are_compared_whole() {
    let world = world::shared().await;
    let tenant = world.tenant("exact").await;
    let token = tenant.service.client_credentials("hj:users.write").await;
    let long = "0123456789".repeat(9);
    for (number, password) in
        [" a blank at both ends ", "pässwörd 日本語 👍 staple", long.as_str()].into_iter().enumerate()
    {
        let email = format!("user-{number}@exact.example");
        let body = serde_json::json!({ "email": email, "password": password });
        let request = tenant.service.http.post(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(&token);
        let _ = web::send(request.json(&body)).await.expect(201);
        let browser = Browser::new();
        let form = browser.open_page(&tenant.backend.attempt().url).await.expect_form();
        let almost =
            [password.trim(), &password[..password.len() - 4], &password.to_uppercase()].map(ToOwned::to_owned);
        let mut page = None;
        for wrong in almost.iter().filter(|wrong| *wrong != password && wrong.is_ascii() == password.is_ascii()) {
            let refused = browser.sign_in(&form, &email, wrong).await;
            assert!(refused.leaves_to.is_none(), "{wrong:?} passes for {password:?}");
            page = refused.form();
        }
        let form = page.unwrap_or(form);
        let _ = browser.sign_in(&form, &email, password).await.expect_callback();
    }
}

#[tokio::test]
async fn pages_cannot_be_framed_or_scripted() {
    let world = world::shared().await;
    let tenant = world.tenant("framed").await;
    let page = Browser::new().open_page(&tenant.backend.attempt().url).await;
    let header = |name: &str| page.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let policy = header("content-security-policy");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"), "{policy}");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("cache-control").contains("no-store"));
    let referrer = header("referrer-policy");
    assert!(["no-referrer", "same-origin", "strict-origin"].contains(&referrer), "{referrer}");
}

#[tokio::test]
async fn what_a_client_is_called_cannot_become_markup() {
    let world = world::shared().await;
    let tenant = world.tenant("markup").await;
    let alice = tenant.user("alice").await;
    let name = "<script>alert(1)</script>\"'>&";
    tenant.patch_client("app", &serde_json::json!({ "name": name })).await;
    let browser = Browser::new();
    let form = browser.open_page(&tenant.app.attempt().url).await.expect_form();
    let page = browser.sign_in(&form, &alice.email, &alice.password).await;
    assert!(page.text().contains("<script>alert(1)</script>"), "shown as text: {page:#?}");
    assert!(!page.body.contains("<script>alert"), "{}", page.body);
    let login = browser.sign_in(&form, "\"><script>alert(2)</script>@x.example", "wrong").await;
    assert!(!login.body.contains("<script>alert"), "{}", login.body);
}
