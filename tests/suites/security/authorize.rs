//! The authorization endpoint: where it sends people, and with what.

use serde_json::json;
use tests::browser::Browser;
use tests::relying_party::{RelyingParty, parameters};
use tests::table::Table;
use tests::tenant::{APP_REDIRECT, NATIVE_REDIRECT};
use tests::web::{self, Answer};
use tests::world;
use url::Url;

/// What the relying party would be told, wherever in the answer it stands.
fn told(answer: &Answer) -> std::collections::HashMap<String, String> {
    answer.header("location").and_then(|text| Url::parse(text).ok()).map(|url| parameters(&url)).unwrap_or_default()
}

#[tokio::test]
async fn redirect_uris_are_compared_as_exact_strings() {
    let world = world::shared().await;
    let tenant = world.tenant("redirect").await;
    let mut table = Table::new();
    let on_another_host = "https://evil.example/callback";
    let on_localhost = NATIVE_REDIRECT.replace("127.0.0.1", "localhost");
    let local = json!({
        "client_id": "local", "name": "Local", "token_endpoint_auth_method": "none", "redirect_uris": [on_localhost],
        "scopes": ["openid", "profile", "email", "offline_access"],
    });
    tenant.admin.create_client(&tenant.slug, &local).await;
    let local = RelyingParty::new(&tenant.issuer, "local", None, &on_localhost);
    Browser::new().open_page(&local.attempt().url).await.expect_form();
    let by_local = [
        ("127.0.0.1 for localhost", NATIVE_REDIRECT.to_owned()),
        ("[::1] for localhost", NATIVE_REDIRECT.replace("127.0.0.1", "[::1]")),
    ];
    let by_app = [
        ("not registered", on_another_host.to_owned()),
        ("a query added", format!("{APP_REDIRECT}?x=1")),
        ("a slash added", format!("{APP_REDIRECT}/")),
        ("a fragment added", format!("{APP_REDIRECT}#x")),
        ("a path letter in capitals", APP_REDIRECT.replace("callback", "Callback")),
        ("the scheme in capitals", APP_REDIRECT.replace("https", "HTTPS")),
        ("user information", APP_REDIRECT.replace("//", "//evil.example@")),
        ("the host as user information", APP_REDIRECT.replace("/callback", "@evil.example/callback")),
        ("the host with a suffix", APP_REDIRECT.replace("app.example", "app.example.evil.example")),
        ("a subdomain", APP_REDIRECT.replace("//", "//evil.")),
        ("a letter percent-encoded", APP_REDIRECT.replace("callback", "c%61llback")),
        ("a header injected", format!("{APP_REDIRECT}\r\nX-Injected:1")),
        ("NUL", format!("{APP_REDIRECT}\0")),
        ("localhost for 127.0.0.1", on_localhost.clone()),
        ("dot segments", APP_REDIRECT.replace("/callback", "/x/../callback")),
        ("a backslash", APP_REDIRECT.replace("/callback", "\\callback")),
        ("a port", APP_REDIRECT.replace("/callback", ":443/callback")),
        ("http for https", APP_REDIRECT.replace("https", "http")),
        ("a script", "javascript:alert(1)".to_owned()),
        ("of another client", "https://backend.example/callback".to_owned()),
        ("empty", String::new()),
    ];
    let by_app = by_app.into_iter().map(|row| (&tenant.app, row));
    for (party, (what, uri)) in by_app.chain(by_local.into_iter().map(|row| (&local, row))) {
        let attempt = party.attempt_with(&[("redirect_uri", Some(&uri))]);
        let answer = table.row(what, party.http.get(attempt.url), &[400]).await;
        table.check(what, answer.header("location").is_none(), || format!("redirects: {answer:?}"));
        table.check(what, answer.header("x-injected").is_none(), || format!("injected: {answer:?}"));
        let html = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        table.check(what, html, || format!("people see a page: {answer:?}"));
    }
    let missing = tenant.app.attempt_with(&[("redirect_uri", None)]);
    let answer = table.row("missing", tenant.app.http.get(missing.url), &[400]).await;
    table.check("missing", answer.header("location").is_none(), || format!("{answer:?}"));
    for uris in [[APP_REDIRECT, on_another_host], [on_another_host, APP_REDIRECT]] {
        let mut url = tenant.app.attempt_with(&[("redirect_uri", None)]).url;
        url.query_pairs_mut().extend_pairs(uris.map(|uri| ("redirect_uri", uri)));
        let answer = table.row("two of them", tenant.app.http.get(url), &[400]).await;
        table.check("two of them", answer.header("location").is_none(), || format!("{answer:?}"));
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn requests_that_break_a_rule_are_told_to_the_relying_party() {
    type Changes<'a> = &'a [(&'a str, Option<&'a str>)];
    let world = world::shared().await;
    let tenant = world.tenant("rules").await;
    let mut table = Table::new();
    let wrong_type: &[&str] = &["unsupported_response_type", "unauthorized_client"];
    let invalid: &[&str] = &["invalid_request"];
    let rows: [(&str, Changes<'_>, &[&str]); 12] = [
        ("response_type token", &[("response_type", Some("token"))], wrong_type),
        ("response_type id_token token", &[("response_type", Some("id_token token"))], wrong_type),
        ("response_type code token", &[("response_type", Some("code token"))], wrong_type),
        ("no response_type", &[("response_type", None)], invalid),
        ("no challenge", &[("code_challenge", None), ("code_challenge_method", None)], invalid),
        ("method plain", &[("code_challenge_method", Some("plain"))], invalid),
        ("no method, which means plain", &[("code_challenge_method", None)], invalid),
        ("prompt none login", &[("prompt", Some("none login"))], invalid),
        ("prompt none without a session", &[("prompt", Some("none"))], &["login_required"]),
        ("a scope that is not the client's", &[("scope", Some("openid hj:users.write"))], &["invalid_scope"]),
        (
            "a request object",
            &[("request", Some("eyJhbGciOiJub25lIn0.e30."))],
            &["request_not_supported", "invalid_request_object"],
        ),
        (
            "a request URI",
            &[("request_uri", Some("http://127.0.0.1:1/x"))],
            &["request_uri_not_supported", "invalid_request_uri", "invalid_request"],
        ),
    ];
    for (what, changes, errors) in rows {
        let attempt = tenant.app.attempt_with(changes);
        let answer = table.row(what, tenant.app.http.get(attempt.url), &[302, 303]).await;
        let told = told(&answer);
        let error = told.get("error").map(String::as_str).unwrap_or_default();
        table.check(what, errors.contains(&error), || format!("want one of {errors:?}: {answer:?}"));
        table.check(what, told.get("state") == Some(&attempt.state), || format!("state is lost: {told:?}"));
        table.check(what, told.get("iss") == Some(&tenant.issuer), || format!("iss is missing: {told:?}"));
        let location = answer.header("location").unwrap_or_default();
        table.check(what, !location.contains("access_token") && !location.contains("code="), || location.to_owned());
    }
    for name in ["scope", "state", "nonce", "code_challenge", "response_type"] {
        let mut attempt = tenant.app.attempt();
        attempt.url.query_pairs_mut().append_pair(name, "twice");
        let answer = table.row(&format!("{name} twice"), tenant.app.http.get(attempt.url), &[302, 303, 400]).await;
        let on_a_page = answer.status == 400 && answer.header("location").is_none();
        let error = told(&answer).remove("error");
        let refused = on_a_page || error.as_deref() == Some("invalid_request");
        table.check(name, refused, || format!("{answer:?}"));
    }
    table.finish(&world).await;
}

#[tokio::test]
async fn a_state_with_a_line_break_injects_no_header() {
    let world = world::shared().await;
    let tenant = world.tenant("crlf").await;
    let state = "a\r\nSet-Cookie:injected=1";
    let attempt = tenant.app.attempt_with(&[("state", Some(state)), ("prompt", Some("none"))]);
    let answer = web::send(tenant.app.http.get(attempt.url)).await.expect_one_of(&[302, 303, 400]);
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert!(!format!("{cookies:?}").contains("injected"), "{cookies:?}");
    let echoed = told(&answer).remove("state");
    assert!(echoed.is_none_or(|echoed| echoed == state));
}

#[tokio::test]
async fn hints_that_are_not_understood_are_ignored() {
    let world = world::shared().await;
    let tenant = world.tenant("hints").await;
    let long = "x".repeat(4096);
    let hints = [("ui_locales", "../../../../etc/passwd"), ("display", "x"), ("acr_values", long.as_str())];
    for (name, value) in hints {
        let page = Browser::new().open_page(&tenant.app.attempt_with(&[(name, Some(value))]).url).await;
        assert!(page.expect_form().asks_for_password(), "{page:#?}");
        assert!(!page.body.contains("root:"), "{page:#?}");
    }
}

#[tokio::test]
async fn an_authorization_request_may_be_posted() {
    let world = world::shared().await;
    let tenant = world.tenant("posted").await;
    let attempt = tenant.app.attempt();
    let form: Vec<(String, String)> = attempt.url.query_pairs().into_owned().collect();
    let (http, endpoint) = (&tenant.app.http, tenant.app.endpoint("authorize"));
    let answers = [web::send(http.get(attempt.url)).await, web::send(http.post(endpoint).form(&form)).await];
    let [by_get, by_post] = answers.map(|answer| {
        let location = answer.expect(303).header("location").expect("a page of ours").to_owned();
        location.split_once('?').map(|(page, _)| page.to_owned()).unwrap_or(location)
    });
    assert!(by_post.ends_with("/login") && by_get == by_post, "{by_get} {by_post}");
}

#[tokio::test]
async fn a_claims_parameter_is_as_large_and_as_deep_as_is_read_and_no_larger() {
    const MOST: usize = 8 << 10;
    let world = world::shared().await;
    let tenant = world.tenant("claims").await;
    // Posted: no URL is that long.
    let ask = async |what: &str, claims: &str| {
        let url = tenant.app.attempt_with(&[("claims", Some(claims))]).url;
        let body = url.query().expect("parameters");
        let request = || {
            let request = tenant.app.http.post(tenant.app.endpoint("authorize"));
            request.header("content-type", "application/x-www-form-urlencoded").body(body.to_owned())
        };
        web::send_promptly(what, request).await
    };
    let of_length = |length: usize| {
        let begin = r#"{"userinfo":{"name":{"value":""#;
        format!("{begin}{}\"}}}}}}", "x".repeat(length - begin.len() - 4))
    };
    assert_eq!(of_length(MOST).len(), MOST);
    let answer = ask("as large as a parameter may be", &of_length(MOST)).await.expect(303);
    assert!(answer.header("location").is_some_and(|to| to.contains("/login?interaction=")), "{answer:?}");

    let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    let (large, nested, malformed) = ("claims is over 8 KiB", "claims parameter is nested", "claims parameter must be");
    for (what, claims, why) in [
        ("a byte more", of_length(MOST + 1), large),
        ("64 KiB", of_length(64 << 10), large),
        ("4,000 deep", deep(4_000), large),
        ("1,000 deep", deep(1_000), nested),
        ("8,000 lists deep", "[".repeat(8_000), nested),
        ("no JSON", "x".repeat(MOST), malformed),
    ] {
        let told = told(&ask(what, &claims).await.expect(303));
        assert_eq!(told.get("error").map(String::as_str), Some("invalid_request"), "{what}: {told:?}");
        assert!(told.get("error_description").is_some_and(|told| told.contains(why)), "{what}: {told:?}");
    }
    // With all else the body is larger than is read: nobody knows whom to send back.
    for (what, claims) in [("128 KiB", of_length(128 << 10)), ("20,000 deep", deep(20_000))] {
        let answer = ask(what, &claims).await.expect(413);
        assert_eq!(answer.header("location"), None, "{what}: {answer:?}");
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{what}: {answer:?}");
    }
}
