//! Whatever is wrong, nobody is signed in.

use serde_json::{Value, json};
use tests::browser::{Browser, Page};
use tests::relying_party::parameters;
use tests::table::Table;
use tests::tenant::Tenant;
use tests::tokens::Jwt;
use url::Url;

use super::key::{Key, now};
use super::upstream::Upstream;
use super::{add_user, trust, way, world};

/// A browser that was sent to a provider, and what with.
struct Sent {
    browser: Browser,
    state: String,
    nonce: String,
}

async fn sent(tenant: &Tenant, provider: &str) -> Sent {
    let browser = Browser::new();
    let way = way(&browser, &tenant.backend.attempt().url, provider).await;
    let asked = parameters(&browser.open(&way).await.expect_callback());
    assert_eq!(asked["redirect_uri"], format!("{}/login/{provider}/callback", tenant.issuer));
    assert_eq!((asked["code_challenge_method"].as_str(), asked["scope"].as_str()), ("S256", "openid"));
    Sent { browser, state: asked["state"].clone(), nonce: asked["nonce"].clone() }
}

fn answer(tenant: &Tenant, provider: &str, parameters: &[(&str, &str)]) -> Url {
    let callback = format!("{}/login/{provider}/callback", tenant.issuer);
    Url::parse_with_params(&callback, parameters).expect("a URL")
}

fn is_refused(table: &mut Table, what: &str, page: &Page) {
    let refused = [400, 403].contains(&page.status)
        && page.leaves_to.is_none()
        && !page.set_cookies.iter().any(|cookie| cookie.contains("hj_session"));
    table.check(what, refused, || format!("{page:#?}"));
}

#[tokio::test]
async fn an_id_token_that_is_not_for_this_sign_in_signs_nobody_in() {
    let world = world().await;
    let tenant = world.tenant("lies").await;
    let upstream = Upstream::start(&json!({})).await;
    trust(&tenant, &json!([upstream.as_provider("evil", "anybody")])).await;
    let mut table = Table::new();
    let come = async |make: &dyn Fn(&str) -> String| {
        let sent = sent(&tenant, "evil").await;
        upstream.gives(&make(&sent.nonce));
        sent.browser.open(&answer(&tenant, "evil", &[("code", "c"), ("state", &sent.state)])).await
    };
    let changed = |nonce: &str, changes: &Value| {
        let mut claims = upstream.claims(nonce);
        for (name, value) in changes.as_object().expect("claims by name") {
            match value {
                Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    };
    for (what, changes) in [
        ("another issuer", json!({ "iss": "https://other.example" })),
        ("another audience", json!({ "aud": "them" })),
        ("several, made for another", json!({ "aud": ["us", "them"], "azp": "them" })),
        ("several, made for nobody", json!({ "aud": ["us", "them"] })),
        ("another nonce", json!({ "nonce": "n" })),
        ("no nonce", json!({ "nonce": null })),
        ("expired", json!({ "exp": now() - 60 })),
        ("no end", json!({ "exp": null })),
        ("of the future", json!({ "iat": now() + 600, "exp": now() + 900 })),
        ("of yesterday", json!({ "iat": now() - 86_400 })),
        ("nobody", json!({ "sub": "" })),
        ("an unverified address", json!({ "email_verified": false })),
        ("an address that looks verified", json!({ "email_verified": "true" })),
        ("no address", json!({ "email": null })),
    ] {
        let page = come(&|nonce| upstream.sign(&changed(nonce, &changes))).await;
        is_refused(&mut table, what, &page);
    }
    let (stranger, public) = (Key::new("up"), upstream.key.jwk.to_string());
    let header = json!({ "alg": "ES256", "kid": "up" });
    let page = come(&|nonce| stranger.sign(&header, &upstream.claims(nonce))).await;
    is_refused(&mut table, "another's key", &page);
    let page = come(&|nonce| Jwt::parse(&upstream.sign(&upstream.claims(nonce))).with_alg_none()).await;
    is_refused(&mut table, "alg none", &page);
    let page = come(&|nonce| Jwt::parse(&upstream.sign(&upstream.claims(nonce))).with_hs256(public.as_bytes())).await;
    is_refused(&mut table, "HS256 by what is public", &page);
    let header = json!({ "alg": "ES256", "kid": "up", "typ": "logout+jwt" });
    let page = come(&|nonce| upstream.key.sign(&header, &upstream.claims(nonce))).await;
    is_refused(&mut table, "a logout token", &page);
    let page = come(&|_| "garbage".to_owned()).await;
    is_refused(&mut table, "garbage", &page);

    let rows = "select (select count(*) from federated_identities) + (select count(*) from sessions)";
    let row = tenant.database.connect().await.query_one(rows, &[]).await.expect("the tables are there");
    assert_eq!(row.get::<_, i64>(0), 0, "nobody came in");
    // It was for that alone.
    let page = come(&|nonce| upstream.sign(&upstream.claims(nonce))).await;
    let in_it_is = page.leaves_to.as_ref().is_some_and(|to| parameters(to).contains_key("code"));
    table.check("the truth", in_it_is, || format!("{page:#?}"));
    table.finish(world).await;
}

#[tokio::test]
async fn an_answer_that_is_not_of_this_provider_to_this_browser_is_none() {
    let world = world().await;
    let tenant = world.tenant("mixed").await;
    let (one, other) = (Upstream::start(&json!({})).await, Upstream::start(&json!({})).await);
    let promising = Upstream::start(&json!({ "authorization_response_iss_parameter_supported": true })).await;
    let another = json!({ "issuer": one.issuer });
    let liar = Upstream::start(&another).await;
    let providers = [(&one, "one"), (&other, "other"), (&promising, "promising"), (&liar, "liar")];
    trust(&tenant, &providers.iter().map(|(it, id)| it.as_provider(id, "anybody")).collect()).await;
    let mut table = Table::new();

    // RFC 9700 §4.4: begun at one, answered as another.
    let begun = sent(&tenant, "one").await;
    one.gives(&one.sign(&one.claims(&begun.nonce)));
    other.gives(&other.sign(&other.claims(&begun.nonce)));
    let good = [("code", "c"), ("state", begun.state.as_str())];
    let page = begun.browser.open(&answer(&tenant, "other", &good)).await;
    is_refused(&mut table, "at the other's address", &page);
    let page = Browser::new().open(&answer(&tenant, "one", &good)).await;
    is_refused(&mut table, "in another browser", &page);
    let page = sent(&tenant, "one").await.browser.open(&answer(&tenant, "one", &good)).await;
    is_refused(&mut table, "in a browser that began another", &page);
    let page = begun.browser.open(&answer(&tenant, "one", &[("code", "c"), ("state", "made-up")])).await;
    is_refused(&mut table, "a made-up state", &page);
    let page = begun.browser.open(&answer(&tenant, "one", &[("code", "c")])).await;
    is_refused(&mut table, "no state", &page);
    // None of that used it up; answering does.
    let page = begun.browser.open(&answer(&tenant, "one", &good)).await;
    table.check("the right one", page.leaves_to.is_some(), || format!("{page:#?}"));
    let page = begun.browser.open(&answer(&tenant, "one", &good)).await;
    is_refused(&mut table, "twice", &page);

    // RFC 9207 §2.4.
    for (what, provider, iss) in [
        ("another's iss", "one", Some(other.issuer.as_str())),
        ("a longer iss", "one", Some(&*format!("{}/", one.issuer))),
        ("no iss, though it was promised", "promising", None),
        ("another's iss, though it was promised", "promising", Some(&one.issuer)),
    ] {
        let begun = sent(&tenant, provider).await;
        for upstream in [&one, &promising] {
            upstream.gives(&upstream.sign(&upstream.claims(&begun.nonce)));
        }
        let mut parameters = vec![("code", "c"), ("state", begun.state.as_str())];
        parameters.extend(iss.map(|iss| ("iss", iss)));
        is_refused(&mut table, what, &begun.browser.open(&answer(&tenant, provider, &parameters)).await);
    }
    let begun = sent(&tenant, "one").await;
    let declined = [("error", "access_denied"), ("state", begun.state.as_str())];
    let page = begun.browser.open(&answer(&tenant, "one", &declined)).await;
    is_refused(&mut table, "declined", &page);
    table.check("declined", page.text().contains("did not sign you in"), || page.text());

    // OIDC Discovery §4.3: nobody is even sent to where such metadata lead.
    let browser = Browser::new();
    let way = way(&browser, &tenant.backend.attempt().url, "liar").await;
    is_refused(&mut table, "another's metadata", &browser.open(&way).await);
    table.finish(world).await;
}

/// An address is taken over by nobody: not of somebody whom the provider has not verified, nor of somebody who registered
/// it here without owning it.
#[tokio::test]
async fn nobody_gets_anothers_account_by_an_address() {
    let world = world().await;
    let tenant = world.tenant("addresses").await;
    let upstream = Upstream::start(&json!({})).await;
    trust(&tenant, &json!([upstream.as_provider("evil", "anybody")])).await;
    add_user(&tenant, "verified@corp.example", true).await;
    add_user(&tenant, "squatted@corp.example", false).await;
    let mut table = Table::new();
    for (what, email, verified) in [
        ("not verified there", "verified@corp.example", false),
        ("not verified here", "squatted@corp.example", true),
        ("an address that is none", "not an address", true),
    ] {
        let sent = sent(&tenant, "evil").await;
        let mut claims = upstream.claims(&sent.nonce);
        (claims["email"], claims["email_verified"]) = (json!(email), json!(verified));
        upstream.gives(&upstream.sign(&claims));
        let good = [("code", "c"), ("state", sent.state.as_str())];
        is_refused(&mut table, what, &sent.browser.open(&answer(&tenant, "evil", &good)).await);
    }
    table.finish(world).await;
}
