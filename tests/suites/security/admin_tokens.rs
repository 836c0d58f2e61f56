//! Tokens at the admin API: other people's, forged ones, and those that the control plane itself signed, but not for this.

use reqwest::Method;
use serde_json::{Value, json};
use tests::forger::{Forger, TYPE};
use tests::table::Table;
use tests::tokens::Jwt;
use tests::world;

use super::admin::routes;

#[tokio::test]
async fn every_route_wants_a_token_and_a_real_one() {
    let world = world::shared().await;
    let tenant = world.tenant("routes").await;
    let admin = &tenant.admin;
    let mut table = Table::new();
    let tokens = tenant.app.sign_in(&tenant.user("alice").await).await;
    let service = tenant.service.client_credentials("hj:users.write").await;
    let forged = Jwt::parse(admin.token()).with_alg_none();
    let keys = admin.get("/keys").await.expect(200).json;
    let public = keys["items"][0]["public_jwk"].to_string();
    let by_public_key = Jwt::parse(admin.token()).with_hs256(public.as_bytes());
    let mut other = Jwt::parse(admin.token());
    other.claims["role"] = "owner".into();
    other.claims["exp"] = 9_999_999_999_u64.into();
    let signature = other.signature.clone();
    let changed = other.signed_with(&signature);
    for (method, path) in routes(&tenant.slug) {
        let what = format!("{method} {path}");
        let body = |request: reqwest::RequestBuilder| {
            if method == Method::GET || method == Method::DELETE { request } else { request.json(&json!({})) }
        };
        let answer = table.row(&what, body(admin.anonymous_request(method.clone(), &path)), &[401]).await;
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        table.check(&what, challenge.starts_with("Bearer"), || format!("no challenge: {answer:?}"));
        for (whose, token) in [
            ("empty", ""),
            ("garbage", "garbage"),
            ("alg none", &forged),
            ("HS256 by the public key", &by_public_key),
            ("changed", &changed),
            ("a person's access token", &tokens.access),
            ("a person's ID token", tokens.id()),
            ("a person's refresh token", tokens.refresh()),
            ("a client's own token", &service),
        ] {
            let what = format!("{what}, {whose}");
            let request = body(admin.with_token(token).request(method.clone(), &path));
            let answer = table.row(&what, request, &[401]).await;
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            table.check(&what, challenge.contains("error=\"invalid_token\""), || format!("{answer:?}"));
        }
    }
    table.finish(&world).await;
}

/// Signed by the right key, as anybody's would be who got at it, or who found a way to have something else signed.
#[tokio::test]
async fn a_right_signature_alone_opens_nothing() {
    let world = world::shared().await;
    let tenant = world.tenant("forger").await;
    let admin = &tenant.admin;
    let forger = Forger::of(admin, &world.cluster.secrets).await;
    let with = |name: &str, value: Value| forger.token(TYPE, |claims| claims[name] = value);
    let without =
        |name: &str| forger.token(TYPE, |claims| drop(claims.as_object_mut().expect("an object").remove(name)));
    let now = Jwt::parse(admin.token()).claims["iat"].as_i64().expect("a time");
    let bound = |member: &str| with("cnf", json!({ member: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }));
    let good = forger.token(TYPE, |_| {});
    let public = forger.public();
    let point = format!("{}{}", public["x"], public["y"]);
    let forgeries = [
        ("over", with("exp", json!(now - 1))),
        ("over by a fraction", with("exp", json!(1.5))),
        ("without an end", without("exp")),
        ("of tomorrow", with("iat", json!(now + 86_400))),
        ("for pods", with("aud", json!("hellojohn-watch"))),
        ("for a tenant's API", with("aud", json!(tenant.issuer))),
        ("for nobody", without("aud")),
        ("from a tenant", with("iss", json!(tenant.issuer))),
        ("from nobody", without("iss")),
        ("about nobody", without("sub")),
        ("about somebody else", with("sub", json!("0190f0f0-0000-7000-8000-000000000000"))),
        ("of another credential", with("cred", json!("AAAAAAAAAAAAAAAA"))),
        ("of no credential", without("cred")),
        ("an access token", forger.token("at+jwt", |_| {})),
        ("of any kind", forger.token("JWT", |_| {})),
        ("bound to a key (RFC 9449)", bound("jkt")),
        ("bound to a certificate (RFC 8705)", bound("x5t#S256")),
        ("signed by a tenant", forger.by_a_tenant()),
        ("alg none", Jwt::parse(&good).with_alg_none()),
        ("HS256 by the public key", Jwt::parse(&good).with_hs256(public.to_string().as_bytes())),
        ("HS256 by the public point", Jwt::parse(&good).with_hs256(point.as_bytes())),
    ];
    let mut table = Table::new();
    let doors = [
        (Method::GET, "/tenants"),
        (Method::GET, "/events"),
        (Method::DELETE, "/admins/0190f0f0-0000-7000-8000-000000000000"),
    ];
    for (what, token) in &forgeries {
        for (method, path) in &doors {
            let what = format!("{what}, {method} {path}");
            let request = admin.with_token(token).request(method.clone(), path).json(&json!({}));
            let answer = table.row(&what, request, &[401]).await;
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            table.check(&what, challenge.contains("error=\"invalid_token\""), || format!("{answer:?}"));
        }
    }
    // In another scheme it is not even read: nobody here asks for the proof that comes with that one.
    let dpop = admin.anonymous_request(Method::GET, "/tenants").header("authorization", format!("DPoP {good}"));
    table.row("by DPoP", dpop.header("dpop", "x"), &[401]).await;
    let twice = admin.request(Method::GET, "/tenants").header("authorization", format!("Bearer {good}"));
    table.row("twice", twice, &[400]).await;
    table.row("nothing is wrong with it", admin.with_token(&good).request(Method::GET, "/tenants"), &[200]).await;
    table.finish(&world).await;
}
