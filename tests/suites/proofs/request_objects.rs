//! Authorization requests that clients sign (RFC 9101), by value, pushed, and at an address of the client's.

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{Attempt, RelyingParty, parameters};
use tests::table::Table;
use tests::tenant::Tenant;
use tests::web;
use url::Url;

use super::assertions::document::Document;
use super::keys::{Key, now, random};
use super::shared;

/// What the client asks for, as claims, with `changes` (null: left out).
pub(super) fn claims(party: &RelyingParty, issuer: &str, attempt: &Attempt, changes: &Value) -> Value {
    let mut claims = json!({"iss": party.client_id, "aud": issuer, "exp": now() + 60, "jti": random()});
    for (name, value) in attempt.url.query_pairs() {
        claims[&*name] = json!(value);
    }
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    claims
}

pub(super) fn sign(key: &Key, claims: &Value) -> String {
    key.sign(&json!({"alg": "ES256", "kid": key.jwk["kid"], "typ": "oauth-authz-req+jwt"}), claims)
}

/// A request that says nothing but who asks and, if the client is to hear of refusals, where it is.
pub(super) fn naming(party: &RelyingParty, more: &[(&str, &str)]) -> Url {
    let parameters = [("client_id", party.client_id.as_str())];
    Url::parse_with_params(&party.endpoint("authorize"), parameters.iter().chain(more)).expect("a URL")
}

async fn signing(tenant: &Tenant, key: &Key, more: Value) {
    let mut patch = json!({"jwks": {"keys": [key.jwk]}});
    for (name, value) in more.as_object().expect("an object") {
        patch[name] = value.clone();
    }
    tenant.patch_client("backend", &patch).await;
}

#[tokio::test]
async fn what_the_client_signed_is_what_counts_and_it_counts_once() {
    let setting = shared().await;
    let tenant = setting.tenant("signed").await;
    let (alice, key, backend) = (tenant.user("alice").await, Key::new("r"), &tenant.backend);
    signing(&tenant, &key, json!({"require_signed_request_object": true, "request_object_signing_alg": "ES256"})).await;
    let metadata = backend.discovery().await.json;
    assert_eq!(
        (&metadata["request_parameter_supported"], &metadata["request_uri_parameter_supported"]),
        (&json!(true), &json!(true))
    );
    let algorithms = metadata["request_object_signing_alg_values_supported"].to_string();
    assert!(
        algorithms.contains("ES256") && algorithms.contains("PS256") && !algorithms.contains("none"),
        "{algorithms}"
    );

    let attempt = backend.attempt();
    let object = sign(&key, &claims(backend, &tenant.issuer, &attempt, &json!({"max_age": 600})));
    // Whoever changes what stands beside it changes nothing.
    let beside = [
        ("request", object.as_str()),
        ("state", "forged"),
        ("scope", "nothing"),
        ("redirect_uri", "https://evil.example"),
    ];
    let url = naming(backend, &beside);
    let answer = parameters(&Browser::new().authorize(&url, &alice).await);
    assert_eq!((&answer["state"], &answer["iss"]), (&attempt.state, &tenant.issuer));
    let _ = backend.redeem(&answer["code"], &attempt.verifier).await.expect(200);
    // Its jti is used up, on the other pod as well.
    for base in [tenant.issuer.clone(), format!("{}/t/{}", setting.pods[1].url(), tenant.slug)] {
        let told = [("request", object.as_str()), ("redirect_uri", backend.redirect_uri.as_str()), ("state", "again")];
        let callback = Browser::new().open(&naming(&backend.at(&base), &told)).await.expect_callback();
        let told = parameters(&callback);
        assert_eq!((told["error"].as_str(), told["state"].as_str()), ("invalid_request_object", "again"), "{base}");
    }

    // Pushed.
    let attempt = backend.attempt();
    let object = sign(&key, &claims(backend, &tenant.issuer, &attempt, &json!({})));
    let push = |object: &str| web::send(backend.back_channel("par", &[("request", object)]));
    let name = push(&object).await.expect(201).text_of("request_uri");
    let again = push(&object).await.expect(400);
    assert_eq!(again.text_of("error"), "invalid_request_object");
    let callback = Browser::new().authorize(&naming(backend, &[("request_uri", &name)]), &alice).await;
    let answer = parameters(&callback);
    assert_eq!(answer["state"], attempt.state);
    let _ = backend.redeem(&answer["code"], &attempt.verifier).await.expect(200);

    // Without a signature nothing goes.
    let told = parameters(&Browser::new().open(&backend.attempt().url).await.expect_callback());
    assert_eq!(told["error"], "invalid_request");
    let unsigned = backend.attempt();
    let form: Vec<(String, String)> = unsigned.url.query_pairs().into_owned().collect();
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(web::send(backend.back_channel("par", &form)).await.expect(400).text_of("error"), "invalid_request");
}

#[tokio::test]
async fn objects_that_are_refused() {
    let setting = shared().await;
    let (tenant, other) = (setting.tenant("unsigned").await, setting.tenant("elsewhere").await);
    let (key, stranger, backend) = (Key::new("r"), Key::new("r"), &tenant.backend);
    signing(&tenant, &key, json!({})).await;
    let attempt = backend.attempt();
    let with = |changes: Value| claims(backend, &tenant.issuer, &attempt, &changes);
    let good = with(json!({}));
    let header = |header: Value| key.sign(&header, &good);
    let none = header(json!({"alg": "none"}));
    let (head, _) = none.rsplit_once('.').expect("three parts");
    let mut table = Table::new();
    for (what, object) in [
        ("no signature", format!("{head}.")),
        ("alg none, signed all the same", none.clone()),
        ("HMAC", header(json!({"alg": "HS256"}))),
        ("another alg than the key's", header(json!({"alg": "RS256", "kid": "r"}))),
        ("a token of another kind", header(json!({"alg": "ES256", "typ": "dpop+jwt"}))),
        ("an extension", header(json!({"alg": "ES256", "crit": ["x"], "x": 1}))),
        ("a stranger's key", sign(&stranger, &good)),
        ("for somebody else", sign(&key, &with(json!({"aud": "https://other.example"})))),
        ("K: for another tenant", sign(&key, &claims(backend, &other.issuer, &attempt, &json!({})))),
        ("by another client", sign(&key, &with(json!({"iss": "app"})))),
        ("of another client", sign(&key, &with(json!({"client_id": "app"})))),
        ("expired", sign(&key, &with(json!({"exp": now() - 1})))),
        ("not yet", sign(&key, &with(json!({"nbf": now() + 600})))),
        ("an assertion", key.assertion("backend", &tenant.issuer, &json!({}))),
        ("one within the other", sign(&key, &with(json!({"request": sign(&key, &good)})))),
        ("a reference within", sign(&key, &with(json!({"request_uri": "https://app.example/r"})))),
        ("garbage", "x.y.z".to_owned()),
    ] {
        let told = [("request", object.as_str()), ("redirect_uri", backend.redirect_uri.as_str()), ("state", "s")];
        let page = Browser::new().open(&naming(backend, &told)).await;
        let told = page.leaves_to.as_ref().map(parameters).unwrap_or_default();
        let refused = told.get("error").map(String::as_str) == Some("invalid_request_object");
        table.check(what, refused && told.get("state").is_some_and(|state| state == "s"), || format!("{page:?}"));
        // To no address that is not registered, and to none that nobody named.
        for more in
            [&[("request", object.as_str())][..], &[("request", &object), ("redirect_uri", "https://evil.example/")]]
        {
            let page = Browser::new().open(&naming(backend, more)).await;
            table.check(what, page.status == 400 && page.leaves_to.is_none(), || format!("{page:?}"));
        }
        let pushed = backend.back_channel("par", &[("request", object.as_str())]);
        table.oauth(&format!("{what}, pushed"), pushed, &[400], &["invalid_request_object"]).await;
    }
    // What is good is judged like any other request: by what stands in it.
    for (what, changes, error) in [
        ("another redirect_uri", json!({"redirect_uri": "https://evil.example/cb"}), None),
        ("a scope that is not the client's", json!({"scope": "openid hj:users.write"}), Some("invalid_scope")),
    ] {
        let url = naming(backend, &[("request", &sign(&key, &with(changes)))]);
        let page = Browser::new().open(&url).await;
        let told = page.leaves_to.as_ref().map(parameters).unwrap_or_default();
        table.check(what, told.get("error").map(String::as_str) == error, || format!("{page:?}"));
        table.check(
            what,
            page.leaves_to.as_ref().is_none_or(|to| to.as_str().starts_with(&backend.redirect_uri)),
            || format!("{page:?}"),
        );
    }
    table.finish(&setting.world).await;
}

#[tokio::test]
async fn by_reference_to_where_the_client_said() {
    let setting = shared().await;
    let tenant = setting.tenant("referred").await;
    let (alice, key, backend) = (tenant.user("alice").await, Key::new("r"), &tenant.backend);
    let (keys, object, elsewhere) = (
        Document::serve(&json!({"keys": [key.jwk]}).to_string()).await,
        Document::serve("nothing yet").await,
        Document::serve("{}").await,
    );
    let (internal, gone) = ("https://10.0.0.1/r", "http://127.0.0.1:1/r");
    let registered = json!([object.url, internal, gone]);
    tenant.patch_client("backend", &json!({"jwks_uri": keys.url, "request_uris": registered})).await;
    for round in 1..=2 {
        let attempt = backend.attempt();
        object.set(&sign(&key, &claims(backend, &tenant.issuer, &attempt, &json!({}))));
        let uri = format!("{}#v{round}", object.url);
        let answer = parameters(&Browser::new().authorize(&naming(backend, &[("request_uri", &uri)]), &alice).await);
        assert_eq!(answer["state"], attempt.state);
        let _ = backend.redeem(&answer["code"], &attempt.verifier).await.expect(200);
        assert_eq!((object.requests(), keys.requests()), (round, 1), "objects are fetched each time, keys are kept");
    }
    let mut table = Table::new();
    let told_by = |uri: &str| {
        let told = [("request_uri", uri), ("redirect_uri", backend.redirect_uri.as_str()), ("state", "s")];
        naming(backend, &told)
    };
    for (what, uri, error) in [
        ("an address that is not registered", elsewhere.url.as_str(), "invalid_request_uri"),
        ("the registered one and more", &format!("{}?x", object.url), "invalid_request_uri"),
        ("inside", internal, "invalid_request_uri"),
        ("where nobody listens", gone, "invalid_request_uri"),
        ("an object that was used", &object.url, "invalid_request_object"),
    ] {
        let page = Browser::new().open(&told_by(uri)).await;
        let told = page.leaves_to.as_ref().map(parameters).unwrap_or_default();
        table.check(what, told.get("error").map(String::as_str) == Some(error), || format!("{page:?}"));
    }
    table.check("nobody was asked", elsewhere.requests() == 0, || elsewhere.requests().to_string());
    let pushed = backend.back_channel("par", &[("request_uri", object.url.as_str())]);
    table.oauth("a reference, pushed", pushed, &[400], &["invalid_request"]).await;
    table.finish(&setting.world).await;
}
