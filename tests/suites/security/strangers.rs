//! What one tenant gave out, shown to another: requests that wait, hints, keys and names. Tokens and codes: the suite
//! `tokens`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{RelyingParty, parameters};
use tests::table::Table;
use tests::tenant::Tenant;
use tests::tokens::Jwt;
use tests::web;
use tests::world;
use url::Url;

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const CIBA: &str = "urn:openid:params:grant-type:ciba";

/// A tenant whose backend may do all of it.
async fn tenant(name: &str) -> Tenant {
    let world = world::shared().await;
    let tenant = world.tenant(name).await;
    let patch = json!({
        "grant_types": ["authorization_code", "refresh_token", DEVICE, CIBA], "backchannel_token_delivery_mode": "poll",
        "post_logout_redirect_uris": ["https://backend.example/bye"],
    });
    tenant.patch_client("backend", &patch).await;
    tenant
}

#[tokio::test]
async fn requests_that_wait_at_one_tenant_are_unknown_to_another() {
    let world = world::shared().await;
    let (a, b) = (tenant("waits-here").await, tenant("waits-not").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let begin = async |name: &str, form: &[(&str, &str)]| web::send(a.backend.back_channel(name, form)).await;
    let attempt = a.backend.attempt();
    let pushed: Vec<(String, String)> = attempt.url.query_pairs().into_owned().collect();
    let pushed: Vec<(&str, &str)> = pushed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request_uri = begin("par", &pushed).await.expect(201).text_of("request_uri");
    let device = begin("device_authorization", &[("scope", "openid")]).await.expect(200);
    let ciba = begin("bc-authorize", &[("scope", "openid"), ("login_hint", &alice.email)]).await.expect(200);

    // The same client_id, the same secret would be another's.
    let mut table = Table::new();
    for (what, form) in [
        ("a device_code", [("grant_type", DEVICE), ("device_code", &device.text_of("device_code"))]),
        ("an auth_req_id", [("grant_type", CIBA), ("auth_req_id", &ciba.text_of("auth_req_id"))]),
    ] {
        table.oauth(what, b.backend.token_request(&form), &[400], &["invalid_grant"]).await;
        table.oauth(what, a.backend.token_request(&form), &[400], &["authorization_pending"]).await;
    }
    let hint = begin("bc-authorize", &[("scope", "openid"), ("login_hint", &bob.email)]).await;
    table.check("another tenant's user", hint.code() == "unknown_user_id", || hint.text.clone());
    let named = [("client_id", "backend"), ("request_uri", request_uri.as_str())];
    let url = Url::parse_with_params(&b.backend.endpoint("authorize"), named).expect("a URL");
    let answer = table.row("a request_uri", b.backend.http.get(url), &[400]).await;
    table.check("a request_uri", answer.header("location").is_none(), || format!("{answer:?}"));
    let browser = Browser::new();
    browser.authorize(&b.backend.attempt().url, &bob).await;
    let typed = [("user_code", device.text_of("user_code"))];
    let page = Url::parse_with_params(&format!("{}/oauth2/device", b.issuer), typed).expect("a URL");
    let page = browser.open(&page).await;
    table.check("a user_code", page.status == 404 && !page.text().contains("The Backend"), || format!("{page:?}"));
    // All of it still waits where it belongs.
    let url = Url::parse_with_params(&a.backend.endpoint("authorize"), named).expect("a URL");
    let callback = Browser::new().authorize(&url, &alice).await;
    table.check("at home", parameters(&callback).contains_key("code"), || callback.to_string());
    table.finish(&world).await;
}

#[tokio::test]
async fn an_id_token_of_another_tenant_hints_at_nobody() {
    let world = world::shared().await;
    let (a, b) = (tenant("hints-here").await, tenant("hints-not").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let tokens = a.backend.sign_in(&alice).await;
    let browser = Browser::new();
    browser.authorize(&b.backend.attempt().url, &bob).await;
    let id = Jwt::parse(tokens.id());
    let mut table = Table::new();
    for (what, hint) in [
        ("foreign", tokens.id().to_owned()),
        ("unsigned", id.clone().with_alg_none()),
        ("garbage", "x".to_owned()),
        ("forged", id.signed_with(&[0; 64])),
    ] {
        let asked = b.backend.attempt_with(&[("prompt", Some("none")), ("id_token_hint", Some(&hint))]);
        let told = parameters(&browser.open(&asked.url).await.expect_callback());
        let error = told.get("error").map(String::as_str).unwrap_or_default();
        let refused = ["login_required", "invalid_request"].contains(&error) && !told.contains_key("code");
        table.check(what, refused, || format!("{told:?}"));
        let bye = [("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", "https://backend.example/bye")];
        let url = Url::parse_with_params(&b.backend.endpoint("logout"), bye).expect("a URL");
        let page = browser.open(&url).await;
        table.check(what, page.status == 400 && page.leaves_to.is_none(), || format!("{page:?}"));
    }
    let still = parameters(&browser.open(&b.backend.attempt().url).await.expect_callback());
    table.check("still signed in", still.contains_key("code"), || format!("{still:?}"));
    table.finish(&world).await;
}

#[tokio::test]
async fn keys_and_names_of_one_tenant_mean_nothing_to_another() {
    let (a, b) = (tenant("named-a").await, tenant("named-b").await);
    let members = |jwks: &Value, name: &str| -> BTreeSet<String> {
        let keys = jwks["keys"].as_array().expect("keys");
        keys.iter().map(|key| key[name].as_str().unwrap_or_default().to_owned()).collect()
    };
    let (ours, theirs) = (a.app.jwks().await.json, b.app.jwks().await.json);
    for member in ["kid", "x"] {
        assert!(members(&ours, member).is_disjoint(&members(&theirs, member)), "{member}: {ours:#} {theirs:#}");
    }
    // B's token that says A's key made it, to both.
    let alice = a.user("alice").await;
    let (token, foreign) =
        (a.backend.sign_in(&alice).await.access, b.service.client_credentials("hj:users.read").await);
    let mut forged = Jwt::parse(&foreign);
    forged.header["kid"] = Jwt::parse(&token).header["kid"].clone();
    let signature = forged.signature.clone();
    let forged = forged.signed_with(&signature);
    for tenant in [&a, &b] {
        let users = tenant.service.http.get(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(&forged);
        let _ = web::send(users).await.expect(401);
    }

    // The same address with another password, and the same client_id with another secret.
    let email = alice.email.clone();
    let write = b.service.client_credentials("hj:users.write").await;
    let user = json!({ "email": email, "password": "another horse with a staple", "email_verified": true });
    let made = b.service.http.post(format!("{}/api/v1/users", b.issuer)).bearer_auth(write).json(&user);
    let made = web::send(made).await.expect(201);
    let browser = Browser::new();
    let login = browser.open_page(&b.backend.attempt().url).await.expect_form();
    let page = browser.sign_in(&login, &email, &alice.password).await;
    assert!(page.leaves_to.is_none(), "{page:#?}");
    let page = browser.sign_in(&page.expect_form(), &email, "another horse with a staple").await;
    assert!(parameters(&page.expect_callback()).contains_key("code"), "{page:#?}");
    assert_ne!(made.text_of("id"), alice.id);
    let borrowed = RelyingParty { secret: a.backend.secret.clone(), ..b.backend.clone() };
    let refused = borrowed.token(&[("grant_type", "refresh_token"), ("refresh_token", "x")]).await.expect(401);
    assert_eq!(refused.code(), "invalid_client");
}

#[tokio::test]
async fn a_tenants_role_reaches_neither_files_nor_programs() {
    let tenant = tenant("role").await;
    let connection = tenant.database.connect_as_role(&tenant.database.name).await.expect("its own database");
    for statement in [
        "select pg_read_file('/etc/passwd')",
        "copy users to program 'cat'",
        "copy users from '/etc/passwd'",
        "create extension dblink",
        "create role another superuser",
        "alter role current_user superuser",
        "set session authorization postgres",
    ] {
        let refused = connection.batch_execute(statement).await;
        assert!(refused.is_err_and(|error| error.as_db_error().is_some()), "{statement}");
    }
}
