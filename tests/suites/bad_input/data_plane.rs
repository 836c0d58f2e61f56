//! At the endpoints, pages and the user API of a pod.

use reqwest::Method;
use serde_json::{Value, json};
use tests::relying_party::RelyingParty;
use tests::table::Table;
use tests::web;
use tests::world;

const BAD: [u16; 2] = [400, 422];

#[tokio::test]
async fn the_token_endpoint_refuses_malformed_requests() {
    let world = world::shared().await;
    let tenant = world.tenant("token").await;
    let mut table = Table::new();
    let service = &tenant.service;
    let secret = service.secret.clone().expect("confidential");
    let form_type = "application/x-www-form-urlencoded";
    let raw = |kind: &str, body: &str| {
        let request = service.http.post(service.endpoint("token")).basic_auth("service", Some(&secret));
        request.header("content-type", kind).body(body.to_owned())
    };
    let good = "grant_type=client_credentials";
    for (what, body) in [
        ("empty", ""),
        ("no grant_type", "scope=x"),
        ("empty grant_type", "grant_type="),
        ("grant_type twice", "grant_type=client_credentials&grant_type=client_credentials"),
        ("scope twice", "grant_type=client_credentials&scope=a&scope=b"),
        ("a broken escape", "grant_type=%zz"),
        ("not UTF-8", "grant_type=%ff%fe"),
        ("NUL", "grant_type=client_credentials%00"),
    ] {
        table.oauth(what, raw(form_type, body), &[400], &["invalid_request", "unsupported_grant_type"]).await;
    }
    for kind in ["application/json", "text/plain", "multipart/form-data"] {
        table.oauth(kind, raw(kind, good), &[400, 415], &["invalid_request"]).await;
    }
    let no_type = service.http.post(service.endpoint("token")).basic_auth("service", Some(&secret)).body(good);
    table.oauth("no content type", no_type, &[400, 415], &["invalid_request"]).await;
    for scope in ["a\"b", "ä", "a\\b", "hj:users.read nothing-like-this", "'; select pg_sleep(5)--"] {
        let request = service.token_request(&[("grant_type", "client_credentials"), ("scope", scope)]);
        table.oauth(scope, request, &[400], &["invalid_scope", "invalid_request"]).await;
    }
    let megabyte = format!("{good}&x={}", "x".repeat(1 << 20));
    let parameters = (0..10_000).map(|number| format!("&p{number}=1")).collect::<Vec<_>>().concat();
    let repeated = format!("{good}{}", "&x=1".repeat(10_000));
    let empty = format!("{good}{}", "&".repeat(40_000));
    for (what, body, statuses) in [
        ("1 MiB", &megabyte, &[400, 413][..]),
        ("10,000 parameters", &format!("{good}{parameters}"), &[400, 413]),
        ("10,000 times the same parameter", &repeated, &[400, 413]),
        ("40,000 parameters without name and value", &empty, &[200, 400, 413]),
    ] {
        let _ = web::send_promptly(what, || raw(form_type, body)).await.expect_one_of(statuses);
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn the_authorization_endpoint_refuses_malformed_requests() {
    let world = world::shared().await;
    let tenant = world.tenant("authorize").await;
    let mut table = Table::new();
    let endpoint = tenant.app.endpoint("authorize");
    let http = &tenant.app.http;
    // As deep as fits into a URL.
    let deep = format!("{}{}", "[".repeat(9_000), "]".repeat(9_000));
    for (what, query) in [
        ("nothing", String::new()),
        ("a broken escape", "client_id=%zz".to_owned()),
        ("not UTF-8", "client_id=%ff".to_owned()),
        ("client twice", "client_id=app&client_id=app".to_owned()),
        ("unknown client", "client_id=nobody&response_type=code".to_owned()),
        ("a client that is SQL", "client_id=%27%3Bselect%20pg_sleep(5)--".to_owned()),
        ("a long client", format!("client_id={}", "a".repeat(4_000))),
    ] {
        let answer = table.row(what, http.get(format!("{endpoint}?{query}")), &[400, 401, 404, 413, 414, 431]).await;
        table.check(what, answer.header("location").is_none(), || "redirects".to_owned());
    }
    // A request that is right but for this may be told to the relying party or shown; it is never a 5xx, never a code.
    for (what, name, value) in [
        ("claims 32 KiB", "claims", "x".repeat(32 << 10)),
        ("claims deep", "claims", deep),
        ("claims is no JSON", "claims", "{".to_owned()),
        ("max_age is a word", "max_age", "soon".to_owned()),
        ("max_age negative", "max_age", "-1".to_owned()),
        ("max_age huge", "max_age", "99999999999999999999".to_owned()),
        ("prompt unknown", "prompt", "sometimes".to_owned()),
        ("response_mode unknown", "response_mode", "pigeon".to_owned()),
        ("challenge too short", "code_challenge", "abc".to_owned()),
        ("challenge too long", "code_challenge", "a".repeat(500)),
        ("NUL in state", "state", "a\0b".to_owned()),
        ("scope with a quote", "scope", "openid \"".to_owned()),
    ] {
        let attempt = tenant.app.attempt_with(&[(name, Some(&value))]);
        let answer = table.row(what, http.get(attempt.url), &[200, 302, 303, 400, 413, 414, 431]).await;
        let location = answer.header("location").unwrap_or_default();
        table.check(what, !location.contains("code="), || format!("gives a code: {location}"));
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn the_user_api_refuses_and_names_bad_documents() {
    let world = world::shared().await;
    let tenant = world.tenant("users").await;
    let token = tenant.service.client_credentials("hj:users.write hj:users.read").await;
    let mut table = Table::new();
    let http = &tenant.service.http;
    let users = format!("{}/api/v1/users", tenant.issuer);
    let post = |body: &Value| http.post(&users).bearer_auth(&token).json(body);
    let good = "a horse with a staple";
    for (what, body, names) in [
        ("no e-mail", json!({ "password": good }), "email"),
        ("e-mail is a number", json!({ "email": 5, "password": good }), "email"),
        ("e-mail is none", json!({ "email": "not an address", "password": good }), "email"),
        ("e-mail too long", json!({ "email": format!("{}@x.example", "a".repeat(5_000)), "password": good }), "email"),
        ("e-mail with NUL", json!({ "email": "a\u{0}@x.example", "password": good }), "email"),
        ("short password", json!({ "email": "a@x.example", "password": "x" }), "password"),
        ("long password", json!({ "email": "a@x.example", "password": "x".repeat(20_000) }), "password"),
        ("unknown member", json!({ "email": "a@x.example", "password": good, "is_admin": true }), "is_admin"),
        ("password hash", json!({ "email": "a@x.example", "password_hash": "$argon2id$" }), "password_hash"),
        ("claims are a list", json!({ "email": "a@x.example", "password": good, "claims": [] }), "claims"),
        ("claims set sub", json!({ "email": "a@x.example", "password": good, "claims": { "sub": "x" } }), "sub"),
    ] {
        table.problem(what, post(&body), &BAD, names).await;
    }
    let text = |kind: &str, body: &str| {
        http.post(&users).bearer_auth(&token).header("content-type", kind).body(body.to_owned())
    };
    table.problem("half a document", text("application/json", "{"), &BAD, "").await;
    table.problem("deep nesting", text("application/json", &"[".repeat(50_000)), &BAD, "").await;
    table.problem("wrong type", text("text/plain", "{}"), &[415], "").await;
    table.problem("too large", text("application/json", &format!("\"{}\"", "x".repeat(200 << 10))), &[413], "").await;
    let body = json!({ "email": "twice@x.example", "password": good });
    let _ = web::send(post(&body)).await.expect(201);
    table.problem("exists already", post(&body), &[409], "").await;
    table
        .problem("the same in capitals", post(&json!({ "email": "TWICE@x.example", "password": good })), &[409], "")
        .await;
    for id in ["nobody", "00000000-0000-0000-0000-000000000000", "%00", "'%20or%201=1"] {
        table.problem(id, http.get(format!("{users}/{id}")).bearer_auth(&token), &[400, 404], "").await;
    }
    for query in ["limit=-1", "limit=x", "cursor=forged"] {
        table.problem(query, http.get(format!("{users}?{query}")).bearer_auth(&token), &BAD, "").await;
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn forms_of_pages_refuse_nonsense() {
    let world = world::shared().await;
    let tenant = world.tenant("forms").await;
    let mut table = Table::new();
    let party: &RelyingParty = &tenant.app;
    let long = format!("email=a%40x.example&password={}", "x".repeat(10 << 20));
    for page in ["login", "consent"] {
        let url = format!("{}/{page}", tenant.issuer);
        for (what, kind, body) in [
            ("empty", "application/x-www-form-urlencoded", ""),
            ("a broken escape", "application/x-www-form-urlencoded", "email=%zz&password=%ff"),
            ("JSON", "application/json", "{}"),
            ("10 MiB", "application/x-www-form-urlencoded", &long),
        ] {
            let request = party.http.post(&url).header("content-type", kind).body(body.to_owned());
            let answer = table.row(&format!("{page} {what}"), request, &[400, 403, 404, 413, 415, 422]).await;
            table.check(page, answer.headers.get("set-cookie").is_none(), || format!("sets a cookie: {answer:?}"));
        }
        for query in [
            "interaction=forged",
            "interaction=%00",
            "interaction=a&interaction=b",
            &format!("interaction={}", "a".repeat(4_000)),
        ] {
            table
                .row(&format!("{page} {query}"), party.http.get(format!("{url}?{query}")), &[400, 403, 404, 405, 414])
                .await;
        }
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn bearer_tokens_that_are_none_are_refused() {
    let world = world::shared().await;
    let tenant = world.tenant("bearer").await;
    let mut table = Table::new();
    let long = "a".repeat(6_000);
    for garbage in ["x", "..", "a.b.c", "e30.e30.", "%%%.%%%.%%%", &long] {
        let users = tenant.app.http.get(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(garbage);
        table.row(garbage, users, &[400, 401, 431]).await;
        let userinfo = tenant.app.http.get(tenant.app.endpoint("userinfo")).bearer_auth(garbage);
        table.row(garbage, userinfo, &[400, 401, 431]).await;
        let admin = tenant.admin.with_token(garbage);
        table.row(garbage, admin.request(Method::GET, "/tenants"), &[400, 401, 431]).await;
    }
    for header in ["", "Bearer", "Bearer ", "Basic", "Basic ====", "Digest x", "Bearer a b"] {
        let request = tenant.app.http.get(tenant.app.endpoint("userinfo")).header("authorization", header);
        table.row(header, request, &[400, 401]).await;
    }
    table.finish(&world).await;
}
