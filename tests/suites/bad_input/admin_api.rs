//! At the admin API.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::admin::Admin;
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
            ("a number beyond all", "{\"slug\": 1e400}".to_owned()),
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
        ("slug is reserved", json!({ "slug": "admin", "display_name": "X" }), "is reserved"),
        ("slug shows as other letters", json!({ "slug": "xn--cme-5cd", "display_name": "X" }), "slug"),
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
        "limit=0",
        "limit=1000000000",
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
