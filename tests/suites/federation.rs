//! Signing in at another OpenID provider: at an honest one, which is a tenant of its own, and at ones that lie in each way
//! that a provider, or somebody between, can (RFC 9700 §4.4).

#[path = "federation/hostile.rs"]
mod hostile;
#[path = "federation/key.rs"]
mod key;
#[path = "federation/linked.rs"]
mod linked;
#[path = "federation/secrets.rs"]
mod secrets;
#[path = "federation/upstream.rs"]
mod upstream;

use serde_json::{Value, json};
use tests::browser::{Browser, Page};
use tests::relying_party::{Tokens, parameters};
use tests::tenant::{Tenant, User};
use tests::tokens::Jwt;
use tests::web;
use tests::webdriver::Chromium;
use tests::world::World;
use tokio::sync::OnceCell;
use url::Url;

/// One pod that reaches listeners of this machine.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_init(|| World::with_outbound(1)).await
}

async fn trust(tenant: &Tenant, providers: &Value) {
    tenant.patch(&json!({ "settings": { "oauth": { "identity_providers": providers } } })).await;
}

/// A user of the tenant with this address, who has a password.
async fn add_user(tenant: &Tenant, email: &str, email_verified: bool) -> String {
    let token = tenant.service.client_credentials("hj:users.write").await;
    let body = json!({ "email": email, "password": "a horse with a staple", "email_verified": email_verified });
    let url = format!("{}/api/v1/users", tenant.issuer);
    web::send(web::client().post(url).bearer_auth(token).json(&body)).await.expect(201).text_of("id")
}

/// The way to the provider, from the page that an authorization request leads to.
async fn way(browser: &Browser, request: &Url, provider: &str) -> Url {
    let page = browser.open_page(request).await;
    page.link(&format!("/login/{provider}")).unwrap_or_else(|| panic!("no way to {provider}: {page:#?}"))
}

/// A tenant whose people sign in at another.
struct Pair {
    down: Tenant,
    up: Tenant,
}

impl Pair {
    async fn new(name: &str, people: &str) -> Self {
        let world = world().await;
        let (down, up) = (world.tenant(&format!("{name}-down")).await, world.tenant(&format!("{name}-up")).await);
        let client = json!({
            "client_id": "down", "name": "Down", "token_endpoint_auth_method": "private_key_jwt",
            "jwks_uri": format!("{}/.well-known/jwks.json", down.issuer), "scopes": ["openid", "email", "profile"],
            "redirect_uris": [format!("{}/login/corp/callback", down.issuer)], "require_consent": false,
        });
        let clients = format!("/tenants/{}/clients?wait=fleet&timeout=15s", up.slug);
        let _ = up.admin.post(&clients, &client).await.expect(201);
        let provider = json!([{
            "id": "corp", "display_name": "Corp <b>", "issuer": up.issuer, "client_id": "down",
            "scopes": ["email", "profile"], "people": people, "claims": { "nickname": "name" },
        }]);
        trust(&down, &provider).await;
        Self { down, up }
    }

    /// From the client's request over the provider's own pages; where the browser ends up.
    async fn visit(&self, browser: &Browser, request: &Url, user: &User) -> Page {
        let there = browser.open_page(&way(browser, request, "corp").await).await;
        assert!(there.url.as_str().starts_with(&self.up.issuer), "{there:#?}");
        browser.sign_in(&there.expect_form(), &user.email, &user.password).await
    }

    async fn sign_in(&self, user: &User) -> Tokens {
        let attempt = self.down.backend.attempt();
        let callback = self.visit(&Browser::new(), &attempt.url, user).await.expect_callback();
        Tokens::read(self.down.backend.redeem(&parameters(&callback)["code"], &attempt.verifier).await)
    }
}

fn sub(tokens: &Tokens) -> String {
    Jwt::parse(tokens.id()).claims["sub"].as_str().expect("a subject").to_owned()
}

#[tokio::test]
async fn people_of_another_provider_come_stay_the_same_and_go() {
    let pair = Pair::new("people", "anybody").await;
    let (alice, bob) = (pair.up.user("alice").await, pair.up.user("bob").await);
    // Known here by an address that both have verified; and made.
    let known = add_user(&pair.down, &alice.email, true).await;
    assert_eq!(sub(&pair.sign_in(&alice).await), known);
    let first = pair.sign_in(&bob).await;
    assert_ne!(sub(&first), bob.id, "a subject of our own");
    assert_eq!(Jwt::parse(first.id()).claims["amr"], json!(["pwd"]), "as the provider said");
    let claims = pair.down.backend.userinfo(&first.access).await.expect(200);
    assert_eq!((claims.text_of("email"), &claims.json["email_verified"]), (bob.email.clone(), &json!(true)));
    assert_eq!(claims.text_of("nickname"), "bob");
    // Bound to issuer and subject: nothing is asked of the address any more.
    let sql =
        format!("update users set email = 'x@y.example', email_normalized = 'x@y.example' where id = '{}'", bob.id);
    pair.up.database.connect().await.batch_execute(&sql).await.expect("the superuser may");
    let moved = User { email: "x@y.example".to_owned(), ..bob };
    assert_eq!(sub(&pair.sign_in(&moved).await), sub(&first));

    let disable = format!("update users set status = 'disabled' where id = '{}'", sub(&first));
    pair.down.database.connect().await.batch_execute(&disable).await.expect("the superuser may");
    let page = pair.visit(&Browser::new(), &pair.down.backend.attempt().url, &moved).await;
    assert_eq!((page.status, page.leaves_to), (403, None));
}

#[tokio::test]
async fn where_only_the_known_may_come_nobody_is_made() {
    let pair = Pair::new("known", "known").await;
    let (alice, bob) = (pair.up.user("alice").await, pair.up.user("bob").await);
    let known = add_user(&pair.down, &alice.email, true).await;
    add_user(&pair.down, &bob.email, false).await;
    let stranger = pair.up.user("mallory").await;
    for nobody in [&bob, &stranger] {
        let page = pair.visit(&Browser::new(), &pair.down.backend.attempt().url, nobody).await;
        assert_eq!((page.status, &page.leaves_to), (403, &None), "{page:#?}");
        assert!(page.text().contains("no account here"), "{page:#?}");
    }
    assert_eq!(sub(&pair.sign_in(&alice).await), known);
}

/// A client that wants a person who signs in now gets one, though the provider has a session.
#[tokio::test]
async fn a_fresh_sign_in_is_fresh_there_too() {
    let pair = Pair::new("fresh", "anybody").await;
    let alice = pair.up.user("alice").await;
    let browser = Browser::new();
    let _ = pair.visit(&browser, &pair.down.backend.attempt().url, &alice).await.expect_callback();
    // Signed in here and there; and without being asked, there.
    let request = pair.down.backend.attempt().url;
    let _ = browser.open(&request).await.expect_callback();
    let own = Url::parse(&pair.down.issuer).expect("a URL");
    assert!(browser.cookies(&Url::parse(&format!("{own}/login")).expect("a URL")).contains("hj_session"));
    let fresh = pair.down.backend.attempt_with(&[("prompt", Some("login"))]);
    let page = pair.visit(&browser, &fresh.url, &alice).await;
    assert!(parameters(&page.expect_callback()).contains_key("code"));
}

/// The provider's word is one factor: a second one that the tenant demands is shown here.
#[tokio::test]
async fn a_second_factor_is_due_all_the_same() {
    let pair = Pair::new("factors", "anybody").await;
    let alice = pair.up.user("alice").await;
    pair.down.patch(&json!({ "settings": { "oauth": { "mfa": "required" } } })).await;
    let page = pair.visit(&Browser::new(), &pair.down.backend.attempt().url, &alice).await;
    assert!(page.leaves_to.is_none() && page.url.path().contains("/mfa"), "{page:#?}");
    let is_session = |cookie: &String| cookie.starts_with("hj_session=") && cookie.contains(&pair.down.slug);
    assert!(!page.set_cookies.iter().any(is_session), "{:?}", page.set_cookies);
}

/// On the page, with a name that is nobody's markup, and onwards to our own pages as well.
#[tokio::test]
async fn the_page_offers_it_and_leads_on() {
    let pair = Pair::new("page", "anybody").await;
    let alice = pair.up.user("alice").await;
    let browser = Browser::new();
    let account = Url::parse(&format!("{}/account", pair.down.issuer)).expect("a URL");
    let page = browser.open_page(&account).await;
    assert!(page.text().contains("Corp <b>"), "{page:#?}");
    let there = browser.open_page(&page.link("/login/corp").expect("a way")).await;
    let back = browser.sign_in(&there.expect_form(), &alice.email, &alice.password).await;
    assert_eq!((back.status, &back.url), (200, &account), "{back:#?}");
    let nowhere = Browser::new().open(&Url::parse(&format!("{}/login/nobody", pair.down.issuer)).expect("a URL")).await;
    assert_eq!(nowhere.status, 404);
}

/// In Chromium, whose policies for content and cookies are real ones.
#[tokio::test]
async fn a_person_does_it_in_a_browser() {
    let pair = Pair::new("chromium", "anybody").await;
    let alice = pair.up.user("alice").await;
    let chromium = Chromium::start().await;
    chromium.open(&format!("{}/account", pair.down.issuer)).await;
    chromium.says("Continue with Corp <b>").await;
    for width in [1280, 390] {
        chromium.set_width(width).await;
        let overflow = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert_eq!(chromium.evaluate(overflow).await, json!(true), "at {width}");
        chromium.screenshot(&format!("login-providers-{width}")).await;
    }
    chromium.follow(".providers a").await;
    chromium.says("Down").await;
    chromium.fill("#email", &alice.email).await;
    chromium.fill("#password", &alice.password).await;
    chromium.follow("button[type=submit]").await;
    chromium.says(&alice.email).await;
    chromium.says("Nothing waits").await;
    chromium.screenshot("login-providers-done").await;
    assert_eq!(chromium.console().await, "");
}
