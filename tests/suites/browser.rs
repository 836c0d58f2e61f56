//! The pages in a real Chromium: what its content policy, cookies and forms make of them, which no HTTP client can tell.

#[path = "browser/branding.rs"]
mod branding;
#[path = "browser/without_scripts.rs"]
mod without_scripts;

use serde_json::json;
use tests::relying_party::{Attempt, RelyingParty, Tokens, parameters};
use tests::tenant::Tenant;
use tests::wait::{PATIENCE, until};
use tests::webdriver::Chromium;
use tests::world;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const LOGO: &str =
    r#"<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><rect width="120" height="40" rx="8"/></svg>"#;

/// A relying party's web server: greets at `/home`, has a logo, and redirects from everywhere else to that, on another host
/// name, with what it was told in the query or by a form.
async fn relying_party() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Chromium opens connections in advance and says nothing on them.
            tokio::spawn(greet(stream, port));
        }
    });
    port
}

async fn greet(mut stream: TcpStream, port: u16) {
    let mut request = Vec::new();
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break (head.to_owned(), body.to_owned());
            }
        }
        if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
            return;
        }
    };
    let target = head.split(' ').nth(1).unwrap_or_default();
    let told = target.split_once('?').map(|(_, query)| query.to_owned()).or((!body.is_empty()).then_some(body));
    if target == "/logo.svg" {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: image/svg+xml\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(format!("{head}{LOGO}").as_bytes()).await;
        return;
    }
    let answer = match told {
        Some(told) if target.starts_with("/callback") => {
            format!("HTTP/1.1 303 See Other\r\nLocation: http://localhost:{port}/home?{told}\r\n")
        }
        _ => "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n".to_owned(),
    };
    let answer = format!("{answer}Connection: close\r\n\r\nWelcome to the app");
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// A tenant where people may register, with a relying party that Chromium can reach.
async fn stage(world: &world::World, name: &str) -> (Tenant, RelyingParty, u16) {
    let tenant = Tenant::create_with(world, name, json!({ "registration_enabled": true })).await;
    let port = relying_party().await;
    let redirect_uri = format!("http://127.0.0.1:{port}/callback");
    tenant.patch_client("app", &json!({ "redirect_uris": [redirect_uri] })).await;
    let app = RelyingParty { redirect_uri, ..tenant.app.clone() };
    (tenant, app, port)
}

/// The client's logo is loaded, which the content policy of any other page would not allow, and its pages are linked.
async fn tells_of_the_client(chromium: &Chromium, page: &str) {
    until("the logo is there", PATIENCE, async || {
        match chromium.evaluate("document.querySelector('img.logo').naturalWidth").await {
            width if width == 120 => Ok(()),
            width => Err(format!("{page}: {width}")),
        }
    })
    .await;
    let links = "[...document.querySelectorAll('.foot a[target=_blank]')].map(a => a.href).join(' ')";
    assert_eq!(chromium.evaluate(links).await, "https://app.example/terms https://app.example/privacy", "{page}");
}

/// Looks at the page as narrow and wide, light and dark screens show it.
async fn look(chromium: &Chromium, name: &str) {
    for width in [1280, 390] {
        for scheme in ["light", "dark"] {
            chromium.set_width(width).await;
            chromium.set_scheme(scheme).await;
            chromium.expect_to_fit(name, width).await;
            chromium.screenshot(&format!("{name}-{width}-{scheme}")).await;
        }
    }
    // The style was applied: a policy that blocks it would leave the page bare.
    assert_eq!(chromium.evaluate("getComputedStyle(document.querySelector('main')).maxWidth").await, "400px", "{name}");
    let styled = chromium.console().await;
    assert!(!styled.contains("Content Security Policy"), "{name}: {styled}");
}

async fn redeemed(chromium: &Chromium, app: &RelyingParty, port: u16, attempt: &Attempt) -> Tokens {
    let arrived = chromium.arrives_at(&format!("http://localhost:{port}/home")).await;
    let answer = parameters(&arrived.parse().expect("a URL"));
    assert_eq!(answer.get("state"), Some(&attempt.state), "{arrived}");
    let code = answer.get("code").unwrap_or_else(|| panic!("no code: {arrived}"));
    Tokens::read(app.redeem(code, &attempt.verifier).await)
}

#[tokio::test]
async fn a_person_registers_signs_in_consents_and_signs_out() {
    let world = world::shared().await;
    let (tenant, app, port) = stage(&world, "people").await;
    let about = json!({
        "logo_uri": format!("http://127.0.0.1:{port}/logo.svg"),
        "tos_uri": "https://app.example/terms", "policy_uri": "https://app.example/privacy",
    });
    tenant.patch_client("app", &about).await;
    let chromium = Chromium::start().await;

    // Registers, with a mistake first.
    let attempt = app.attempt();
    chromium.open(attempt.url.as_str()).await;
    chromium.says("Sign in").await;
    tells_of_the_client(&chromium, "login").await;
    look(&chromium, "login").await;
    chromium.follow(".foot a").await;
    chromium.says("Create an account").await;
    look(&chromium, "register").await;
    chromium.fill("#email", "ada@people.example").await;
    chromium.fill("#name", "Ada Lovelace").await;
    chromium.fill("#password", "short").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("The password").await;
    look(&chromium, "register-problem").await;
    assert_eq!(chromium.evaluate("document.querySelector('#email').value").await, "ada@people.example");
    assert_eq!(chromium.evaluate("document.querySelector('#password').value").await, "");
    chromium.fill("#password", "a horse with a staple").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Allow access?").await;
    tells_of_the_client(&chromium, "consent").await;
    look(&chromium, "consent").await;
    chromium.follow("button[value=allow]").await;
    redeemed(&chromium, &app, port, &attempt).await;

    // Once signed in she is not asked who she is; but who waits for the answer on this machine may be anybody.
    let attempt = app.attempt();
    chromium.open(attempt.url.as_str()).await;
    chromium.says("Allow access?").await;
    chromium.follow("button[value=allow]").await;
    redeemed(&chromium, &app, port, &attempt).await;

    // Signs out.
    chromium.open(&format!("{}/oauth2/logout", tenant.issuer)).await;
    chromium.says("You are signed in").await;
    look(&chromium, "signed-in").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("You are signed out").await;
    look(&chromium, "signed-out").await;

    // Signs in, with a wrong password first; the back button then leads nowhere it should not.
    let attempt = app.attempt();
    chromium.open(attempt.url.as_str()).await;
    chromium.says("Sign in").await;
    chromium.fill("#email", "ada@people.example").await;
    chromium.fill("#password", "a horse without").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("is wrong").await;
    look(&chromium, "login-wrong").await;
    chromium.fill("#password", "a horse with a staple").await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Allow access?").await;
    chromium.follow("button[value=allow]").await;
    let tokens = redeemed(&chromium, &app, port, &attempt).await;
    let claims = app.userinfo(&tokens.access).await.expect(200);
    assert_eq!((claims.text_of("email"), claims.text_of("name")), ("ada@people.example".into(), "Ada Lovelace".into()));
}

#[tokio::test]
async fn a_person_says_no_and_the_client_is_told() {
    let world = world::shared().await;
    let (tenant, app, port) = stage(&world, "no").await;
    let alice = tenant.user("alice").await;
    let chromium = Chromium::start().await;
    let attempt = app.attempt();
    chromium.open(attempt.url.as_str()).await;
    chromium.fill("#email", &alice.email).await;
    chromium.fill("#password", &alice.password).await;
    chromium.follow("button[type=submit]").await;
    chromium.says("Allow access?").await;
    chromium.follow("button[value=deny]").await;
    let arrived = chromium.arrives_at(&format!("http://localhost:{port}/home")).await;
    let answer = parameters(&arrived.parse().expect("a URL"));
    assert_eq!((answer["error"].as_str(), &answer["state"]), ("access_denied", &attempt.state));

    // What cannot be answered by redirect is a page.
    let wrong = app.attempt_with(&[("redirect_uri", Some("https://evil.example/cb"))]);
    chromium.open(wrong.url.as_str()).await;
    chromium.says("This link does not work").await;
    look(&chromium, "error").await;
}

#[tokio::test]
async fn a_form_on_another_site_signs_nobody_in() {
    let world = world::shared().await;
    let (tenant, app, _) = stage(&world, "forgery").await;
    let alice = tenant.user("alice").await;
    let chromium = Chromium::start().await;
    // The attacker has the victim's form to the last field; only it stands on another site.
    chromium.open(app.attempt().url.as_str()).await;
    let form = chromium.evaluate("document.querySelector('form').outerHTML").await;
    let action = format!("{}/login", tenant.issuer);
    let elsewhere = format!("http://localhost:{}/home", relying_party().await);
    chromium.open(&elsewhere).await;
    let script = format!(
        "(document.body.innerHTML = {form}, document.querySelector('form').action = {}, \
         document.querySelector('#email').value = {}, document.querySelector('#password').value = {}, \
         document.querySelector('form').submit(), null)",
        json!(action),
        json!(alice.email),
        json!(alice.password),
    );
    chromium.evaluate(&script).await;
    chromium.says("This form cannot be used").await;
    chromium.open(&format!("{}/login", tenant.issuer)).await;
    chromium.says("Sign in").await;
}
