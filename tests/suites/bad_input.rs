//! Nonsense at every door: a 4xx that names it, never a 5xx, and the programs live on.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::admin::Admin;
use tests::relying_party::RelyingParty;
use tests::table::Table;
use tests::tenant::unique;
use tests::wait::PATIENCE;
use tests::web;
use tests::world;

const BAD: [u16; 2] = [400, 422];

fn json_body(admin: &Admin, method: Method, path: &str, body: &Value) -> RequestBuilder {
    admin.request(method, path).json(body)
}

fn text_body(admin: &Admin, path: &str, body: impl Into<String>) -> RequestBuilder {
    admin.request(Method::POST, path).header("content-type", "application/json").body(body.into())
}

#[tokio::test]
async fn the_admin_api_refuses_unreadable_bodies() {
    let world = world::shared().await;
    let admin = world.admin().await;
    let mut table = Table::new();
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let in_a_field = format!("{{\"slug\":\"deep\",\"display_name\":{nested}}}");
    for path in ["/tenants", "/admins", "/auth/token"] {
        for (what, body) in [
            ("empty", String::new()),
            ("half", "{".to_owned()),
            ("two documents", "{} {}".to_owned()),
            ("an array", "[]".to_owned()),
            ("a text", "\"x\"".to_owned()),
            ("null", "null".to_owned()),
            ("NaN", "{\"slug\": NaN}".to_owned()),
            ("a lone surrogate", "{\"slug\": \"\\ud800\"}".to_owned()),
            ("deep nesting", nested.clone()),
            ("deep nesting in a field", in_a_field.clone()),
        ] {
            table.problem(&format!("{path} {what}"), text_body(&admin, path, body), &BAD, "").await;
        }
        let not_utf8 = admin.request(Method::POST, path).header("content-type", "application/json").body(vec![0xff; 9]);
        table.problem(&format!("{path} not UTF-8"), not_utf8, &BAD, "").await;
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/xml"] {
            let request = admin.request(Method::POST, path).header("content-type", kind).body("{}");
            table.problem(&format!("{path} {kind}"), request, &[415], "").await;
        }
        let large = format!("{{\"slug\":\"{}\"}}", "a".repeat(9 << 20));
        table.problem(&format!("{path} 9 MiB"), text_body(&admin, path, large), &[413], "").await;
    }
    let twice = r#"{"slug":"twice","slug":"twice","display_name":"Twice"}"#;
    table.problem("a member twice", text_body(&admin, "/tenants", twice), &BAD, "slug").await;
    table.finish(&world).await;
}

#[tokio::test]
async fn the_admin_api_names_what_is_wrong_in_a_tenant() {
    let world = world::shared().await;
    let admin = world.admin().await;
    let mut table = Table::new();
    let long = "x".repeat(10_000);
    let rows = [
        ("no slug", json!({ "display_name": "X" }), "slug"),
        ("no name", json!({ "slug": "x" }), "display_name"),
        ("slug is a number", json!({ "slug": 5, "display_name": "X" }), "slug"),
        ("slug in capitals", json!({ "slug": "ACME", "display_name": "X" }), "slug"),
        ("slug is a path", json!({ "slug": "a/b", "display_name": "X" }), "slug"),
        ("slug is ..", json!({ "slug": "..", "display_name": "X" }), "slug"),
        ("slug is .well-known", json!({ "slug": ".well-known", "display_name": "X" }), "slug"),
        ("slug too long", json!({ "slug": "a".repeat(200), "display_name": "X" }), "slug"),
        ("slug is SQL", json!({ "slug": "x\"; DROP SCHEMA public; --", "display_name": "X" }), "slug"),
        ("slug is full width", json!({ "slug": "ａcme", "display_name": "X" }), "slug"),
        ("name too long", json!({ "slug": "x", "display_name": long }), "display_name"),
        ("name is empty", json!({ "slug": "x", "display_name": "" }), "display_name"),
        ("name is a list", json!({ "slug": "x", "display_name": [] }), "display_name"),
        ("status is new", json!({ "slug": "x", "display_name": "X", "status": "asleep" }), "status"),
        ("unknown member", json!({ "slug": "x", "display_name": "X", "colour": "red" }), "colour"),
        ("mass assignment: id", json!({ "slug": "x", "display_name": "X", "tenant_id": "1" }), "tenant_id"),
        ("unknown setting", json!({ "slug": "x", "display_name": "X", "settings": { "databse": {} } }), "databse"),
        (
            "DSN is not one",
            json!({ "slug": "x", "display_name": "X", "settings": { "database": { "dsn": "mysql://x" } } }),
            "dsn",
        ),
        (
            "too many connections",
            json!({ "slug": "x", "display_name": "X",
                "settings": { "database": { "dsn": "postgres://u:p@h/d", "max_connections": 100_000 } } }),
            "max_connections",
        ),
        (
            "negative lifetime",
            json!({ "slug": "x", "display_name": "X", "settings": { "lifetimes": { "access_token_secs": -1 } } }),
            "access_token_secs",
        ),
        (
            "a code that lives for an hour",
            json!({ "slug": "x", "display_name": "X", "settings": { "lifetimes": { "authorization_code_secs": 3600 } } }),
            "authorization_code_secs",
        ),
        (
            "unknown algorithm",
            json!({ "slug": "x", "display_name": "X", "settings": { "signing_algorithm": "none" } }),
            "signing_algorithm",
        ),
        (
            "host is a URL",
            json!({ "slug": "x", "display_name": "X", "settings": { "hosts": ["https://x/"] } }),
            "hosts",
        ),
        (
            "issuer by host without a host",
            json!({ "slug": "x", "display_name": "X", "settings": { "issuer_mode": "host" } }),
            "host",
        ),
    ];
    for (what, body, names) in rows {
        table.problem(what, json_body(&admin, Method::POST, "/tenants", &body), &BAD, names).await;
    }
    // Every problem of a document, not the first.
    let body =
        json!({ "slug": "x", "display_name": "", "settings": { "lifetimes": { "authorization_code_secs": 3600 } } });
    let answer = admin.post("/tenants", &body).await.expect(422);
    let pointers = answer.pointers().join(" ");
    assert!(pointers.contains("display_name") && pointers.contains("authorization_code_secs"), "{answer:#?}");
    table.problem("nothing was created", admin.request(Method::GET, "/tenants/x"), &[404], "").await;
    table.finish(&world).await;
}

#[tokio::test]
async fn the_admin_api_names_what_is_wrong_in_a_client_scope_key_or_administrator() {
    let world = world::shared().await;
    let (admin, slug) = (world.admin().await, unique("bad"));
    admin.create_tenant(&slug, json!({})).await;
    let mut table = Table::new();
    let clients = format!("/tenants/{slug}/clients");
    let many: Vec<String> = (0..10_000).map(|number| format!("https://rp.example/{number}")).collect();
    let rows = [
        ("no name", json!({ "redirect_uris": ["https://rp.example/cb"] }), "name"),
        ("redirect to a script", json!({ "name": "X", "redirect_uris": ["javascript:alert(1)"] }), "redirect_uris"),
        ("redirect to data", json!({ "name": "X", "redirect_uris": ["data:text/html,x"] }), "redirect_uris"),
        (
            "redirect with a fragment",
            json!({ "name": "X", "redirect_uris": ["https://rp.example/#x"] }),
            "redirect_uris",
        ),
        ("relative redirect", json!({ "name": "X", "redirect_uris": ["/cb"] }), "redirect_uris"),
        ("redirect in the clear", json!({ "name": "X", "redirect_uris": ["http://rp.example/cb"] }), "redirect_uris"),
        (
            "redirect with a wildcard",
            json!({ "name": "X", "redirect_uris": ["https://*.example/cb"] }),
            "redirect_uris",
        ),
        ("too many redirects", json!({ "name": "X", "redirect_uris": many }), "redirect_uris"),
        ("redirects are a text", json!({ "name": "X", "redirect_uris": "https://rp.example/cb" }), "redirect_uris"),
        ("grant password", json!({ "name": "X", "grant_types": ["password"] }), "grant_types"),
        (
            "unknown method",
            json!({ "name": "X", "token_endpoint_auth_method": "magic", "redirect_uris": ["https://rp.example/cb"] }),
            "token_endpoint_auth_method",
        ),
        (
            "public with client_credentials",
            json!({ "name": "X", "token_endpoint_auth_method": "none", "grant_types": ["client_credentials"] }),
            "grant_types",
        ),
        ("client_id with a blank", json!({ "name": "X", "client_id": "a b" }), "client_id"),
        ("client_id is ..", json!({ "name": "X", "client_id": ".." }), "client_id"),
        ("scope with a quote", json!({ "name": "X", "scopes": ["a\"b"] }), "scopes"),
        ("mass assignment: hash", json!({ "name": "X", "secret_hash": "00" }), "secret_hash"),
        ("mass assignment: secrets", json!({ "name": "X", "secrets": [{ "id": "1" }] }), "secrets"),
        ("mass assignment: time", json!({ "name": "X", "created_at": "2020-01-01T00:00:00Z" }), "created_at"),
    ];
    for (what, mut body, names) in rows {
        let object = body.as_object_mut().expect("an object");
        object.entry("redirect_uris").or_insert(json!(["https://rp.example/cb"]));
        table.problem(what, json_body(&admin, Method::POST, &clients, &body), &BAD, names).await;
    }
    let client =
        admin.create_client(&slug, &json!({ "name": "X", "grant_types": ["client_credentials"] })).await.client_id;
    let post = |path: &str, body: Value| json_body(&admin, Method::POST, path, &body);
    let secrets = format!("{clients}/{client}/secrets");
    table
        .problem(
            "a secret's end",
            post(&secrets, json!({ "previous_expires_at": "yesterday" })),
            &BAD,
            "previous_expires_at",
        )
        .await;
    table
        .problem(
            "a client of nobody",
            post("/tenants/nobody/clients", json!({ "name": "X", "grant_types": ["client_credentials"] })),
            &[404],
            "",
        )
        .await;

    let scopes = format!("/tenants/{slug}/scopes");
    table.problem("scope with a blank", post(&scopes, json!({ "name": "a b" })), &BAD, "name").await;
    table.problem("scope too long", post(&scopes, json!({ "name": "a".repeat(500) })), &BAD, "name").await;
    table.problem("scope unknown member", post(&scopes, json!({ "name": "a", "x": 1 })), &BAD, "x").await;

    let keys = format!("/tenants/{slug}/keys");
    table.problem("rotate never", post(&format!("{keys}/rotate"), json!({ "step": "never" })), &BAD, "step").await;
    table.problem("activate nothing", post(&format!("{keys}/rotate"), json!({ "step": "activate" })), &[409], "").await;
    table.problem("revoke nothing", admin.request(Method::POST, &format!("{keys}/nothing/revoke")), &[404], "").await;
    let listed = admin.get(&keys).await.expect(200).json;
    let active = listed["items"][0]["kid"].as_str().expect("a key").to_owned();
    table
        .problem("revoke the active key", admin.request(Method::POST, &format!("{keys}/{active}/revoke")), &[409], "")
        .await;

    table.problem("role god", post("/admins", json!({ "name": "X", "role": "god" })), &BAD, "role").await;
    table
        .problem(
            "role of nobody",
            post("/admins", json!({ "name": "X", "role": { "tenant-admin": "no body" } })),
            &BAD,
            "role",
        )
        .await;
    table
        .problem(
            "admin's end",
            post("/admins", json!({ "name": "X", "role": "auditor", "expires_at": "soon" })),
            &BAD,
            "expires_at",
        )
        .await;
    for credential in ["", "x", "hja_", "hja_00_00", "hja_zz_zz", &"h".repeat(10_000)] {
        let request = admin.anonymous_request(Method::POST, "/auth/token").json(&json!({ "credential": credential }));
        table.problem("a bad credential", request, &[400, 401, 422], "").await;
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn the_admin_api_refuses_bad_paths_queries_and_headers() {
    let world = world::shared().await;
    let (admin, slug) = (world.admin().await, unique("query"));
    admin.create_tenant(&slug, json!({})).await;
    let mut table = Table::new();
    let get = |path: &str| admin.request(Method::GET, path);
    for query in [
        "limit=-1",
        "limit=x",
        "limit=",
        "cursor=%00forged",
        "order_by=1;drop",
        "consistency=eventual",
        "min_revision=-1",
    ] {
        let name = query.split('=').next().expect("a name");
        table.problem(query, get(&format!("/tenants?{query}")), &BAD, name).await;
    }
    table.row("limit=1000000000", get("/tenants?limit=1000000000"), &[200, 400, 422]).await;
    table.row("limit=0", get("/tenants?limit=0"), &[200, 400, 422]).await;
    table.row("a quote in q", get("/tenants?q=%27%20or%201=1--"), &[200, 400, 422]).await;
    table.problem("limit twice", get("/tenants?limit=1&limit=2"), &BAD, "limit").await;
    for query in ["wait=later", "wait=fleet&timeout=x", "wait=fleet&timeout=9999h"] {
        let body = json!({ "slug": "x", "display_name": "X" });
        table.problem(query, json_body(&admin, Method::POST, &format!("/tenants?{query}"), &body), &BAD, "").await;
    }
    let put = |name: &str, value: &str| {
        json_body(&admin, Method::PUT, &format!("/tenants/{slug}"), &json!({ "display_name": "X" })).header(name, value)
    };
    table.problem("If-Match: nonsense", put("if-match", "nonsense"), &[400, 412], "").await;
    table.problem("If-Match: another", put("if-match", "\"999999999\""), &[412], "").await;
    table.problem("Idempotency-Key too long", put("idempotency-key", &"k".repeat(500)), &BAD, "idempotency-key").await;
    table.problem("Idempotency-Key with a blank", put("idempotency-key", "a b"), &BAD, "idempotency-key").await;
    for path in [
        "/nothing",
        "/tenants/x/nothing",
        "/tenants/No%20Body",
        "/tenants/..%2f..%2fadmins",
        "/tenants/%00",
        "/tenants/%ff",
    ] {
        table.problem(path, get(path), &[400, 404], "").await;
    }
    table.problem("DELETE of a list", admin.request(Method::DELETE, "/tenants"), &[405], "").await;
    table.problem("PUT of a list", json_body(&admin, Method::PUT, "/tenants", &json!({})), &[405], "").await;
    let patch = |body: &str| {
        admin
            .request(Method::PATCH, &format!("/tenants/{slug}"))
            .header("content-type", "application/merge-patch+json")
            .body(body.to_owned())
    };
    table.problem("patch is no object", patch("[]"), &BAD, "").await;
    table.problem("patch removes the name", patch(r#"{"display_name":null}"#), &BAD, "display_name").await;
    table.problem("patch renames the slug", patch(r#"{"slug":"other"}"#), &BAD, "slug").await;
    // A revision that does not come is waited for, but not for ever.
    let answer = web::send(get("/tenants?min_revision=999999999").timeout(PATIENCE)).await.expect(503);
    assert_eq!(answer.code(), "revision_not_reached");
    table.finish(&world).await;
}

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
    table.row("1 MiB", raw(form_type, &megabyte), &[400, 413]).await;
    let parameters = (0..10_000).map(|number| format!("&p{number}=1")).collect::<Vec<_>>().concat();
    table.row("10,000 parameters", raw(form_type, &format!("{good}{parameters}")), &[400, 413]).await;
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
    table.problem("too large", text("application/json", &format!("\"{}\"", "x".repeat(100 << 10))), &[413], "").await;
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
