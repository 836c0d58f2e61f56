//! npm's `oidc-client-ts`: a single-page application in a real Chromium.
//!
//! Renewal in a hidden frame lives on the session's cookie. Browsers send a `SameSite=Lax` cookie in a frame only where
//! the application is of the same site as the issuer (`app.example.com` and `id.example.com`); to a foreign site's frame
//! they would not send any other cookie either, as they keep those apart by the site on top. So that there is
//! `login_required`, and the way is a refresh token.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tests::tenant::{Tenant, User};
use tests::tools;
use tests::wait::{PATIENCE, until};
use tests::webdriver::Chromium;
use tests::world;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The application's web server: its two scripts, and the same page everywhere else. Its port.
async fn serve(packages: &Path, issuer: &str) -> u16 {
    let settings = json!({ "authority": issuer, "client_id": "app" });
    let page = format!(
        "<!doctype html><title>App</title><script src=\"/oidc-client-ts.min.js\"></script>\
         <script>const settings = {settings}</script><script src=\"/single-page.js\"></script><body></body>"
    );
    let read = |path: &str| std::fs::read_to_string(packages.join(path)).expect("it is installed");
    let library = read("node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js");
    let scripts = HashMap::from([("/oidc-client-ts.min.js", library), ("/single-page.js", read("single-page.js"))]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let served = Arc::new((page, scripts));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let served = Arc::clone(&served);
            // Chromium opens connections in advance and says nothing on them.
            tokio::spawn(async move {
                let (page, scripts) = &*served;
                let mut request = vec![0; 16 << 10];
                let length = stream.read(&mut request).await.unwrap_or_default();
                let line = String::from_utf8_lossy(&request[..length]);
                let target = line.split([' ', '?']).nth(1).unwrap_or_default();
                let (kind, body) = scripts.get(target).map_or(("text/html", page), |text| ("text/javascript", text));
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
                let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).await;
            });
        }
    });
    port
}

/// The application at two hosts: one is of the issuer's site, the other is not.
async fn stage() -> (Tenant, User, [String; 2]) {
    let world = world::shared().await;
    let tenant = world.tenant("single-page").await;
    let port = serve(&tools::npm("tests/clients"), &tenant.issuer).await;
    let origins = [format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")];
    let at = |paths: &[&str]| -> Vec<String> {
        origins.iter().flat_map(|origin| paths.iter().map(move |path| format!("{origin}{path}"))).collect()
    };
    let client = json!({
        "redirect_uris": at(&["/callback", "/silent"]), "post_logout_redirect_uris": at(&["/bye"]),
        "allowed_origins": origins, "require_consent": false,
    });
    tenant.patch_client("app", &client).await;
    let alice = tenant.user("alice").await;
    (tenant, alice, origins)
}

/// Leaves for the issuer and comes back; signs in on the way if anybody asks.
async fn sign_in(chromium: &Chromium, origin: &str, by: &str, user: Option<&User>) {
    chromium.open(origin).await;
    chromium.says("Nobody").await;
    chromium.evaluate(&format!("({by}.signinRedirect(), null)")).await;
    if let Some(user) = user {
        chromium.says("Sign in").await;
        chromium.fill("#email", &user.email).await;
        chromium.fill("#password", &user.password).await;
        chromium.follow("button[type=submit]").await;
    }
    chromium.says("Signed in as alice").await;
}

async fn forget(chromium: &Chromium) {
    chromium.evaluate("byRefresh.removeUser()").await;
}

#[tokio::test]
async fn npms_oidc_client_ts_signs_in_renews_and_signs_out_in_chromium() {
    let (tenant, alice, [same_site, cross_site]) = stage().await;
    let chromium = Chromium::start().await;

    // With a refresh token.
    sign_in(&chromium, &same_site, "byRefresh", Some(&alice)).await;
    let user = chromium.evaluate("app.user(byRefresh)").await;
    assert_eq!((&user["sub"], &user["name"]), (&json!(alice.id), &json!("alice")), "{user:#}");
    let renewed = chromium.evaluate("app.renew(byRefresh)").await;
    for member in ["access", "refresh"] {
        assert!(renewed[member].is_string() && renewed[member] != user[member], "{member}: {renewed:#}");
    }
    // By itself, before the access token ends.
    let early = "manager('openid profile email offline_access', { accessTokenExpiringNotificationTimeInSeconds: \
                 Math.floor((JSON.parse(localStorage.getItem(Object.keys(localStorage).find(key => \
                 key.startsWith('oidc.user')))).expires_at - Date.now() / 1000) - 1) })";
    chromium.evaluate(&format!("(window.early = {early}, early.startSilentRenew(), early.getUser(), null)")).await;
    until("the access token is renewed by itself", PATIENCE, async || {
        let now = chromium.evaluate("app.user(byRefresh)").await;
        if now["access"] == renewed["access"] { Err(now.to_string()) } else { Ok(()) }
    })
    .await;
    chromium.evaluate("(early.stopSilentRenew(), null)").await;
    assert_eq!(chromium.evaluate("app.revoke(byRefresh)").await, "revoked");
    forget(&chromium).await;

    // In a hidden frame; nobody is asked anything, as the session goes on.
    sign_in(&chromium, &same_site, "byFrame", None).await;
    let user = chromium.evaluate("app.user(byFrame)").await;
    assert_eq!(user["refresh"], Value::Null, "{user:#}");
    let renewed = chromium.evaluate("app.renew(byFrame)").await;
    assert!(renewed["access"].is_string() && renewed["access"] != user["access"], "{renewed:#}");

    // The same from another site: the frame has no cookie, a refresh token needs none.
    sign_in(&chromium, &cross_site, "byFrame", None).await;
    assert_eq!(chromium.evaluate("app.renew(byFrame)").await["error"], "login_required");
    forget(&chromium).await;
    sign_in(&chromium, &cross_site, "byRefresh", None).await;
    let renewed = chromium.evaluate("app.renew(byRefresh)").await;
    assert!(renewed["access"].is_string(), "{renewed:#}");

    // Out, and back to the application; then there is no session for the frame either.
    chromium.open(&same_site).await;
    chromium.says("Signed in as alice").await;
    chromium.evaluate("(byFrame.signoutRedirect(), null)").await;
    chromium.says("Signed out").await;
    assert!(chromium.url().await.starts_with(&format!("{same_site}/bye")), "{}", chromium.url().await);
    assert_eq!(chromium.evaluate("app.renew(byFrame)").await["error"], "login_required");
    chromium.open(&format!("{}/login", tenant.issuer)).await;
    chromium.says("Sign in").await;
}
