//! Discovery and key sets: fixed, public, and each tenant's own.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::json;
use tests::table::Table;
use tests::tenant::Tenant;
use tests::web;
use tests::world;

#[tokio::test]
async fn discovery_names_the_issuer_byte_by_byte_and_only_its_origin() {
    let world = world::shared().await;
    let tenant = world.tenant("discovery").await;
    let document = tenant.app.discovery().await;
    assert!(document.header("content-type").is_some_and(|kind| kind.starts_with("application/json")));
    assert_eq!(document.text_of("issuer"), tenant.issuer);
    let members = document.json.as_object().expect("an object");
    let endpoints = members.iter().filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri");
    for (name, value) in endpoints {
        let url = value.as_str().expect("a URL");
        assert!(url.starts_with(&format!("{}/", tenant.issuer)), "{name}: {url}");
    }
    for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"] {
        assert!(members.contains_key(name), "{name} is missing");
    }
}

#[tokio::test]
async fn the_issuer_does_not_follow_the_host_header() {
    let world = world::shared().await;
    let tenant = world.tenant("host").await;
    let url = format!("{}/.well-known/openid-configuration", tenant.issuer);
    let mut table = Table::new();
    for header in ["host", "x-forwarded-host", "forwarded", "x-host", "x-forwarded-server"] {
        let value = if header == "forwarded" { "host=evil.example" } else { "evil.example" };
        let answer = table.row(header, tenant.app.http.get(&url).header(header, value), &[200, 400, 404, 421]).await;
        table.check(header, !answer.text.contains("evil.example"), || answer.text.clone());
        let in_headers = answer.headers.values().any(|value| value.as_bytes().windows(4).any(|part| part == b"evil"));
        table.check(header, !in_headers, || format!("{:?}", answer.headers));
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn key_sets_hold_public_members_only() {
    let world = world::shared().await;
    for algorithm in ["ES256", "EdDSA", "RS256", "PS256", "ES384"] {
        let tenant = Tenant::create_with(&world, "jwks", json!({ "signing_algorithm": algorithm })).await;
        let jwks = tenant.app.jwks().await;
        let keys = jwks.json["keys"].as_array().expect("keys");
        assert!(!keys.is_empty());
        let mut kids = BTreeSet::new();
        for key in keys {
            for secret in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert!(key.get(secret).is_none(), "{secret} in {key:#}");
            }
            assert_ne!(key["kty"], "oct");
            assert!(kids.insert(key["kid"].as_str().expect("a kid")), "kid twice: {key:#}");
            assert_eq!(key["use"], "sig");
            if let Some(modulus) = key["n"].as_str() {
                assert!(URL_SAFE_NO_PAD.decode(modulus).expect("base64url").len() >= 256, "RSA of 2048 bits at least");
            }
        }
    }
}

#[tokio::test]
async fn nothing_obsolete_is_offered() {
    let world = world::shared().await;
    let document = world.tenant("offer").await.app.discovery().await.json;
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["response_types_supported"], json!(["code", "none"]));
    let grants = document["grant_types_supported"].to_string();
    assert!(!grants.contains("password") && !grants.contains("implicit"), "{grants}");
    let algorithms = document["id_token_signing_alg_values_supported"].to_string();
    assert!(!algorithms.contains("none") && !algorithms.contains("HS"), "{algorithms}");
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
}

#[tokio::test]
async fn the_oauth_metadata_agrees_with_discovery() {
    let world = world::shared().await;
    let (tenant, other) = (world.tenant("rfc8414").await, world.tenant("other").await);
    let url = format!("{}/.well-known/oauth-authorization-server", tenant.issuer);
    let answer = web::send(tenant.app.http.get(url)).await.expect(200);
    assert_eq!(answer.text_of("issuer"), tenant.issuer);
    // RFC 8414 §3.1 puts the well-known part before the issuer's path.
    let inserted = format!("{}/.well-known/oauth-authorization-server/t/{}", world.pods[0].url(), tenant.slug);
    let answer = web::send(tenant.app.http.get(inserted)).await.expect_one_of(&[200, 404]);
    assert!(!answer.text.contains(&other.slug));
    if answer.status == 200 {
        assert_eq!(answer.text_of("issuer"), tenant.issuer);
    }
}

#[tokio::test]
async fn other_methods_are_refused() {
    let world = world::shared().await;
    let tenant = world.tenant("methods").await;
    let mut table = Table::new();
    for path in [".well-known/openid-configuration", ".well-known/jwks.json", "oauth2/token"] {
        for method in [Method::DELETE, Method::PUT, Method::TRACE, Method::PATCH] {
            let request = tenant.app.http.request(method.clone(), format!("{}/{path}", tenant.issuer));
            let answer = table.row(&format!("{method} {path}"), request, &[400, 404, 405, 501]).await;
            let allow = answer.status != 405 || answer.header("allow").is_some();
            table.check(path, allow, || format!("405 without Allow: {answer:?}"));
        }
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn no_header_tells_the_product_or_its_version() {
    let world = world::shared().await;
    let tenant = world.tenant("headers").await;
    for url in [tenant.app.endpoint("token"), tenant.admin.url("/tenants"), format!("{}/nothing", tenant.issuer)] {
        let answer = web::send(tenant.app.http.get(&url)).await;
        for name in ["server", "x-powered-by", "via"] {
            assert_eq!(answer.header(name), None, "{url}");
        }
    }
}
