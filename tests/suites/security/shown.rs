//! What nobody is ever shown, whoever asks: what is secret is written and never read back.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use tests::authenticator_app::{AuthenticatorApp, recovery_codes};
use tests::browser::Browser;
use tests::tenant::{Tenant, User};
use tests::web;
use tests::world;
use url::Url;

#[tokio::test]
async fn nothing_secret_is_ever_read_back() {
    let world = world::shared().await;
    let tenant = world.tenant("secrets").await;
    let admin = &tenant.admin;
    let provider = json!({
        "id": "corp", "display_name": "Corp", "issuer": "https://127.0.0.1:1", "client_id": "us",
        "token_endpoint_auth_method": "client_secret_basic", "client_secret": "the-identity-providers-secret",
    });
    let smtp = json!({
        "host": "mx.example", "from": "a@acme.example", "username": "acme", "password": "the-mail-servers-password",
    });
    tenant.patch(&json!({ "settings": { "smtp": smtp, "oauth": { "identity_providers": [provider] } } })).await;
    let base = format!("/tenants/{}", tenant.slug);
    let initial = admin.post(&format!("{base}/registration-tokens"), &json!({ "name": "partners" })).await.expect(201);
    let second = admin.post(&format!("{base}/clients/service/secrets"), &json!({})).await.expect(201);
    let (initial, second) = (initial.text_of("token"), second.text_of("client_secret"));
    let first = tenant.service.secret.clone().expect("confidential");
    let own = [&first, &second, &initial, &tenant.database.password].map(String::as_str);
    let of_others = ["the-identity-providers-secret", "the-mail-servers-password"];
    let kept = ["digest", "private", "hjs1.", "\"d\""];
    for path in ["", "/clients", "/clients/service", "/scopes", "/keys", "/registration-tokens"] {
        let answer = admin.get(&format!("{base}{path}")).await.expect(200);
        for needle in own.into_iter().chain(of_others).chain(kept) {
            assert!(!answer.text.contains(needle), "{path} shows {needle}: {}", answer.text);
        }
        let names_one = path.starts_with("/clients") && answer.text.contains("client_secret\"");
        assert!(!names_one, "{path}: {}", answer.text);
    }
    for path in ["/admins", "/keys", "/fleet", "/cluster/status"] {
        let answer = admin.get(path).await.expect(200);
        for needle in ["digest", "private", "hjs1.", "credential", "\"d\""] {
            assert!(!answer.text.contains(needle), "{path} shows {needle}: {}", answer.text);
        }
    }
    let shown = admin.get(&format!("/tenants/{}", tenant.slug)).await.expect(200).json;
    assert_eq!(shown["settings"]["database"]["configured"], true, "{shown:#}");
    // What was read can be written back: the sealed DSN stays.
    let put = json!({ "display_name": "Same", "settings": { "database": { "max_connections": 5 } } });
    let _ = admin.put(&format!("/tenants/{}?wait=fleet&timeout=15s", tenant.slug), &put).await.expect(200);
    tenant.user("still-there").await;
}

/// Gives the user an authenticator app; the secrets that come of it.
async fn enrolled(tenant: &Tenant, user: &User) -> Vec<String> {
    let browser = Browser::new();
    let factors: Url = format!("{}/login?next=factors", tenant.issuer).parse().expect("a URL");
    let form = browser.open_page(&factors).await.expect_form();
    let offer =
        browser.sign_in(&form, &user.email, &user.password).await.link("/mfa/totp").expect("a link to add an app");
    let offer = browser.open_page(&offer).await;
    let (app, shown) = AuthenticatorApp::add(&browser, &offer, &user.password).await;
    recovery_codes(&shown).into_iter().chain([app.seed]).collect()
}

/// What the database has of secrets, whole rows of it as text.
async fn kept(tenant: &Tenant) -> Vec<String> {
    let connection = tenant.database.connect().await;
    let mut kept = Vec::new();
    for (table, column) in [("users", "password_hash"), ("second_factors", "sealed"), ("recovery_codes", "code_hash")] {
        let rows = connection.query(&format!("select {column}::text from {table}"), &[]).await.expect("a table");
        assert!(!rows.is_empty(), "{table} is filled");
        kept.extend(rows.iter().map(|row| row.get::<_, String>(0).trim_start_matches("\\x").to_owned()));
    }
    kept
}

#[tokio::test]
async fn a_user_is_shown_without_any_secret() {
    // As the documentation lists them. One more is one more to think about.
    let members = BTreeMap::from([
        ("user", vec!["claims", "created_at", "email", "email_verified", "id", "status", "updated_at"]),
        ("factor", vec!["created_at", "id", "kind", "last_used_at", "name"]),
    ]);
    let world = world::shared().await;
    let tenant = world.tenant("shown-users").await;
    let alice = tenant.user("alice").await;
    let mut secrets = enrolled(&tenant, &alice).await;
    secrets.extend(kept(&tenant).await);
    secrets.extend([alice.password.clone(), "argon2".to_owned(), "hjs1.".to_owned()]);
    let token = tenant.service.client_credentials("hj:users.read hj:users.write").await;
    let users = format!("{}/api/v1/users", tenant.issuer);
    let ask = async |method: Method, path: &str, body: Value| {
        let request = tenant.service.http.request(method, format!("{users}{path}")).bearer_auth(&token);
        web::send(if body.is_null() { request } else { request.json(&body) }).await
    };
    let own = format!("/{}", alice.id);
    let new = json!({ "email": "new@shown.example", "password": "the-password-of-somebody-new" });
    secrets.push("the-password-of-somebody-new".to_owned());
    let made = ask(Method::POST, "", new).await.expect(201);
    let patch = json!({ "password": "the-password-of-alice-anew" });
    secrets.push("the-password-of-alice-anew".to_owned());
    for (what, kind, answer) in [
        ("made", "user", made),
        ("changed", "user", ask(Method::PATCH, &own, patch).await.expect(200)),
        ("one", "user", ask(Method::GET, &own, Value::Null).await.expect(200)),
        ("all", "user", ask(Method::GET, "", Value::Null).await.expect(200)),
        ("factors", "factor", ask(Method::GET, &format!("{own}/factors"), Value::Null).await.expect(200)),
        ("identities", "factor", ask(Method::GET, &format!("{own}/identities"), Value::Null).await.expect(200)),
    ] {
        for secret in &secrets {
            assert!(!answer.text.contains(secret.as_str()), "{what} shows {secret}: {}", answer.text);
        }
        let one = vec![answer.json.clone()];
        for shown in answer.json["items"].as_array().unwrap_or(&one) {
            let mut names: Vec<&str> = shown.as_object().expect("an object").keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, members[kind], "{what}: {shown:#}");
        }
    }
}
