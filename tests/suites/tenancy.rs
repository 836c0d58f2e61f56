//! Tenants apart: which tenant a request belongs to, and that nothing of one is worth anything at another.

use std::time::Duration;

use futures::future::join_all;
use reqwest::RequestBuilder;
use serde_json::json;
use tests::browser::Browser;
use tests::postgres;
use tests::relying_party::{RelyingParty, parameters};
use tests::tenant::{Tenant, unique};
use tests::tokens::{self, Jwt};
use tests::wait::{PATIENCE, until};
use tests::web::{self, Answer};
use tests::world::{self, World};

/// Two tenants with the same client ids and the same people's names.
async fn two_tenants() -> (world::Shared, Tenant, Tenant) {
    let world = world::shared().await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    (world, a, b)
}

#[tokio::test]
async fn a_code_of_one_tenant_is_nothing_at_another() {
    let (_world, a, b) = two_tenants().await;
    let user = a.user("alice").await;
    // The public client has the same id in both: only the code's own tenant tells them apart.
    let (code, attempt) = a.app.code(&user).await;
    let refused = a.app.at(&b.issuer).redeem(&code, &attempt.verifier).await.expect(400);
    assert_eq!(refused.code(), "invalid_grant");
    // And trying did not use it up.
    let _ = a.app.redeem(&code, &attempt.verifier).await.expect(200);
}

#[tokio::test]
async fn a_refresh_token_of_one_tenant_is_nothing_at_another() {
    let (_world, a, b) = two_tenants().await;
    let tokens = a.app.sign_in(&a.user("alice").await).await;
    let refused = a.app.at(&b.issuer).refresh(tokens.refresh()).await.expect(400);
    assert_eq!(refused.code(), "invalid_grant");
    let _ = a.app.refresh(tokens.refresh()).await.expect(200);
}

#[tokio::test]
async fn an_access_token_of_one_tenant_is_nothing_at_another() {
    let (_world, a, b) = two_tenants().await;
    let tokens = a.app.sign_in(&a.user("alice").await).await;
    let _ = a.app.userinfo(&tokens.access).await.expect(200);
    let refused = a.app.at(&b.issuer).userinfo(&tokens.access).await.expect(401);
    assert!(refused.header("www-authenticate").is_some_and(|text| text.contains("invalid_token")), "{refused:#?}");

    let service = a.service.client_credentials("hj:users.read").await;
    for (base, status) in [(&a.issuer, 200), (&b.issuer, 401)] {
        let request = a.service.http.get(format!("{base}/api/v1/users")).bearer_auth(&service);
        let _ = web::send(request).await.expect(status);
    }
}

#[tokio::test]
async fn a_client_of_one_tenant_is_nobody_at_another() {
    let (_world, a, b) = two_tenants().await;
    for party in [&a.service, &a.backend] {
        let refused = party.at(&b.issuer).token(&[("grant_type", "client_credentials")]).await.expect(401);
        assert_eq!(refused.code(), "invalid_client");
    }
    let only_a = json!({
        "client_id": "only-a", "name": "Only A", "token_endpoint_auth_method": "none",
        "redirect_uris": ["https://only-a.example/cb"], "scopes": ["openid"],
    });
    a.admin.create_client(&a.slug, &only_a).await;
    let party = RelyingParty::new(&b.issuer, "only-a", None, "https://only-a.example/cb");
    let page = Browser::new().open(&party.attempt().url).await;
    assert!((400..500).contains(&page.status) && page.leaves_to.is_none(), "{page:#?}");
}

#[tokio::test]
async fn a_session_of_one_tenant_is_none_at_another() {
    let (_world, a, b) = two_tenants().await;
    let (alice_a, _alice_b) = (a.user("alice").await, b.user("alice").await);
    let browser = Browser::new();
    browser.authorize(&a.backend.attempt().url, &alice_a).await;
    let silent = |party: &RelyingParty| party.attempt_with(&[("prompt", Some("none"))]).url;
    let callback = browser.open(&silent(&a.backend)).await.expect_callback();
    assert!(parameters(&callback).contains_key("code"), "signed in at A: {callback}");

    // Neither by itself nor with the cookies forced upon it.
    let callback = browser.open(&silent(&b.backend)).await.expect_callback();
    assert_eq!(parameters(&callback)["error"], "login_required");
    let cookies = browser.cookies(&silent(&a.backend));
    assert!(!cookies.is_empty());
    let answer = web::send(Browser::request_with_cookies(&silent(&b.backend), &cookies)).await;
    let location = answer.header("location").expect("a redirect").to_owned();
    assert!(location.contains("error=login_required"), "{location}");
}

#[tokio::test]
async fn a_user_of_one_tenant_cannot_sign_in_at_another() {
    let (_world, a, b) = two_tenants().await;
    let alice = a.user("alice").await;
    let browser = Browser::new();
    let form = browser.open_page(&b.backend.attempt().url).await.expect_form();
    let page = browser.sign_in(&form, &alice.email, &alice.password).await;
    assert!(page.leaves_to.is_none() && page.expect_form().asks_for_password(), "{page:#?}");
}

#[tokio::test]
async fn tenants_share_no_key_and_a_borrowed_kid_proves_nothing() {
    let (_world, a, b) = two_tenants().await;
    let kids = |answer: &Answer| -> Vec<String> {
        let keys = answer.json["keys"].as_array().expect("a key set").iter();
        keys.map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect()
    };
    let (jwks_a, jwks_b) = (a.app.jwks().await, b.app.jwks().await);
    assert!(kids(&jwks_a).iter().all(|kid| !kids(&jwks_b).contains(kid)), "{jwks_a:?} {jwks_b:?}");

    let tokens = b.app.sign_in(&b.user("bob").await).await;
    assert!(tokens::verify(&tokens.access, &jwks_b.json).is_ok());
    assert!(tokens::verify(&tokens.access, &jwks_a.json).is_err());
    let mut forged = Jwt::parse(&tokens.access);
    forged.header["kid"] = kids(&jwks_a)[0].clone().into();
    forged.claims["iss"] = a.issuer.clone().into();
    let signature = forged.signature.clone();
    let _ = a.app.userinfo(&forged.signed_with(&signature)).await.expect(401);
}

#[tokio::test]
async fn a_tenants_role_cannot_enter_another_tenants_database() {
    let (_world, a, b) = two_tenants().await;
    assert!(a.database.connect_as_role(&a.database.name).await.is_ok());
    assert!(a.database.connect_as_role(&b.database.name).await.is_err());
}

#[tokio::test]
async fn a_tenant_whose_database_is_down_answers_503_and_others_do_not_notice() {
    let (_world, a, b) = two_tenants().await;
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let tokens = a.app.sign_in(&alice).await;
    let server = postgres::server().await;
    server.take_down(&a.database).await;

    let down = |answer: Answer| {
        let answer = answer.expect(503);
        assert!(answer.header("retry-after").is_some(), "{answer:#?}");
    };
    // The same refresh token over and over: a fault never uses one up.
    for _ in 0..3 {
        down(a.app.refresh(tokens.refresh()).await);
    }
    down(a.app.userinfo(&tokens.access).await);
    let page = Browser::new().open(&a.app.attempt().url).await;
    assert_eq!(page.status, 503, "{page:#?}");
    // What needs no database goes on, and so do others.
    a.service.client_credentials("hj:users.read").await;
    a.app.jwks().await;
    b.app.sign_in(&bob).await;

    server.bring_up(&a.database).await;
    let refreshed = until("tenant A is served again", PATIENCE, async || {
        let answer = a.app.refresh(tokens.refresh()).await;
        if answer.status == 503 { Err(answer.text) } else { Ok(answer) }
    })
    .await;
    let _ = refreshed.expect(200);
    a.app.sign_in(&alice).await;
}

#[tokio::test]
async fn a_tenant_whose_database_host_does_not_answer_is_503_too() {
    let world = world::shared().await;
    let tenant = world.tenant("unreachable").await;
    let dsn = format!("postgres://nobody:secret-password@127.0.0.1:{}/nothing", postgres::free_port());
    tenant.patch(&json!({ "settings": { "database": { "dsn": dsn, "max_connections": 2 } } })).await;
    let page = Browser::new().open(&tenant.app.attempt().url).await;
    assert_eq!(page.status, 503, "{page:#?}");
    assert!(page.headers.contains_key("retry-after"), "{page:#?}");
    assert!(!page.body.contains("secret-password"));
    tenant.service.client_credentials("hj:users.read").await;
}

#[tokio::test]
async fn a_tenant_without_a_database_answers_409_where_it_would_need_one() {
    let world = world::shared().await;
    let (admin, slug) = (world.admin().await, unique("no-database"));
    admin.create_tenant(&slug, json!({})).await;
    let client = json!({
        "client_id": "service", "name": "Service", "grant_types": ["client_credentials", "refresh_token", "authorization_code"],
        "redirect_uris": ["https://rp.example/cb"], "scopes": ["openid", "hj:users.read"],
    });
    let client = admin.create_client(&slug, &client).await;
    let base = format!("{}/t/{slug}", world.pods[0].url());
    let party = RelyingParty::new(&base, "service", client.secret, "https://rp.example/cb");
    let token = party.client_credentials("hj:users.read").await;
    let users = web::send(party.http.get(format!("{base}/api/v1/users")).bearer_auth(token)).await.expect(409);
    assert_eq!(users.code(), "no_database");
    let page = Browser::new().open(&party.attempt_with(&[("scope", Some("openid"))]).url).await;
    assert_eq!(page.status, 409, "{page:#?}");
    let _ = party.refresh("a-refresh-token").await.expect(409);
    party.jwks().await;
}

#[tokio::test]
async fn the_tenant_is_found_in_the_pinned_order() {
    let world = world::shared().await;
    let admin = world.admin().await;
    let (slug, other) = (unique("resolved"), unique("other"));
    let host = format!("{slug}.example");
    let other_host = format!("{other}.example");
    admin.create_tenant(&slug, json!({ "hosts": [host] })).await;
    admin.create_tenant(&other, json!({ "hosts": [other_host] })).await;
    admin.create_tenant("local", json!({})).await;
    let suspended = unique("suspended");
    let body = json!({ "slug": suspended, "display_name": "Suspended", "status": "suspended" });
    let answer = admin.post("/tenants?wait=fleet&timeout=15s", &body).await.expect(201);
    assert_eq!(answer.header("x-fleet"), Some("complete"));

    let http = web::client();
    let document = ".well-known/openid-configuration";
    let with_default = world.pods[0].url();
    let without_default = world.pods[1].url();
    let issuer = |slug: &str| Some(format!("{with_default}/t/{slug}"));
    let at = |pod: &str, path: &str| http.get(format!("{pod}/{path}{document}"));
    let by_path = |slug: &str| at(&without_default, &format!("t/{slug}/"));
    let root = |query: &str| http.get(format!("{without_default}/{document}{query}"));

    let rows: Vec<(&str, RequestBuilder, u16, Option<String>)> = vec![
        ("path", by_path(&slug), 200, issuer(&slug)),
        ("host", root("").header("host", &host), 200, issuer(&slug)),
        ("host with a port", root("").header("host", format!("{host}:8080")), 200, issuer(&slug)),
        ("host in capitals", root("").header("host", host.to_uppercase()), 200, issuer(&slug)),
        ("header", root("").header("x-tenant-slug", &slug), 200, issuer(&slug)),
        ("query", root(&format!("?tenant={slug}")), 200, issuer(&slug)),
        ("default", at(&with_default, ""), 200, issuer("local")),
        ("no default", root(""), 404, None),
        ("header beats the default", at(&with_default, "").header("x-tenant-slug", &slug), 200, issuer(&slug)),
        ("path beats the default", at(&with_default, &format!("t/{slug}/")), 200, issuer(&slug)),
        ("path and header agree", by_path(&slug).header("x-tenant-slug", &slug), 200, issuer(&slug)),
        ("path and header disagree", by_path(&slug).header("x-tenant-slug", &other), 400, None),
        ("path and host disagree", by_path(&slug).header("host", &other_host), 400, None),
        ("host and header disagree", root("").header("host", &host).header("x-tenant-slug", &other), 400, None),
        ("header and query disagree", root(&format!("?tenant={other}")).header("x-tenant-slug", &slug), 400, None),
        (
            "path and query disagree",
            at(&without_default, &format!("t/{slug}/")).query(&[("tenant", &other)]),
            400,
            None,
        ),
        ("unknown by path", by_path("nobody"), 404, None),
        ("unknown by header", root("").header("x-tenant-slug", "nobody"), 404, None),
        ("unknown by query", root("?tenant=nobody"), 404, None),
        ("not even a slug", root("").header("x-tenant-slug", "No Body"), 404, None),
        ("suspended", by_path(&suspended), 403, None),
    ];
    let mut wrong = Vec::new();
    for (what, request, status, issuer) in rows {
        let answer = web::send(request).await;
        let malformed = what == "not even a slug" && answer.status == 400;
        if (answer.status != status && !malformed) || answer.json["issuer"].as_str() != issuer.as_deref() {
            wrong.push(format!("{what}: want {status} {issuer:?}: {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let _ = admin.delete("/tenants/local?wait=fleet&timeout=15s").await.expect_one_of(&[200, 204]);
}

#[tokio::test]
async fn headers_cannot_move_a_path_named_request_to_another_tenant() {
    let (_world, a, b) = two_tenants().await;
    let url = format!("{}/.well-known/openid-configuration", a.issuer);
    for (name, value) in [
        ("x-tenant-id", b.slug.as_str()),
        ("x-tenant", &b.slug),
        ("x-forwarded-host", "evil.example"),
        ("x-original-url", &format!("/t/{}/.well-known/openid-configuration", b.slug)),
        ("x-rewrite-url", &format!("/t/{}/.well-known/openid-configuration", b.slug)),
        ("x-forwarded-prefix", &format!("/t/{}", b.slug)),
        ("host", "evil.example"),
    ] {
        let answer = web::send(a.app.http.get(&url).header(name, value)).await.expect_one_of(&[200, 400, 421]);
        assert!(!answer.text.contains("evil.example") && !answer.text.contains(&b.slug), "{name}: {answer:#?}");
        if answer.status == 200 {
            assert_eq!(answer.text_of("issuer"), a.issuer, "{name}");
        }
    }
}

/// Of all pods, whatever they are asked, two seconds after the write at the latest, though it did not wait for them.
async fn everywhere_within_two_seconds(world: &World, tenant: &Tenant, access: &str, status: u16) {
    let pods = world.pods.iter().map(async |pod| {
        let base = format!("{}/t/{}", pod.url(), tenant.slug);
        let [app, backend, service] = [&tenant.app, &tenant.backend, &tenant.service].map(|party| party.at(&base));
        until(&format!("{} answers {status}", pod.name), Duration::from_secs(2), async || {
            let requests = [
                app.http.get(format!("{base}/.well-known/openid-configuration")),
                app.http.get(format!("{base}/.well-known/jwks.json")),
                app.http.get(app.attempt().url),
                app.http.get(app.endpoint("userinfo")).bearer_auth(access),
                backend.back_channel("introspect", &[("token", access)]),
                service.token_request(&[("grant_type", "client_credentials")]),
            ];
            let answers = join_all(requests.map(web::send)).await;
            let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            if statuses.iter().all(|seen| *seen == status) { Ok(()) } else { Err(format!("{statuses:?}")) }
        })
        .await;
    });
    join_all(pods).await;
}

#[tokio::test]
async fn a_suspended_tenant_serves_nothing_and_comes_back_unharmed() {
    let (world, a, b) = two_tenants().await;
    let tokens = a.app.sign_in(&a.user("alice").await).await;
    let suspended = json!({ "status": "suspended" });
    let _ = a.admin.patch(&format!("/tenants/{}", a.slug), &suspended).await.expect(200);
    everywhere_within_two_seconds(&world, &a, &tokens.access, 403).await;
    let _ = a.app.refresh(tokens.refresh()).await.expect(403);
    b.service.client_credentials("hj:users.read").await;
    a.patch(&json!({ "status": "active" })).await;
    let _ = a.app.refresh(tokens.refresh()).await.expect(200);
}

#[tokio::test]
async fn a_deleted_tenant_is_gone_and_its_successor_has_fresh_keys() {
    let world = world::shared().await;
    let tenant = world.tenant("phoenix").await;
    let alice = tenant.user("alice").await;
    let tokens = tenant.app.sign_in(&alice).await;
    let browser = Browser::new();
    browser.authorize(&tenant.app.attempt().url, &alice).await;
    let (code, attempt) = tenant.app.code(&alice).await;
    let old_keys = tenant.app.jwks().await;
    let path = format!("/tenants/{}", tenant.slug);
    let _ = tenant.admin.delete(&path).await.expect_one_of(&[200, 204]);
    everywhere_within_two_seconds(&world, &tenant, &tokens.access, 404).await;
    let _ = tenant.app.refresh(tokens.refresh()).await.expect(404);
    let _ = tenant.admin.get(&path).await.expect(404);

    let body = json!({
        "slug": tenant.slug, "display_name": "Again", "settings": { "database": { "dsn": tenant.database.dsn() } },
    });
    let _ = tenant.admin.post("/tenants?wait=fleet&timeout=15s", &body).await.expect(201);
    let new_keys = tenant.app.jwks().await;
    assert!(tokens::verify(&tokens.access, &new_keys.json).is_err(), "{old_keys:?} {new_keys:?}");
    let _ = tenant.app.userinfo(&tokens.access).await.expect(401);
    let kids = |keys: &Answer| -> Vec<String> {
        let keys = keys.json["keys"].as_array().expect("keys").iter();
        keys.flat_map(|key| [key["kid"].to_string(), key["x"].to_string()]).collect()
    };
    assert!(kids(&new_keys).iter().all(|new| !kids(&old_keys).contains(new)), "{old_keys:?} {new_keys:?}");

    // The people are there, the database being the same; but nothing that was issued before is good for anything.
    let app = json!({
        "client_id": "app", "name": "The App", "token_endpoint_auth_method": "none",
        "redirect_uris": [tenant.app.redirect_uri], "grant_types": ["authorization_code", "refresh_token"],
        "scopes": ["openid", "profile", "email", "offline_access"],
    });
    tenant.admin.create_client(&tenant.slug, &app).await;
    let asks = json!({ "client_id": "asks", "name": "Asks", "grant_types": ["client_credentials"] });
    let secret = tenant.admin.create_client(&tenant.slug, &asks).await.secret;
    let asks = RelyingParty::new(&tenant.issuer, "asks", secret, "");
    for token in [&tokens.access, tokens.refresh()] {
        assert_eq!(asks.introspect(token).await.expect(200).text, r#"{"active":false}"#);
    }
    assert_eq!(tenant.app.refresh(tokens.refresh()).await.expect(400).code(), "invalid_grant");
    assert_eq!(tenant.app.redeem(&code, &attempt.verifier).await.expect(400).code(), "invalid_grant");
    let silent = tenant.app.attempt_with(&[("prompt", Some("none"))]);
    let callback = browser.open(&silent.url).await.expect_callback();
    assert_eq!(parameters(&callback)["error"], "login_required");
    tenant.app.sign_in(&alice).await;
}
