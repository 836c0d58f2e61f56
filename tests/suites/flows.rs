//! Signing in and getting tokens: walked by hand to the letter, and by clients that other people wrote.

use std::process::Stdio;

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse as _,
};
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::programs;
use tests::relying_party::{Tokens, parameters};
use tests::tenant::{APP_REDIRECT, BACKEND_REDIRECT, Tenant};
use tests::tokens::{self, Jwt};
use tests::web;
use tests::world;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::OnceCell;

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

#[tokio::test]
async fn the_crate_openidconnect_signs_in() {
    let world = world::shared().await;
    let tenant = world.tenant("openidconnect").await;
    let alice = tenant.user("alice").await;
    let http = |request: HttpRequest| async move {
        let client = web::client();
        let request = reqwest::Request::try_from(request)?;
        let response = client.execute(request).await?;
        let mut answer = HttpResponse::new(Vec::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        *answer.body_mut() = response.bytes().await?.to_vec();
        Ok::<_, reqwest::Error>(answer)
    };
    let secret = tenant.backend.secret.clone().expect("a confidential client");
    for (id, secret, redirect) in [("app", None, APP_REDIRECT), ("backend", Some(secret), BACKEND_REDIRECT)] {
        let issuer = IssuerUrl::new(tenant.issuer.clone()).expect("a URL");
        let metadata = CoreProviderMetadata::discover_async(issuer, &http).await.expect("discovery");
        let secret = secret.map(ClientSecret::new);
        let client = CoreClient::from_provider_metadata(metadata, ClientId::new(id.to_owned()), secret)
            .set_redirect_uri(RedirectUrl::new(redirect.to_owned()).expect("a URL"));
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(["email", "profile", "offline_access"].map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .url();
        let callback = parameters(&Browser::new().authorize(&url, &alice).await);
        assert_eq!(&callback["state"], state.secret());

        let code = AuthorizationCode::new(callback["code"].clone());
        let request = client.exchange_code(code).expect("a token endpoint").set_pkce_verifier(verifier);
        let tokens = request.request_async(&http).await.expect("tokens");
        let id_token = tokens.id_token().expect("an ID token");
        let id_verifier = client.id_token_verifier();
        let claims = id_token.claims(&id_verifier, &nonce).expect("a valid ID token");
        assert_eq!(claims.subject().as_str(), alice.id);
        let algorithm = id_token.signing_alg().expect("an algorithm");
        let key = id_token.signing_key(&id_verifier).expect("a key");
        let at_hash = AccessTokenHash::from_token(tokens.access_token(), algorithm, key).expect("a hash");
        assert_eq!(claims.access_token_hash(), Some(&at_hash));

        let subject = Some(claims.subject().clone());
        let request = client.user_info(tokens.access_token().clone(), subject).expect("a userinfo endpoint");
        let userinfo: CoreUserInfoClaims = request.request_async(&http).await.expect("userinfo");
        assert_eq!(userinfo.email().map(|email| email.as_str()), Some(alice.email.as_str()));

        let refresh = tokens.refresh_token().expect("a refresh token");
        let request = client.exchange_refresh_token(refresh).expect("a token endpoint");
        request.request_async(&http).await.expect("fresh tokens");
    }
}

#[tokio::test]
async fn npms_openid_client_signs_in() {
    let world = world::shared().await;
    let tenant = world.tenant("openid-client").await;
    let alice = tenant.user("alice").await;
    let secret = tenant.backend.secret.clone().expect("a confidential client");
    for (id, secret, redirect) in [("app", "", APP_REDIRECT), ("backend", secret.as_str(), BACKEND_REDIRECT)] {
        let mut script = node("openid-client.mjs", &[&tenant.issuer, id, secret, redirect]).await;
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let url = lines.next_line().await.expect("readable").expect("the script prints the URL; its errors are above");
        let callback = Browser::new().authorize(&url.parse().expect("a URL"), &alice).await;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(format!("{callback}\n").as_bytes()).await.expect("the script reads");
        drop(stdin);
        let outcome = lines.next_line().await.expect("readable").expect("an outcome; the script's errors are above");
        assert!(child.wait().await.expect("it ends").success());
        let outcome: Value = serde_json::from_str(&outcome).expect("JSON");
        assert_eq!(outcome["claims"]["sub"], alice.id.as_str(), "{outcome:#}");
        assert_eq!(outcome["userinfo"]["email"], alice.email.as_str(), "{outcome:#}");
        let refreshed = outcome["refreshed"].as_array().expect("member names");
        assert!(
            refreshed.contains(&json!("access_token")) && refreshed.contains(&json!("refresh_token")),
            "{outcome:#}"
        );
    }
}

#[tokio::test]
async fn npms_jose_verifies_our_tokens_against_the_served_keys() {
    let world = world::shared().await;
    for algorithm in ["ES256", "EdDSA", "RS256", "PS256", "ES384"] {
        let tenant = Tenant::create_with(&world, "jose", json!({ "signing_algorithm": algorithm })).await;
        let tokens = tenant.backend.sign_in(&tenant.user("alice").await).await;
        let claims = Jwt::parse(&tokens.access).claims;
        let audience = claims["aud"].as_str().or(claims["aud"][0].as_str()).expect("an audience").to_owned();
        let args = [tenant.issuer.as_str(), &tokens.access, &audience, tokens.id(), "backend"];
        let output = node("jose-verify.mjs", &args).await.output().await.expect("node runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{algorithm}: {errors}");
        let verified: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(verified["alg"], algorithm);
        assert_eq!(verified["access"], claims);
        assert_eq!(verified["id"]["sub"], claims["sub"]);
    }
}

/// One of the scripts of `tests/clients`, its packages installed once below `target/`.
async fn node(script: &str, args: &[&str]) -> Command {
    static INSTALLED: OnceCell<std::path::PathBuf> = OnceCell::const_new();
    let folder = INSTALLED.get_or_init(install).await;
    let mut command = Command::new("node");
    // Debian 12's Node.js 18 has Web Crypto behind this flag; later ones have it anyway.
    command.arg("--experimental-global-webcrypto").arg(folder.join(script)).args(args).kill_on_drop(true);
    command
}

async fn install() -> std::path::PathBuf {
    let source = programs::repository().join("tests/clients");
    let folder = programs::target_folder().join("test-clients");
    std::fs::create_dir_all(&folder).expect("target is writable");
    let mut changed = !folder.join("node_modules").is_dir();
    for entry in std::fs::read_dir(&source).expect("tests/clients").flatten().filter(|entry| entry.path().is_file()) {
        let (from, to) = (entry.path(), folder.join(entry.file_name()));
        let new = std::fs::read(&from).expect("a readable file");
        if std::fs::read(&to).ok() != Some(new) {
            changed |= entry.file_name().to_string_lossy().ends_with(".json");
            std::fs::copy(&from, &to).expect("target is writable");
        }
    }
    if changed {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder).stdin(Stdio::null());
        let output = npm.output().await.expect("npm is missing: apt-get install nodejs npm");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm ci failed in {}: {errors}", folder.display());
    }
    folder
}
