//! Resource indicators (RFC 8707), and how the issuer's own resources describe themselves (RFC 9728).

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::table::Table;
use tests::tenant::Tenant;
use tests::tokens::Jwt;
use tests::web;
use tests::world;

fn audience(token: &str) -> Value {
    Jwt::parse(token).claims["aud"].clone()
}

/// A sign-in for these resources.
async fn sign_in(tenant: &Tenant, party: &RelyingParty, resources: &[&str]) -> Tokens {
    let alice = tenant.user(&format!("alice{}", resources.len())).await;
    let mut attempt = party.attempt();
    for resource in resources {
        attempt.url.query_pairs_mut().append_pair("resource", resource);
    }
    let callback = Browser::new().authorize(&attempt.url, &alice).await;
    Tokens::read(party.redeem(&parameters(&callback)["code"], &attempt.verifier).await)
}

#[tokio::test]
async fn a_token_is_for_what_was_asked_and_may_be_had_for_less() {
    let world = world::shared().await;
    let tenant = world.tenant("resources").await;
    let (orders, stock) = ("https://orders.example", "https://stock.example");
    tenant.patch_client("backend", &json!({ "audiences": [orders, stock] })).await;
    let backend = &tenant.backend;
    let tokens = sign_in(&tenant, backend, &[orders, stock, orders]).await;
    assert_eq!(audience(&tokens.access), json!([orders, stock, tenant.issuer]), "each once, and userinfo");
    let narrow = |token: &str, resource: &str| {
        backend.token(&[("grant_type", "refresh_token"), ("refresh_token", token), ("resource", resource)])
    };
    let less = Tokens::read(narrow(tokens.refresh(), stock).await);
    assert_eq!(audience(&less.access), json!([stock, tenant.issuer]));
    assert_eq!(narrow(less.refresh(), "urn:unknown").await.expect(400).code(), "invalid_target");
    assert_eq!(narrow(less.refresh(), &tenant.issuer).await.expect(400).code(), "invalid_target", "not asked for");
    // The next one is for all again; but not for what was taken from the client.
    tenant.patch_client("backend", &json!({ "audiences": [stock] })).await;
    let next = Tokens::read(backend.refresh(less.refresh()).await);
    assert_eq!(audience(&next.access), json!([stock, tenant.issuer]));
    let refused = narrow(next.refresh(), orders).await.expect(400);
    assert_eq!(refused.code(), "invalid_target");

    let attempt = backend.attempt_with(&[("resource", Some("urn:unknown"))]);
    let answer = web::send(backend.http.get(attempt.url)).await.expect(303);
    assert!(answer.header("location").is_some_and(|to| to.contains("error=invalid_target")), "{answer:#?}");
}

#[tokio::test]
async fn the_issuers_own_resources_say_what_they_ask_for() {
    let world = world::shared().await;
    let tenant = world.tenant("described").await;
    let http = &tenant.app.http;
    let mut table = Table::new();
    for (path, scopes) in [
        ("", json!(["openid", "hj:users.read", "hj:users.write"])),
        ("/oauth2/userinfo", json!(["openid"])),
        ("/api/v1/users", json!(["hj:users.read", "hj:users.write"])),
    ] {
        let base = world.pods[0].url();
        let inserted = format!("{base}/.well-known/oauth-protected-resource/t/{}{path}", tenant.slug);
        let below = format!("{}/.well-known/oauth-protected-resource{path}", tenant.issuer);
        for url in [&inserted, &below] {
            let answer = table.row(url, http.get(url), &[200]).await;
            table.check(url, answer.json["resource"] == format!("{}{path}", tenant.issuer), || answer.text.clone());
            table.check(url, answer.json["authorization_servers"] == json!([tenant.issuer]), || answer.text.clone());
            table.check(url, answer.json["scopes_supported"] == scopes, || answer.text.clone());
        }
        if !path.is_empty() {
            // The challenge leads there.
            let challenge = table.row(path, http.get(format!("{}{path}", tenant.issuer)), &[401]).await;
            let told = challenge.header("www-authenticate").unwrap_or_default();
            table.check(path, told.contains(&format!("resource_metadata=\"{inserted}\"")), || told.to_owned());
        }
    }
    let unknown = format!("{}/.well-known/oauth-protected-resource/oauth2/token", tenant.issuer);
    table.row("no resource", http.get(unknown), &[404]).await;
    table.finish(&world).await;

    // A token for one of them opens that one.
    let users = format!("{}/api/v1/users", tenant.issuer);
    let form = [("grant_type", "client_credentials"), ("scope", "hj:users.read"), ("resource", users.as_str())];
    let token = tenant.service.token(&form).await.expect(200).text_of("access_token");
    let _ = web::send(http.get(&users).bearer_auth(&token)).await.expect(200);
}
