//! Providers that give their clients secrets, by either way to show one: the secret goes there and to nobody else, and one
//! that is wrong is told to those who can mend it.

use reqwest::Method;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::wait::{PATIENCE, until};
use tests::web;

use super::{Pair, trust, world};

/// Whatever stands in it gets there as it is, through forms and headers (RFC 6749 §2.3.1).
const SECRET: &str = "100%+of:what/they&gave=us?in~one{text}";
const WRONG: &str = "what-they-gave-to-us-the-year-before";

/// The provider knows the tenant by [`SECRET`], shown this way.
async fn pair(name: &str, method: &str) -> Pair {
    let pair = Pair::new(name, "anybody").await;
    let _ = pair.up.admin.delete(&format!("/tenants/{}/clients/down", pair.up.slug)).await.expect(204);
    let client = json!({
        "kind": "Client", "tenant": pair.up.slug, "client_id": "down", "name": "Down", "secret": SECRET,
        "token_endpoint_auth_method": method, "scopes": ["openid", "email", "profile"],
        "redirect_uris": [format!("{}/login/corp/callback", pair.down.issuer)], "require_consent": false,
    });
    let apply = format!("/apply?plain_secrets=true&set={}&wait=fleet&timeout=15s", pair.up.slug);
    let done = pair.up.admin.post(&apply, &json!({ "documents": [client] })).await.expect(200);
    assert_eq!(done.header("x-fleet"), Some("complete"), "{done:?}");
    pair
}

fn provider(pair: &Pair, method: &str, changes: &Value) -> Value {
    let mut provider = json!({
        "id": "corp", "display_name": "Corp", "issuer": pair.up.issuer, "client_id": "down", "people": "anybody",
        "scopes": ["email"], "token_endpoint_auth_method": method,
    });
    for (name, value) in changes.as_object().expect("members") {
        provider[name] = value.clone();
    }
    provider
}

async fn signs_in_by(method: &str) {
    let pair = pair("secret", method).await;
    let alice = pair.up.user("alice").await;
    trust(&pair.down, &json!([provider(&pair, method, &json!({ "client_secret": WRONG }))])).await;
    let page = pair.visit(&Browser::new(), &pair.down.backend.attempt().url, &alice).await;
    assert_eq!((page.status, &page.leaves_to), (501, &None), "{page:#?}");
    assert!(page.text().contains("Signing in at Corp is not set up rightly"), "{page:#?}");
    let pod = world().await.pods[0].process();
    until("it is in the log", PATIENCE, async || {
        let told = |line: &&str| line.contains(&pair.down.slug) && line.contains("does not take this tenant for its");
        pod.log().lines().find(told).map(drop).ok_or_else(|| "nothing".to_owned())
    })
    .await;
    trust(&pair.down, &json!([provider(&pair, method, &json!({ "client_secret": SECRET }))])).await;
    let _ = pair.sign_in(&alice).await;
    // Without it, it stays; and with it again nothing becomes different.
    trust(&pair.down, &json!([provider(&pair, method, &json!({ "scopes": ["email", "profile"] }))])).await;
    let _ = pair.sign_in(&alice).await;
    let log = pod.log();
    assert!(!log.contains(SECRET) && !log.contains(WRONG));
}

#[tokio::test]
async fn the_secret_is_shown_in_the_header() {
    signs_in_by("client_secret_basic").await;
}

#[tokio::test]
async fn the_secret_is_shown_in_the_form() {
    signs_in_by("client_secret_post").await;
}

#[tokio::test]
async fn the_secret_goes_in_and_never_comes_out() {
    let pair = Pair::new("kept", "known").await;
    let (tenant, basic) = (&pair.down, "client_secret_basic");
    let path = format!("/tenants/{}", tenant.slug);
    let put = |changes: Value| {
        let provider = provider(&pair, basic, &changes);
        tenant.admin.patch(&path, &json!({ "settings": { "oauth": { "identity_providers": [provider] } } }))
    };
    let pointer = "/settings/oauth/identity_providers/0/client_secret";
    assert_eq!(put(json!({ "id": "fresh" })).await.expect(422).pointers(), [pointer], "it is needed");
    let shown = put(json!({ "client_secret": SECRET })).await.expect(200);
    let expected = json!([provider(&pair, basic, &json!({}))]);
    assert_eq!(shown.json["settings"]["oauth"]["identity_providers"], expected, "{shown:?}");

    // What is kept is kept for that provider's client alone: whoever names another must know the secret.
    for changes in [
        json!({ "issuer": "https://evil.example" }),
        json!({ "client_id": "another" }),
        json!({ "id": "other" }),
        json!({ "client_secret": "" }),
        json!({ "client_secret": 7 }),
        json!({ "token_endpoint_auth_method": "private_key_jwt", "client_secret": SECRET }),
    ] {
        let refused = put(changes.clone()).await.expect(422);
        assert_eq!(refused.pointers(), [pointer], "{changes}");
        assert!(!refused.text.contains(SECRET), "{refused:?}");
    }
    // Another way to show the same; and none, which forgets it.
    let _ = put(json!({ "token_endpoint_auth_method": "client_secret_post" })).await.expect(200);
    let _ = put(json!({ "token_endpoint_auth_method": "private_key_jwt" })).await.expect(200);
    assert_eq!(put(json!({})).await.expect(422).pointers(), [pointer]);

    let audit = web::send(tenant.admin.request(Method::GET, "/audit/logs?limit=500")).await.expect(200).text;
    assert!(audit.contains("/settings/oauth/identity_providers/corp/client_secret"), "{audit}");
    let export = web::send(tenant.admin.request(Method::GET, "/export")).await.expect(200).text;
    let told = [audit, export, world().await.cluster.logs(), world().await.pods[0].process().log()];
    assert!(told.iter().all(|text| !text.contains(SECRET)));
    assert!(!told[0].contains("hjs1"), "{}", told[0]);
}

/// A provider that has a claim of its own for it, as Microsoft Entra has, counts by that one alone.
#[tokio::test]
async fn an_address_may_be_verified_by_another_claim() {
    let pair = Pair::new("claim", "anybody").await;
    let alice = pair.up.user("alice").await;
    let by = |claim: &str| json!([provider(&pair, "private_key_jwt", &json!({ "email_verified_claim": claim }))]);
    trust(&pair.down, &by("edov")).await;
    let page = pair.visit(&Browser::new(), &pair.down.backend.attempt().url, &alice).await;
    assert_eq!((page.status, page.leaves_to), (403, None));
    pair.up.patch(&json!({ "settings": { "oauth": { "claims": { "edov": { "value": true } } } } })).await;
    let scope = format!("/tenants/{}/scopes?wait=fleet&timeout=15s", pair.up.slug);
    let _ = pair.up.admin.post(&scope, &json!({ "name": "domain", "claims": ["edov"] })).await.expect(201);
    pair.up.patch_client("down", &json!({ "scopes": ["openid", "email", "profile", "domain"] })).await;
    let mut providers = by("edov");
    providers[0]["scopes"] = json!(["email", "domain"]);
    trust(&pair.down, &providers).await;
    let _ = pair.sign_in(&alice).await;
}
