//! Signing in and getting tokens, walked by hand to the letter. `clients.rs` does it by clients that other people wrote.

use serde_json::json;
use tests::browser::Browser;
use tests::relying_party::{Tokens, parameters};
use tests::tenant::{APP_REDIRECT, Tenant};
use tests::tokens::{self, Jwt};
use tests::web;
use tests::world;

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_secs()).expect("seconds fit")
}

#[tokio::test]
async fn the_code_flow_with_pkce_walked_by_hand() {
    let world = world::shared().await;
    let tenant = world.tenant("walk").await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    let attempt = tenant.app.attempt();

    // A page asks who it is; a wrong password asks again; the right one leads on.
    let login = browser.open_page(&attempt.url).await;
    let form = login.expect_form();
    let again = browser.sign_in(&form, &alice.email, "not her password").await;
    assert!(again.leaves_to.is_none(), "{again:#?}");
    let consent = browser.sign_in(&again.expect_form(), &alice.email, &alice.password).await;
    assert!(consent.leaves_to.is_none(), "a client with require_consent asks: {consent:#?}");
    assert!(consent.text().contains("The App"), "{}", consent.text());
    let callback = browser.consent(&consent.expect_form()).await.expect_callback();
    assert!(callback.as_str().starts_with(APP_REDIRECT), "{callback}");
    let answer = parameters(&callback);
    assert_eq!(answer["state"], attempt.state);
    assert_eq!(answer["iss"], tenant.issuer, "RFC 9207");

    let redeemed = tenant.app.redeem(&answer["code"], &attempt.verifier).await.expect(200);
    assert_eq!(redeemed.header("cache-control"), Some("no-store"));
    assert_eq!(redeemed.text_of("token_type"), "Bearer");
    assert!(redeemed.json["expires_in"].as_u64().is_some_and(|seconds| seconds > 0 && seconds <= 600));
    let tokens = Tokens::read(redeemed);

    // The access token, RFC 9068.
    let jwks = tenant.app.jwks().await.json;
    let claims = tokens::verify(&tokens.access, &jwks).expect("the served keys verify the access token");
    assert_eq!(Jwt::parse(&tokens.access).header["typ"], "at+jwt");
    assert_eq!(claims["iss"], tenant.issuer.as_str());
    assert_eq!(claims["sub"], alice.id.as_str());
    assert_eq!(claims["client_id"], "app");
    for claim in ["aud", "exp", "iat", "jti", "scope", "auth_time", "sid"] {
        assert!(!claims[claim].is_null(), "{claim} is missing: {claims:#}");
    }

    // The ID token, OIDC Core §2 and §3.1.3.6.
    let id = tokens::verify(tokens.id(), &jwks).expect("the served keys verify the ID token");
    assert_eq!(id["iss"], tenant.issuer.as_str());
    assert_eq!(id["sub"], alice.id.as_str());
    assert!(id["aud"] == "app" || id["aud"] == json!(["app"]), "{id:#}");
    assert_eq!(id["nonce"], attempt.nonce.as_str());
    assert_eq!(id["at_hash"], tokens::at_hash(&tokens.access).as_str());
    let auth_time = id["auth_time"].as_i64().expect("auth_time");
    assert!((now() - auth_time).abs() < 60, "{id:#}");
    assert_eq!(id["sid"], claims["sid"]);

    let userinfo = tenant.app.userinfo(&tokens.access).await.expect(200);
    assert_eq!(userinfo.text_of("sub"), alice.id);
    assert_eq!(userinfo.text_of("email"), alice.email);
    assert_eq!(userinfo.json["email_verified"], true);
    assert_eq!(userinfo.text_of("name"), "alice");
    assert!(userinfo.header("x-config-revision").is_some());
}

#[tokio::test]
async fn consent_is_asked_once_and_a_signed_in_browser_is_not_asked_who_it_is() {
    let world = world::shared().await;
    let tenant = world.tenant("again").await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    browser.authorize(&tenant.app.attempt().url, &alice).await;

    let page = browser.open(&tenant.app.attempt().url).await;
    assert!(parameters(&page.expect_callback()).contains_key("code"), "{page:#?}");
    let silent = tenant.app.attempt_with(&[("prompt", Some("none"))]);
    let callback = browser.open(&silent.url).await.expect_callback();
    assert!(parameters(&callback).contains_key("code"), "{callback}");
    // Asked for, it is asked again.
    let asked = browser.open_page(&tenant.app.attempt_with(&[("prompt", Some("consent"))]).url).await;
    assert!(!asked.expect_form().asks_for_password(), "{asked:#?}");
    let asked = browser.open_page(&tenant.app.attempt_with(&[("prompt", Some("login"))]).url).await;
    assert!(asked.expect_form().asks_for_password(), "{asked:#?}");
    let asked = browser.open_page(&tenant.app.attempt_with(&[("max_age", Some("0"))]).url).await;
    assert!(asked.expect_form().asks_for_password(), "{asked:#?}");
}

#[tokio::test]
async fn prompt_none_answers_instead_of_asking() {
    let world = world::shared().await;
    let tenant = world.tenant("silent").await;
    let attempt = tenant.app.attempt_with(&[("prompt", Some("none"))]);
    let answer = parameters(&Browser::new().open(&attempt.url).await.expect_callback());
    assert_eq!(answer["error"], "login_required");
    assert_eq!(answer["state"], attempt.state);
    assert_eq!(answer["iss"], tenant.issuer);

    // Signed in, but this client needs a consent that was never given.
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    browser.authorize(&tenant.backend.attempt().url, &alice).await;
    let answer = parameters(&browser.open(&attempt.url).await.expect_callback());
    assert!(["consent_required", "interaction_required"].contains(&answer["error"].as_str()), "{answer:?}");
}

#[tokio::test]
async fn a_denied_consent_is_told_to_the_client_and_leaves_no_code() {
    let world = world::shared().await;
    let tenant = world.tenant("deny").await;
    let alice = tenant.user("alice").await;
    let browser = Browser::new();
    let attempt = tenant.app.attempt();
    let form = browser.open_page(&attempt.url).await.expect_form();
    let consent = browser.sign_in(&form, &alice.email, &alice.password).await.expect_form();
    let answer = parameters(&browser.deny(&consent).await.expect_callback());
    assert_eq!(answer["error"], "access_denied");
    assert_eq!(answer["state"], attempt.state);
    assert_eq!(answer["iss"], tenant.issuer);
    let connection = tenant.database.connect().await;
    for table in ["authorization_codes", "consents"] {
        let count = format!("select count(*) from {table}");
        let rows: i64 = connection.query_one(&count, &[]).await.expect("a table").get(0);
        assert_eq!(rows, 0, "{table}");
    }
}

#[tokio::test]
async fn refresh_tokens_rotate_and_a_replayed_one_ends_the_family() {
    let world = world::shared().await;
    let tenant = world.tenant("rotate").await;
    let alice = tenant.user("alice").await;
    let first = tenant.app.sign_in(&alice).await;
    let other_family = tenant.app.sign_in(&alice).await;
    let second = Tokens::read(tenant.app.refresh(first.refresh()).await);
    let third = Tokens::read(tenant.app.refresh(second.refresh()).await);
    assert_ne!(second.refresh(), first.refresh());
    assert_ne!(third.refresh(), second.refresh());
    let _ = tenant.app.userinfo(&third.access).await.expect(200);

    let refused = tenant.app.refresh(first.refresh()).await.expect(400);
    assert_eq!(refused.code(), "invalid_grant");
    assert_eq!(tenant.app.refresh(third.refresh()).await.expect(400).code(), "invalid_grant");
    let _ = tenant.app.userinfo(&third.access).await.expect(401);
    // Another family of the same person and client goes on.
    let _ = tenant.app.refresh(other_family.refresh()).await.expect(200);
}

#[tokio::test]
async fn a_replayed_code_is_refused_and_ends_what_it_bought() {
    let world = world::shared().await;
    let tenant = world.tenant("replay").await;
    let alice = tenant.user("alice").await;
    let (code, attempt) = tenant.app.code(&alice).await;
    let tokens = Tokens::read(tenant.app.redeem(&code, &attempt.verifier).await);
    let _ = tenant.app.userinfo(&tokens.access).await.expect(200);
    assert_eq!(tenant.app.redeem(&code, &attempt.verifier).await.expect(400).code(), "invalid_grant");
    let _ = tenant.app.userinfo(&tokens.access).await.expect(401);
    assert_eq!(tenant.app.refresh(tokens.refresh()).await.expect(400).code(), "invalid_grant");
}

#[tokio::test]
async fn a_code_redeemed_at_two_pods_at_once_is_good_for_one() {
    let world = world::shared().await;
    let tenant = world.tenant("race").await;
    let alice = tenant.user("alice").await;
    let other_pod = tenant.app.at(&format!("{}/t/{}", world.pods[1].url(), tenant.slug));
    let (code, attempt) = tenant.app.code(&alice).await;
    let (one, two) =
        tokio::join!(tenant.app.redeem(&code, &attempt.verifier), other_pod.redeem(&code, &attempt.verifier));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400], "{one:#?} {two:#?}");
}

#[tokio::test]
async fn client_credentials_give_a_token_of_the_clients_own() {
    let world = world::shared().await;
    let tenant = world.tenant("machine").await;
    let answer = tenant.service.token(&[("grant_type", "client_credentials"), ("scope", "hj:users.read")]).await;
    let answer = answer.expect(200);
    assert!(answer.json.get("refresh_token").is_none() && answer.json.get("id_token").is_none(), "{answer:#?}");
    let claims = tokens::verify(&answer.text_of("access_token"), &tenant.service.jwks().await.json).expect("verifies");
    assert_eq!(claims["sub"], "service");
    assert_eq!(claims["client_id"], "service");
    assert_eq!(claims["scope"], "hj:users.read");
    assert!(claims.get("auth_time").is_none() && claims.get("sid").is_none(), "{claims:#}");
}

#[tokio::test]
async fn tokens_are_signed_by_the_algorithm_of_the_tenant_and_survive_a_rotation() {
    let world = world::shared().await;
    for algorithm in ["ES256", "EdDSA", "RS256", "PS256", "ES384"] {
        let settings = json!({ "signing_algorithm": algorithm });
        let tenant = Tenant::create_with(&world, "algorithm", settings).await;
        let before = tenant.service.client_credentials("hj:users.read").await;
        assert_eq!(Jwt::parse(&before).header["alg"], algorithm);
        let rotate = format!("/tenants/{}/keys/rotate?wait=fleet&timeout=15s", tenant.slug);
        let rotated = tenant.admin.post(&rotate, &json!({ "step": "now" })).await.expect_one_of(&[200, 201]);
        assert_eq!(rotated.header("x-fleet"), Some("complete"));
        let after = tenant.service.client_credentials("hj:users.read").await;
        assert_ne!(Jwt::parse(&after).header["kid"], Jwt::parse(&before).header["kid"]);
        let jwks = tenant.service.jwks().await.json;
        for token in [&before, &after] {
            let _ = tokens::verify(token, &jwks).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
            let request = tenant.service.http.get(format!("{}/api/v1/users", tenant.issuer)).bearer_auth(token);
            let _ = web::send(request).await.expect(200);
        }
    }
}

#[tokio::test]
async fn people_register_where_the_tenant_lets_them() {
    let world = world::shared().await;
    let open = Tenant::create_with(&world, "open", json!({ "registration_enabled": true })).await;
    let browser = Browser::new();
    let attempt = open.backend.attempt();
    let login = browser.open_page(&attempt.url).await;
    let link = login.link("register").unwrap_or_else(|| panic!("no link to register: {login:#?}"));
    let form = browser.open_page(&link).await.expect_form();
    let fill = |email| [(form.email_field(), email), (form.password_field(), "a new horse with a staple")];
    let mut page = browser.submit(&form, &fill("new@open.example"), form.buttons.first()).await;
    if page.leaves_to.is_none() && page.status == 200 && page.expect_form().asks_for_password() {
        page = browser.sign_in(&page.expect_form(), "new@open.example", "a new horse with a staple").await;
    }
    let answer = parameters(&page.expect_callback());
    let tokens = Tokens::read(open.backend.redeem(&answer["code"], &attempt.verifier).await);
    let userinfo = open.backend.userinfo(&tokens.access).await.expect(200);
    assert_eq!(userinfo.text_of("email"), "new@open.example");
    assert_ne!(userinfo.json["email_verified"], true, "nobody verified it");

    let closed = world.tenant("closed").await;
    let login = browser.open_page(&closed.backend.attempt().url).await;
    assert!(login.link("register").is_none(), "{login:#?}");
    let url = format!("{}/register", closed.issuer).parse().expect("a URL");
    let page = browser.open(&url).await;
    assert!([403, 404, 501].contains(&page.status), "{page:#?}");
}
