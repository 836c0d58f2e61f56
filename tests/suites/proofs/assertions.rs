//! `private_key_jwt`: clients that sign who they are.

use std::sync::Arc;

use document::Document;
use serde_json::{Value, json};
use tests::tenant::Tenant;
use tests::web::{self, Answer};

use super::keys::{Key, RsaKey, now};
use super::shared;

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client for `client_credentials` that proves itself by its keys; known to every pod when this returns.
pub(super) async fn register(tenant: &Tenant, client_id: &str, keys: Value) {
    let mut client = json!({
        "client_id": client_id, "name": "Signs", "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"], "scopes": ["hj:users.read"],
    });
    for (name, value) in keys.as_object().expect("members") {
        client[name] = value.clone();
    }
    let made = tenant.admin.post(&format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug), &client).await;
    let made = made.expect(201);
    assert_eq!(made.json.get("client_secret"), None, "there is no secret to show: {}", made.text);
}

pub(super) fn request(base: &str, assertion: &str) -> reqwest::RequestBuilder {
    let form = [("grant_type", "client_credentials"), ("client_assertion_type", TYPE), ("client_assertion", assertion)];
    web::client().post(format!("{base}/oauth2/token")).form(&form)
}

async fn ask(tenant: &Tenant, assertion: &str) -> Answer {
    web::send(request(&tenant.issuer, assertion)).await
}

#[tokio::test]
async fn a_good_assertion_counts_once_on_all_pods() {
    let setting = shared().await;
    let tenant = setting.tenant("assert").await;
    let key = Key::new("a");
    register(&tenant, "signs", json!({"jwks": {"keys": [key.jwk]}, "token_endpoint_auth_signing_alg": "ES256"})).await;
    let assertion = key.assertion("signs", &tenant.issuer, &json!({}));
    let token = ask(&tenant, &assertion).await.expect(200);
    assert_eq!(token.text_of("token_type"), "Bearer");
    let elsewhere = format!("{}/t/{}", setting.pods[1].url(), tenant.slug);
    for base in [&tenant.issuer, &elsewhere] {
        let again = web::send(request(base, &assertion)).await.expect(401);
        assert_eq!(again.text_of("error"), "invalid_client", "{base}");
    }
    // The endpoint will do as its audience, too, and so will it at other endpoints.
    let by_endpoint = key.assertion("signs", &format!("{}/oauth2/token", tenant.issuer), &json!({}));
    assert_eq!(ask(&tenant, &by_endpoint).await.status, 200);
    let form = [
        ("token", token.text_of("access_token")),
        ("client_assertion_type", TYPE.to_owned()),
        ("client_assertion", key.assertion("signs", &tenant.issuer, &json!({}))),
    ];
    let introspected = web::send(web::client().post(format!("{}/oauth2/introspect", tenant.issuer)).form(&form)).await;
    assert_eq!(introspected.expect(200).json["active"], true);
    let many = key.assertion("signs", &tenant.issuer, &json!({}));
    let all = futures::future::join_all(
        (0..20).map(|at| web::send(request(if at % 2 == 0 { &tenant.issuer } else { &elsewhere }, &many))),
    )
    .await;
    assert_eq!(all.iter().filter(|answer| answer.status == 200).count(), 1, "of twenty at once one counts");
}

#[tokio::test]
async fn assertions_that_prove_nothing() {
    let setting = shared().await;
    let (tenant, other) = (setting.tenant("assert").await, setting.tenant("other").await);
    let (key, stranger) = (Key::new("a"), Key::new("a"));
    register(&tenant, "signs", json!({"jwks": {"keys": [key.jwk]}, "token_endpoint_auth_signing_alg": "ES256"})).await;
    let with = |changes: Value| key.assertion("signs", &tenant.issuer, &changes);
    let claims = json!({"iss": "signs", "sub": "signs", "aud": tenant.issuer, "jti": "j", "exp": now() + 60});
    let header = |more: Value| {
        let mut header = json!({"alg": "ES256", "kid": "a"});
        for (name, value) in more.as_object().expect("members") {
            header[name] = value.clone();
        }
        key.sign(&header, &claims)
    };
    let listener = Document::serve("{}").await;
    let zeros = {
        let good = with(json!({}));
        format!("{}.{}", good.rsplit_once('.').expect("three parts").0, "A".repeat(86))
    };
    let pointing = |header: Value| stranger.sign(&header, &claims);
    for (row, assertion) in [
        ("no signature", header(json!({"alg": "none"}))),
        ("another audience", with(json!({"aud": "https://other.example"}))),
        ("expired", with(json!({"exp": now() - 300}))),
        ("no end", with(json!({"exp": null}))),
        ("no subject", with(json!({"sub": null}))),
        ("not yet valid", with(json!({"nbf": now() + 600}))),
        ("something critical", header(json!({"crit": ["x"], "x": 1}))),
        ("zeros", zeros),
        (
            "pointing at a key",
            pointing(
                json!({"alg": "ES256", "kid": "a", "jwk": stranger.jwk, "jku": listener.url, "x5u": listener.url}),
            ),
        ),
        ("a key of its own", pointing(json!({"alg": "ES256", "jwk": stranger.jwk}))),
        ("pointing at keys", pointing(json!({"alg": "ES256", "jku": listener.url}))),
        ("at keys, by an unknown name", pointing(json!({"alg": "ES256", "kid": "z", "jku": listener.url}))),
        ("at a certificate", pointing(json!({"alg": "ES256", "kid": "z", "x5u": listener.url}))),
        ("a path for a key", header(json!({"kid": "../../../../dev/null"}))),
        ("SQL for a key", header(json!({"kid": "' OR '1'='1"}))),
        ("said to be RSA's", header(json!({"alg": "RS256"}))),
        ("said to be an HMAC", header(json!({"alg": "HS256"}))),
        ("for another tenant", key.assertion("signs", &other.issuer, &json!({}))),
        ("no jti", with(json!({"jti": null}))),
        ("another iss", with(json!({"iss": "service"}))),
        ("a client of secrets", key.assertion("service", &tenant.issuer, &json!({}))),
        ("nobody", key.assertion("nobody", &tenant.issuer, &json!({}))),
        ("garbage", "a.b.c".to_owned()),
    ] {
        let answer = ask(&tenant, &assertion).await;
        assert_eq!(
            (answer.status, answer.text_of("error").as_str()),
            (401, "invalid_client"),
            "{row}: {}",
            answer.text
        );
    }
    assert_eq!(listener.requests(), 0, "nobody looks where a token points");
    // What is registered with one tenant is nobody with another.
    let elsewhere = web::send(request(&other.issuer, &key.assertion("signs", &other.issuer, &json!({})))).await;
    assert_eq!(elsewhere.expect(401).text_of("error"), "invalid_client");
    // The name alone, and beside a secret.
    let named = [("grant_type", "client_credentials"), ("client_id", "signs")];
    let endpoint = format!("{}/oauth2/token", tenant.issuer);
    assert_eq!(web::send(web::client().post(&endpoint).form(&named)).await.status, 401);
    let twice = request(&tenant.issuer, &with(json!({}))).basic_auth("signs", Some("x"));
    assert_eq!(web::send(twice).await.expect(400).text_of("error"), "invalid_request");
}

/// Both keys are the client's, and every signature is true: what counts is the algorithm that it registered (RFC 8725 §3.1).
#[tokio::test]
async fn an_algorithm_that_is_not_the_registered_one_proves_nothing() {
    let setting = shared().await;
    let tenant = setting.tenant("algorithm").await;
    let (ec, rsa) = (Key::new("ec"), RsaKey::new("rsa"));
    let keys = json!({"keys": [ec.jwk, rsa.jwk]});
    for (client_id, registered, taken) in [
        ("any", None, &["ES256", "PS256", "RS256"][..]),
        ("by-es256", Some("ES256"), &["ES256"]),
        ("by-ps256", Some("PS256"), &["PS256"]),
        ("by-rs256", Some("RS256"), &["RS256"]),
    ] {
        let mut metadata = json!({"jwks": keys});
        if let Some(registered) = registered {
            metadata["token_endpoint_auth_signing_alg"] = json!(registered);
        }
        register(&tenant, client_id, metadata).await;
        for (alg, assertion) in [
            ("ES256", ec.assertion(client_id, &tenant.issuer, &json!({}))),
            ("PS256", rsa.assertion("PS256", client_id, &tenant.issuer)),
            ("RS256", rsa.assertion("RS256", client_id, &tenant.issuer)),
        ] {
            let answer = ask(&tenant, &assertion).await;
            let error = answer.json["error"].as_str();
            let expected = if taken.contains(&alg) { (200, None) } else { (401, Some("invalid_client")) };
            assert_eq!((answer.status, error), expected, "{client_id}, {alg}");
        }
    }
}

/// The same client, name of a key and `jti` in two tenants are two clients, two keys and two assertions.
#[tokio::test]
async fn the_same_names_in_another_tenant_are_others() {
    let setting = shared().await;
    let (a, b) = (setting.tenant("same").await, setting.tenant("same").await);
    let (of_a, of_b) = (Key::new("k"), Key::new("k"));
    for (tenant, key) in [(&a, &of_a), (&b, &of_b)] {
        register(tenant, "signs", json!({"jwks": {"keys": [key.jwk]}})).await;
    }
    let by = |key: &Key, tenant: &Tenant, jti: &str| key.assertion("signs", &tenant.issuer, &json!({"jti": jti}));
    for (tenant, foreign) in [(&a, &of_b), (&b, &of_a)] {
        assert_eq!(ask(tenant, &by(foreign, tenant, "foreign")).await.expect(401).text_of("error"), "invalid_client");
    }
    let good = [(&a, by(&of_a, &a, "one")), (&b, by(&of_b, &b, "one"))];
    for status in [200, 401] {
        for (tenant, assertion) in &good {
            assert_eq!(ask(tenant, assertion).await.status, status, "{}: once in each", tenant.slug);
        }
    }
}

#[tokio::test]
async fn keys_that_the_client_publishes_are_fetched_again_when_they_changed() {
    let setting = shared().await;
    let tenant = setting.tenant("published").await;
    let (first, second) = (Key::new("1"), Key::new("2"));
    let document = Document::serve(&json!({"keys": [first.jwk]}).to_string()).await;
    register(&tenant, "publishes", json!({"jwks_uri": document.url})).await;
    let assert = |key: &Key| key.assertion("publishes", &tenant.issuer, &json!({}));
    assert_eq!(ask(&tenant, &assert(&first)).await.status, 200);
    assert_eq!(ask(&tenant, &assert(&first)).await.status, 200);
    assert_eq!(document.requests(), 1, "they are kept");
    assert_eq!(ask(&tenant, &assert(&second)).await.status, 401, "not published yet");
    document.set(&json!({"keys": [first.jwk, second.jwk]}).to_string());
    tests::wait::until("the new key is found", tests::wait::PATIENCE, async || {
        let answer = ask(&tenant, &assert(&second)).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    assert!(document.requests() <= 4, "an unknown key makes one fetch every five seconds");
}

#[tokio::test]
async fn keys_that_cannot_be_had_prove_nothing() {
    let setting = shared().await;
    let tenant = setting.tenant("unreachable").await;
    let key = Key::new("1");
    // 10.0.0.0/8 is not among the networks that these pods may reach.
    for (client_id, uri) in [("internal", "https://10.0.0.1/jwks"), ("metadata", "https://169.254.169.254/latest")] {
        register(&tenant, client_id, json!({"jwks_uri": uri})).await;
        let answer = ask(&tenant, &key.assertion(client_id, &tenant.issuer, &json!({}))).await;
        assert_eq!(answer.expect(401).text_of("error"), "invalid_client", "{uri}");
    }
    let garbage = Document::serve("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}").await;
    register(&tenant, "garbage", json!({"jwks_uri": garbage.url})).await;
    assert_eq!(ask(&tenant, &key.assertion("garbage", &tenant.issuer, &json!({}))).await.status, 401);
}

#[tokio::test]
async fn registrations_that_could_not_work_are_refused() {
    let setting = shared().await;
    let tenant = setting.tenant("refused").await;
    let key = Key::new("1");
    let mut private = key.jwk.clone();
    private["d"] = json!("AAAA");
    for (what, keys) in [
        ("no keys", json!({})),
        ("both", json!({"jwks": {"keys": [key.jwk]}, "jwks_uri": "https://rp.example/jwks"})),
        ("a private key", json!({"jwks": {"keys": [private]}})),
        ("a secret", json!({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}})),
        ("a weak key", json!({"jwks": {"keys": [{"kty": "RSA", "n": "wwww", "e": "AQAB"}]}})),
        ("a file", json!({"jwks_uri": "file:///etc/passwd"})),
        ("in the clear", json!({"jwks_uri": "http://rp.example/jwks"})),
        ("a mac", json!({"jwks": {"keys": [key.jwk]}, "token_endpoint_auth_signing_alg": "HS256"})),
        ("none", json!({"jwks": {"keys": [key.jwk]}, "token_endpoint_auth_signing_alg": "none"})),
    ] {
        let mut client = json!({
            "name": "x", "token_endpoint_auth_method": "private_key_jwt", "grant_types": ["client_credentials"],
        });
        for (name, value) in keys.as_object().expect("members") {
            client[name] = value.clone();
        }
        let answer = tenant.admin.post(&format!("/tenants/{}/clients", tenant.slug), &client).await;
        assert!([400, 422].contains(&answer.status), "{what}: {} {}", answer.status, answer.text);
    }
}

pub(super) mod document {
    //! A document at an address of this machine, which can be replaced.

    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::Arc;

    pub(crate) struct Document {
        pub(crate) url: String,
        text: Arc<Mutex<String>>,
        requests: Arc<AtomicUsize>,
    }

    impl Document {
        pub(crate) async fn serve(text: &str) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let url = format!("http://{}/jwks", listener.local_addr().expect("it is bound"));
            let (text, requests) = (Arc::new(Mutex::new(text.to_owned())), Arc::new(AtomicUsize::new(0)));
            let (served, count) = (Arc::clone(&text), Arc::clone(&requests));
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    count.fetch_add(1, Ordering::SeqCst);
                    let body = served.lock().expect("nobody panics here").clone();
                    let _ = stream.read(&mut [0; 4096]).await;
                    let head =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                    let _ = stream.write_all((head + &body).as_bytes()).await;
                }
            });
            Self { url, text, requests }
        }

        pub(crate) fn set(&self, text: &str) {
            text.clone_into(&mut self.text.lock().expect("nobody panics here"));
        }

        pub(crate) fn requests(&self) -> usize {
            self.requests.load(Ordering::SeqCst)
        }
    }
}
