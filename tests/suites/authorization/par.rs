//! Authorization requests that clients push (RFC 9126): parameters never pass the browser.

use serde_json::json;
use tests::browser::Browser;
use tests::relying_party::{Attempt, RelyingParty, parameters};
use tests::table::Table;
use tests::tenant::Tenant;
use tests::web::{self, Answer};
use tests::world;
use url::Url;

const URN: &str = "urn:ietf:params:oauth:request_uri:";

async fn push(party: &RelyingParty, attempt: &Attempt) -> Answer {
    let form: Vec<(String, String)> = attempt.url.query_pairs().into_owned().collect();
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    web::send(party.back_channel("par", &form)).await
}

async fn pushed(party: &RelyingParty, attempt: &Attempt) -> String {
    let answer = push(party, attempt).await.expect(201);
    assert_eq!((answer.header("cache-control"), &answer.json["expires_in"]), (Some("no-store"), &json!(90)));
    let uri = answer.text_of("request_uri");
    assert!(uri.strip_prefix(URN).is_some_and(|name| name.len() >= 22), "{uri}");
    uri
}

fn referring(party: &RelyingParty, uri: &str) -> Url {
    let parameters = [("client_id", party.client_id.as_str()), ("request_uri", uri)];
    Url::parse_with_params(&party.endpoint("authorize"), parameters).expect("a URL")
}

#[tokio::test]
async fn what_was_pushed_is_what_counts_and_it_counts_once() {
    let world = world::shared().await;
    let tenant = world.tenant("par").await;
    let alice = tenant.user("alice").await;
    let attempt = tenant.backend.attempt();
    let uri = pushed(&tenant.backend, &attempt).await;
    // What stands beside it is not looked at (§4).
    let mut url = referring(&tenant.backend, &uri);
    url.query_pairs_mut().append_pair("scope", "nothing").append_pair("state", "another");
    let callback = Browser::new().authorize(&url, &alice).await;
    let answer = parameters(&callback);
    assert_eq!((&answer["state"], &answer["iss"]), (&attempt.state, &tenant.issuer));
    let _ = tenant.backend.redeem(&answer["code"], &attempt.verifier).await.expect(200);
    let again = Browser::new().open(&url).await;
    assert_eq!((again.status, again.leaves_to), (400, None));

    // It ends by itself, too.
    let uri = pushed(&tenant.backend, &tenant.backend.attempt()).await;
    let end = "update pushed_requests set expires_at = now() - interval '1 second'";
    tenant.database.connect().await.batch_execute(end).await.expect("the superuser may");
    let late = Browser::new().open(&referring(&tenant.backend, &uri)).await;
    assert_eq!((late.status, late.leaves_to), (400, None));
    assert!(!tenant.database.dump().await.contains(uri.trim_start_matches(URN)), "only its digest is kept");
}

/// RFC 9126 §4: people reload pages. It is one browser's until the client is answered, and it is answered once.
#[tokio::test]
async fn a_reload_goes_on_and_the_client_is_answered_once() {
    let world = world::shared().await;
    let tenant = world.tenant("par-reload").await;
    let alice = tenant.user("alice").await;
    let attempt = tenant.backend.attempt();
    let url = referring(&tenant.backend, &pushed(&tenant.backend, &attempt).await);
    let browser = Browser::new();
    let first = browser.open_page(&url).await;
    let again = browser.open_page(&url).await;
    assert!(first.url != again.url && again.expect_form().asks_for_password(), "{again:#?}");
    let elsewhere = Browser::new().open(&url).await;
    assert_eq!((elsewhere.status, elsewhere.leaves_to), (400, None));

    // Both pages are this person's; whichever is finished first answers.
    let callback = browser.authorize(&url, &alice).await;
    let _ = tenant.backend.redeem(&parameters(&callback)["code"], &attempt.verifier).await.expect(200);
    for page in [&first, &again] {
        let late = browser.sign_in(&page.expect_form(), &alice.email, &alice.password).await;
        assert_eq!((late.status, late.leaves_to), (400, None), "{}", late.body);
    }
    let late = browser.open(&url).await;
    assert_eq!((late.status, late.leaves_to), (400, None));

    // Where nobody has to be asked, the client is answered at once, and of many at once one is.
    for (browser, changes) in [(browser, &[][..]), (Browser::new(), &[("prompt", Some("none"))])] {
        let attempt = tenant.backend.attempt_with(changes);
        let url = referring(&tenant.backend, &pushed(&tenant.backend, &attempt).await);
        let opened = futures::future::join_all((0..8).map(|_| browser.open(&url))).await;
        let answers: Vec<_> = opened.iter().filter_map(|page| page.leaves_to.as_ref()).map(parameters).collect();
        let [answer] = &answers[..] else { panic!("{opened:#?}") };
        assert_eq!(answer.contains_key("code"), changes.is_empty(), "{answer:?}");
        assert!(opened.iter().filter(|page| page.leaves_to.is_none()).all(|page| page.status == 400), "{opened:#?}");
    }
}

#[tokio::test]
async fn a_client_that_must_push_cannot_do_without() {
    let world = world::shared().await;
    let tenant = world.tenant("par-only").await;
    let alice = tenant.user("alice").await;
    let pushes = async |attempt: &Attempt| {
        let uri = pushed(&tenant.backend, attempt).await;
        parameters(&Browser::new().authorize(&referring(&tenant.backend, &uri), &alice).await).contains_key("code")
    };
    let plain = async || {
        let callback = Browser::new().open(&tenant.backend.attempt().url).await.expect_callback();
        parameters(&callback).remove("error")
    };
    tenant.patch_client("backend", &json!({ "require_pushed_authorization_requests": true })).await;
    assert_eq!(plain().await.as_deref(), Some("invalid_request"));
    assert!(pushes(&tenant.backend.attempt()).await);

    tenant.patch_client("backend", &json!({ "require_pushed_authorization_requests": false })).await;
    tenant.patch(&json!({ "settings": { "oauth": { "require_pushed_authorization_requests": true } } })).await;
    let metadata = tenant.backend.discovery().await.json;
    assert_eq!(metadata["require_pushed_authorization_requests"], true);
    assert_eq!(metadata["pushed_authorization_request_endpoint"], format!("{}/oauth2/par", tenant.issuer));
    assert_eq!(plain().await.as_deref(), Some("invalid_request"));
    assert!(pushes(&tenant.backend.attempt()).await);
}

/// What is wrong, the parameters that make it so, and the error.
type Refused<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)], &'a str);

#[tokio::test]
async fn refusals() {
    let world = world::shared().await;
    let (tenant, other): (Tenant, Tenant) = (world.tenant("par-refused").await, world.tenant("par-other").await);
    let backend = &tenant.backend;
    let mut table = Table::new();
    let by = |party: &RelyingParty, changes: &[(&str, Option<&str>)]| {
        let attempt = backend.attempt_with(changes);
        let form: Vec<(String, String)> = attempt.url.query_pairs().into_owned().collect();
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        party.back_channel("par", &form)
    };
    let nobody = web::client().post(backend.endpoint("par")).form(&[("client_id", &backend.client_id)]);
    table.oauth("no authentication", nobody, &[401], &["invalid_client"]).await;
    table.oauth("a wrong secret", by(&backend.with_secret("wrong"), &[]), &[401], &["invalid_client"]).await;
    let rows: [Refused<'_>; 5] = [
        ("a request_uri within", &[("request_uri", Some("urn:x"))], "invalid_request"),
        ("a foreign redirect_uri", &[("redirect_uri", Some("https://evil.example/cb"))], "invalid_request"),
        ("another client's id", &[("client_id", Some("app"))], "invalid_request"),
        ("a token in the front channel", &[("response_type", Some("token"))], "unsupported_response_type"),
        ("a scope it may not ask for", &[("scope", Some("openid hj:users.write"))], "invalid_scope"),
    ];
    for (what, changes, code) in rows {
        table.oauth(what, by(backend, changes), &[400], &[code]).await;
    }
    let uri = pushed(backend, &backend.attempt()).await;
    for (what, url) in [
        ("by another client", referring(&tenant.app, &uri)),
        ("at another tenant", referring(&other.backend, &uri)),
        ("a made-up name", referring(backend, &format!("{URN}{}", "x".repeat(43)))),
        ("elsewhere", referring(backend, "http://127.0.0.1:1/x")),
    ] {
        let page = Browser::new().open(&url).await;
        let refused = page.status == 400 && page.leaves_to.is_none();
        table.check(what, refused, || format!("{page:?}"));
    }
    // Nobody used it up by trying.
    let alice = tenant.user("alice").await;
    let callback = Browser::new().authorize(&referring(backend, &uri), &alice).await;
    table.check("its own client", parameters(&callback).contains_key("code"), || callback.to_string());
    table.finish(&world).await;
}
