//! Cookies of an issuer that is https: no browser sends them, or takes them, in the clear (ASVS 3.3.1 to 3.3.4).

use std::net::SocketAddr;

use serde_json::json;
use tests::browser::{Browser, Page};
use tests::pki::{Authority, Wanted};
use tests::pod::{Plan, Pod};
use tests::postgres::free_port;
use tests::relying_party::{RelyingParty, parameters};
use tests::tenant::Tenant;
use tests::web;
use tests::world::World;

const HOST: &str = "acme.example";

fn are_guarded(page: &Page, prefix: &str, path: &str) {
    assert!(!page.set_cookies.is_empty(), "{page:#?}");
    for cookie in &page.set_cookies {
        assert!(cookie.starts_with(prefix), "{cookie}");
        let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
        for wanted in ["Secure", "HttpOnly", "SameSite=Lax", &format!("Path={path}")] {
            assert!(attributes.contains(&wanted), "{wanted}: {cookie}");
        }
        assert!(!attributes.iter().any(|it| it.starts_with("Domain")), "{cookie}");
    }
}

/// Signs in and out again, with a look at each cookie on the way.
async fn walk(browser: &Browser, tenant: &Tenant, issuer: &str, prefix: &str, path: &str) {
    let alice = tenant.user("alice").await;
    let backend: RelyingParty = tenant.backend.at(issuer);
    let login = browser.open_page(&backend.attempt().url).await;
    are_guarded(&login, prefix, path);
    let signed_in = browser.sign_in(&login.expect_form(), &alice.email, &alice.password).await;
    are_guarded(&signed_in, &format!("{prefix}hj_session="), path);
    assert_eq!(parameters(&signed_in.expect_callback())["iss"], issuer);
    let silently = async || {
        let attempt = backend.attempt_with(&[("prompt", Some("none"))]);
        let answer = parameters(&browser.open(&attempt.url).await.expect_callback());
        answer.get("error").cloned().unwrap_or_else(|| "a code".to_owned())
    };
    assert_eq!(silently().await, "a code", "it is sent back");
    let form = browser.open_page(&format!("{issuer}/oauth2/logout").parse().expect("a URL")).await.expect_form();
    // What is taken back is taken back under the same name and path, or it stays.
    are_guarded(&browser.submit(&form, &[], form.buttons.first()).await, prefix, path);
    assert_eq!(silently().await, "login_required");
}

#[tokio::test]
async fn cookies_of_an_https_issuer_are_for_https_alone() {
    let authority = Authority::new("https");
    let certified = authority.certify_as("pod", &Wanted { names: &["localhost", HOST], ..Wanted::default() });
    let [cert, key, _] = certified.files.each_ref().map(String::as_str);
    let mut world = World::start(1, 0).await;
    let port = free_port();
    let (address, public_url) = (format!("127.0.0.1:{port}"), format!("https://localhost:{port}"));
    let flags = ["--tls-addr", &address, "--public-tls-cert-file", cert, "--public-tls-key-file", key];
    let control_plane = world.cluster.watch_urls();
    let plan =
        Plan { name: "pod", control_plane: &control_plane, public_url: &public_url, flags: &flags, ..Plan::default() };
    world.pods.push(Pod::start(&plan, &world.cluster.secrets).await);

    let trusted = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("PEM");
    let address: SocketAddr = address.parse().expect("an address");
    // Found at that port where a URL names none.
    let builder = web::builder().tls_certs_only([trusted]).resolve(HOST, address);
    let browser = Browser::with(builder.resolve("localhost", address));
    let by_path = world.tenant("by-path").await;
    let path = format!("/t/{}", by_path.slug);
    walk(&browser, &by_path, &format!("{public_url}{path}"), "__Secure-", &path).await;
    let by_host = Tenant::create_with(&world, "by-host", json!({ "issuer_mode": "host", "hosts": [HOST] })).await;
    walk(&browser, &by_host, &format!("https://{HOST}"), "__Host-", "/").await;
}
