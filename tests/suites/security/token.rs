//! The token endpoint: who may redeem what, and how a refusal looks.

use std::collections::BTreeSet;

use tests::browser::Browser;
use tests::relying_party::{RelyingParty, Tokens, parameters};
use tests::table::Table;
use tests::tenant::{APP_REDIRECT, BACKEND_REDIRECT};
use tests::web::{self, Answer};
use tests::world;

#[tokio::test]
async fn a_client_that_cannot_prove_itself_is_refused_the_same_way_whoever_it_is() {
    let world = world::shared().await;
    let tenant = world.tenant("client-auth").await;
    let mut table = Table::new();
    let secret = tenant.service.secret.clone().expect("confidential");
    let grant = [("grant_type", "client_credentials")];
    let with = |id: &str, secret: &str| {
        RelyingParty::new(&tenant.issuer, id, Some(secret.to_owned()), "").token_request(&grant)
    };
    let unknown = table.oauth("unknown client", with("nobody", "x"), &[401], &["invalid_client"]).await;
    let wrong = table.oauth("wrong secret", with("service", "x"), &[401], &["invalid_client"]).await;
    table.check("told apart", unknown.text == wrong.text, || format!("{} / {}", unknown.text, wrong.text));
    // The same work: a table beside the code counts what a secret is held against, known client or not.
    let headers = |answer: &Answer| {
        let names = answer.headers.iter().filter(|(name, _)| *name != "date");
        names.map(|(name, value)| format!("{name}: {value:?}")).collect::<BTreeSet<_>>()
    };
    table.check("told apart by headers", headers(&unknown) == headers(&wrong), || format!("{unknown:?} / {wrong:?}"));
    for answer in [&unknown, &wrong] {
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        table.check("challenge", challenge.starts_with("Basic"), || format!("{answer:?}"));
    }
    table.oauth("a public client's id with a secret", with("app", "x"), &[401], &["invalid_client"]).await;
    table.oauth("secret in another case", with("service", &secret.to_uppercase()), &[401], &["invalid_client"]).await;
    table.oauth("secret cut short", with("service", &secret[..secret.len() - 1]), &[401], &["invalid_client"]).await;
    table.oauth("empty secret", with("service", ""), &[401], &["invalid_client"]).await;
    table.oauth("id in capitals", with("SERVICE", &secret), &[401], &["invalid_client"]).await;
    table
        .oauth("id is SQL", with("'; select pg_sleep(9)--", "x"), &[400, 401], &["invalid_client", "invalid_request"])
        .await;

    let post = |form: &[(&str, &str)]| tenant.service.http.post(tenant.service.endpoint("token")).form(form);
    let by_post = [grant[0], ("client_id", "service"), ("client_secret", &secret)];
    table.oauth("post where basic is registered", post(&by_post), &[401], &["invalid_client"]).await;
    table.oauth("id alone", post(&[grant[0], ("client_id", "service")]), &[401], &["invalid_client"]).await;
    table.oauth("nothing at all", post(&grant), &[400, 401], &["invalid_client", "invalid_request"]).await;
    let both = post(&by_post).basic_auth("service", Some(&secret));
    table.oauth("two ways at once", both, &[400, 401], &["invalid_request", "invalid_client"]).await;
    let another = post(&[grant[0], ("client_id", "backend")]).basic_auth("service", Some(&secret));
    table.oauth("two names", another, &[400, 401], &["invalid_request", "invalid_client"]).await;
    let query = [("client_id", "service"), ("client_secret", secret.as_str())];
    table.oauth("in the query", post(&grant).query(&query), &[400, 401], &["invalid_request", "invalid_client"]).await;
    let long = |bytes: usize| format!("Basic {}", "YTpi".repeat(bytes / 4));
    let too_long = post(&grant).header("authorization", long(32 << 10));
    table.problem("32 KiB", too_long, &[400], "header fields").await;
    let long = long(16 << 10);
    for header in ["Basic", "Basic ", "Basic bm9jb2xvbg==", "Basic %%%", "Basic /w==", "Bearer x", &long] {
        let request = post(&grant).header("authorization", header);
        let what = header.get(..20).unwrap_or(header);
        let answer = table.oauth(what, request, &[401], &["invalid_client"]).await;
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        table.check(what, challenge.starts_with("Basic "), || format!("{answer:?}"));
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn grants_that_are_not_offered_or_not_the_clients_are_refused() {
    let world = world::shared().await;
    let tenant = world.tenant("grants").await;
    let mut table = Table::new();
    let errors = ["unsupported_grant_type", "unauthorized_client"];
    for grant in ["password", "implicit", "urn:x", "urn:ietf:params:oauth:grant-type:jwt-bearer"] {
        let form = [("grant_type", grant), ("username", "alice"), ("password", "x")];
        table.oauth(grant, tenant.backend.token_request(&form), &[400], &errors).await;
    }
    let own = [("grant_type", "client_credentials")];
    let refusals = ["invalid_client", "unauthorized_client"];
    table.oauth("public client", tenant.app.token_request(&own), &[400, 401], &refusals).await;
    table.oauth("not registered for it", tenant.backend.token_request(&own), &[400], &["unauthorized_client"]).await;
    let code = [("grant_type", "authorization_code"), ("code", "x"), ("redirect_uri", APP_REDIRECT)];
    let errors = ["unauthorized_client", "invalid_grant"];
    table.oauth("a code for a service", tenant.service.token_request(&code), &[400], &errors).await;
    let long = "x".repeat(64 << 10);
    let errors = ["invalid_request", "invalid_grant", "invalid_scope", "unsupported_grant_type"];
    for form in [
        [("grant_type", long.as_str()), ("code", "x")],
        [("grant_type", "refresh_token"), ("refresh_token", &long)],
        [("grant_type", "authorization_code"), ("unheard_of", &long)],
        [(&long, "x"), ("grant_type", "authorization_code")],
    ] {
        let what = form.map(|(name, value)| format!("{}={} bytes", &name[..name.len().min(16)], value.len())).join("&");
        table.oauth(&what, tenant.backend.token_request(&form), &[400], &errors).await;
    }
    let unknown = tenant.app.http.post(tenant.app.endpoint("token")).form(&[code[0], ("client_id", &long)]);
    table.oauth("a long client_id", unknown, &[401], &["invalid_client"]).await;
    let too_long = [("grant_type", "refresh_token"), ("refresh_token", long.as_str()), ("more", &long)];
    table.oauth("128 KiB", tenant.backend.token_request(&too_long), &[400], &["invalid_request"]).await;
    for name in ["grant_type", "code", "client_id", "redirect_uri", "code_verifier"] {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", "x"),
            ("redirect_uri", APP_REDIRECT),
            ("code_verifier", "x"),
            ("client_id", "app"),
        ];
        form.push((name, "x"));
        let request = tenant.app.http.post(tenant.app.endpoint("token")).form(&form);
        table.oauth(&format!("{name} twice"), request, &[400], &["invalid_request"]).await;
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn a_code_is_good_for_its_client_its_redirect_uri_and_its_verifier_only() {
    let world = world::shared().await;
    let tenant = world.tenant("codes").await;
    let alice = tenant.user("alice").await;
    let mut table = Table::new();
    let grant = ["invalid_grant"];
    let either = ["invalid_grant", "invalid_request"];
    let browser = Browser::new();
    let fresh = async || {
        let attempt = tenant.backend.attempt();
        let callback = browser.authorize(&attempt.url, &alice).await;
        (parameters(&callback)["code"].clone(), attempt.verifier)
    };
    let backend = &tenant.backend;
    let form = |code: &str, redirect: Option<&str>, verifier: Option<&str>| {
        let mut form = vec![("grant_type", "authorization_code"), ("code", code)];
        form.extend(redirect.map(|uri| ("redirect_uri", uri)));
        form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        backend.token_request(&form)
    };
    let (code, verifier) = fresh().await;
    let by_another = tenant.app.token_request(&[
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", BACKEND_REDIRECT),
        ("code_verifier", &verifier),
    ]);
    table.oauth("by another client", by_another, &[400], &grant).await;

    let (code, verifier) = fresh().await;
    table.oauth("another redirect_uri", form(&code, Some(APP_REDIRECT), Some(&verifier)), &[400], &grant).await;
    let (code, verifier) = fresh().await;
    table.oauth("no redirect_uri", form(&code, None, Some(&verifier)), &[400], &either).await;
    let (code, _) = fresh().await;
    let wrong = "w".repeat(43);
    table.oauth("wrong verifier", form(&code, Some(BACKEND_REDIRECT), Some(&wrong)), &[400], &grant).await;
    let (code, _) = fresh().await;
    table.oauth("no verifier", form(&code, Some(BACKEND_REDIRECT), None), &[400], &either).await;
    for (what, verifier) in
        [("42 characters", "v".repeat(42)), ("129", "v".repeat(129)), ("a blank", format!("{} ", "v".repeat(50)))]
    {
        let (code, _) = fresh().await;
        table.oauth(what, form(&code, Some(BACKEND_REDIRECT), Some(&verifier)), &[400], &either).await;
    }
    let long = "x".repeat(64 << 10);
    for code in ["x", "' OR 1=1--", "'; select pg_sleep(9)--", &long] {
        let verifier = "v".repeat(43);
        let what = code.get(..8).unwrap_or(code);
        table.oauth(what, form(code, Some(BACKEND_REDIRECT), Some(&verifier)), &[400], &grant).await;
    }
    let (code, verifier) = fresh().await;
    table.oauth("a long verifier", form(&code, Some(BACKEND_REDIRECT), Some(&long)), &[400], &either).await;
    table.oauth("a long redirect_uri", form(&code, Some(&long), Some(&verifier)), &[400], &grant).await;
    let (code, verifier) = fresh().await;
    let unauthenticated = backend.http.post(backend.endpoint("token")).form(&[
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", BACKEND_REDIRECT),
        ("code_verifier", &verifier),
        ("client_id", "backend"),
    ]);
    table.oauth("no secret", unauthenticated, &[401], &["invalid_client"]).await;
    // That did not use it up: who failed to authenticate has not touched it.
    let answer = table.row("then its own client", form(&code, Some(BACKEND_REDIRECT), Some(&verifier)), &[200]).await;
    table.check("then its own client", answer.json["access_token"].is_string(), || format!("{answer:?}"));
    table.finish(&world).await;
}

#[tokio::test]
async fn a_downgrade_to_no_challenge_does_not_pass() {
    let world = world::shared().await;
    let tenant = world.tenant("downgrade").await;
    let alice = tenant.user("alice").await;
    let attempt = tenant.backend.attempt_with(&[("code_challenge", None), ("code_challenge_method", None)]);
    let page = Browser::new().open(&attempt.url).await;
    let Some(callback) = page.leaves_to else {
        // A confidential client may go without; then a verifier must not appear out of nowhere.
        let callback = parameters(&Browser::new().authorize(&attempt.url, &alice).await);
        let refused = tenant.backend.redeem(&callback["code"], &attempt.verifier).await.expect(400);
        assert_eq!(refused.code(), "invalid_grant");
        return;
    };
    assert_eq!(parameters(&callback)["error"], "invalid_request");
}

#[tokio::test]
async fn answers_are_json_and_never_stored() {
    let world = world::shared().await;
    let tenant = world.tenant("no-store").await;
    let good = tenant.service.token(&[("grant_type", "client_credentials")]).await.expect(200);
    let bad = tenant.service.with_secret("wrong").token(&[("grant_type", "client_credentials")]).await.expect(401);
    let ugly = tenant.service.token(&[("grant_type", "x")]).await.expect(400);
    let preflight = tenant.service.http.request(reqwest::Method::OPTIONS, tenant.service.endpoint("token"));
    let preflight = preflight.header("origin", "https://evil.example").header("access-control-request-method", "POST");
    for answer in [good, bad, ugly] {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:#?}");
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json")), "{answer:#?}");
    }
    assert_eq!(web::send(preflight).await.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_code_lives_as_long_as_the_tenant_says() {
    let world = world::shared().await;
    let tenant = world.tenant("short").await;
    let alice = tenant.user("alice").await;
    tenant.patch(&serde_json::json!({ "settings": { "lifetimes": { "authorization_code_secs": 1 } } })).await;
    let (code, attempt) = tenant.app.code(&alice).await;
    // Its end is a moment of the wall clock; there is nothing else to await.
    let connection = tenant.database.connect().await;
    let over = "select bool_and(expires_at < clock_timestamp()) from authorization_codes";
    tests::wait::until("the code has expired", tests::wait::PATIENCE, async || {
        let row = connection.query_one(over, &[]).await.map_err(|error| error.to_string())?;
        if row.get(0) { Ok(()) } else { Err("it lives".to_owned()) }
    })
    .await;
    assert_eq!(tenant.app.redeem(&code, &attempt.verifier).await.expect(400).code(), "invalid_grant");
    let tokens: Tokens = {
        tenant.patch(&serde_json::json!({ "settings": { "lifetimes": { "authorization_code_secs": 60 } } })).await;
        tenant.app.sign_in(&alice).await
    };
    let _ = tenant.app.userinfo(&tokens.access).await.expect(200);
}
