//! `client_secret_jwt`: clients that prove who they are by an HMAC of their secret, which the control plane keeps sealed.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tests::table::Table;
use tests::tenant::Tenant;
use tests::web::{self, Answer};

use super::keys::{Key, now, random};
use super::shared;

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client that is known to every pod: its secret.
async fn register(tenant: &Tenant, client_id: &str, more: Value) -> String {
    let mut client = json!({
        "client_id": client_id, "name": "Seals", "token_endpoint_auth_method": "client_secret_jwt",
        "grant_types": ["client_credentials"], "scopes": ["hj:users.read"],
    });
    for (name, value) in more.as_object().expect("members") {
        client[name] = value.clone();
    }
    let made = tenant.admin.post(&format!("/tenants/{}/clients?wait=fleet&timeout=15s", tenant.slug), &client).await;
    made.expect(201).text_of("client_secret")
}

fn claims(client_id: &str, audience: &str) -> Value {
    json!({"iss": client_id, "sub": client_id, "aud": audience, "jti": random(), "iat": now(), "exp": now() + 60})
}

fn seal(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).expect("an HMAC is made of anything")
}

fn request(base: &str, assertion: &str) -> reqwest::RequestBuilder {
    let form = [("grant_type", "client_credentials"), ("client_assertion_type", TYPE), ("client_assertion", assertion)];
    web::client().post(format!("{base}/oauth2/token")).form(&form)
}

async fn ask(tenant: &Tenant, assertion: &str) -> Answer {
    web::send(request(&tenant.issuer, assertion)).await
}

#[tokio::test]
async fn an_hmac_counts_once_on_all_pods_and_nothing_else_counts() {
    let setting = shared().await;
    let (tenant, other) = (setting.tenant("hmac").await, setting.tenant("hmac-other").await);
    let metadata = tenant.backend.discovery().await.json;
    for endpoint in ["token", "introspection", "revocation"] {
        let methods = metadata[format!("{endpoint}_endpoint_auth_methods_supported")].to_string();
        let algorithms = metadata[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")].to_string();
        assert!(methods.contains("client_secret_jwt") && algorithms.contains("HS512"), "{methods} {algorithms}");
    }
    let secret = register(&tenant, "seals", json!({"token_endpoint_auth_signing_alg": "HS512"})).await;
    assert!(secret.len() >= 64, "RFC 7518 section 3.2");
    let good = || claims("seals", &tenant.issuer);
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        seal(Algorithm::HS512, &secret, &claims)
    };
    let assertion = seal(Algorithm::HS512, &secret, &good());
    let _ = ask(&tenant, &assertion).await.expect(200);
    let elsewhere = format!("{}/t/{}", setting.pods[1].url(), tenant.slug);
    for base in [&tenant.issuer, &elsewhere] {
        assert_eq!(web::send(request(base, &assertion)).await.expect(401).text_of("error"), "invalid_client", "{base}");
    }
    let fresh = seal(Algorithm::HS512, &secret, &good());
    let at_once = futures::future::join_all(
        (0..10).map(|at| web::send(request(if at % 2 == 0 { &tenant.issuer } else { &elsewhere }, &fresh))),
    );
    assert_eq!(at_once.await.iter().filter(|answer| answer.status == 200).count(), 1, "of ten at once one counts");

    let key = Key::new("a");
    let none = {
        let good = seal(Algorithm::HS512, &secret, &good());
        let (message, _) = good.rsplit_once('.').expect("three parts");
        let (_, payload) = message.split_once('.').expect("two parts");
        format!("eyJhbGciOiJub25lIn0.{payload}.")
    };
    let mut table = Table::new();
    for (row, assertion) in [
        ("no signature", none),
        ("another audience", with("aud", json!("https://other.example"))),
        ("expired", with("exp", json!(now() - 300))),
        ("no end", with("exp", Value::Null)),
        ("no subject", with("sub", Value::Null)),
        ("not yet valid", with("nbf", json!(now() + 600))),
        ("another algorithm than the registered one", seal(Algorithm::HS256, &secret, &good())),
        ("a signature", key.assertion("seals", &tenant.issuer, &json!({}))),
        ("another secret", seal(Algorithm::HS512, &"x".repeat(86), &good())),
        ("no secret", seal(Algorithm::HS512, "", &good())),
        ("for another tenant", seal(Algorithm::HS512, &secret, &claims("seals", &other.issuer))),
        ("no jti", with("jti", Value::Null)),
        ("another iss", with("iss", json!("backend"))),
        (
            "of a client whose secret is not kept",
            seal(
                Algorithm::HS256,
                tenant.backend.secret.as_deref().unwrap_or_default(),
                &claims("backend", &tenant.issuer),
            ),
        ),
    ] {
        table.oauth(row, request(&tenant.issuer, &assertion), &[401], &["invalid_client"]).await;
    }
    // Nor the secret itself.
    let endpoint = format!("{}/oauth2/token", tenant.issuer);
    let grant = [("grant_type", "client_credentials")];
    let basic = web::client().post(&endpoint).form(&grant).basic_auth("seals", Some(&secret));
    table.oauth("the secret in the header", basic, &[401], &["invalid_client"]).await;
    let posted = [grant[0], ("client_id", "seals"), ("client_secret", &secret)];
    table.oauth("and in the form", web::client().post(&endpoint).form(&posted), &[401], &["invalid_client"]).await;
    table.finish(&setting.world).await;
}

#[tokio::test]
async fn two_secrets_overlap_and_neither_is_ever_shown_again() {
    let setting = shared().await;
    let tenant = setting.tenant("hmac-rotated").await;
    let first = register(&tenant, "seals", json!({})).await;
    let path = format!("/tenants/{}/clients/seals", tenant.slug);
    let added = tenant.admin.post(&format!("{path}/secrets?wait=fleet&timeout=15s"), &json!({})).await.expect(201);
    let second = added.text_of("client_secret");
    for (secret, algorithm) in [(&first, Algorithm::HS256), (&second, Algorithm::HS384)] {
        let assertion = seal(algorithm, secret, &claims("seals", &tenant.issuer));
        assert_eq!(ask(&tenant, &assertion).await.status, 200);
    }
    let shown = tenant.admin.get(&path).await.expect(200);
    let old = shown.json["secrets"][0]["id"].as_str().expect("an id").to_owned();
    let audit = tenant.admin.get(&format!("/audit/logs?tenant={}&limit=200", tenant.slug)).await.expect(200);
    for text in [&shown.text, &audit.text] {
        for hidden in [first.as_str(), &second, "hjs1."] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
    let _ = tenant.admin.delete(&format!("{path}/secrets/{old}?wait=fleet&timeout=15s")).await.expect(204);
    let gone = seal(Algorithm::HS256, &first, &claims("seals", &tenant.issuer));
    let _ = ask(&tenant, &gone).await.expect(401);
    let stays = seal(Algorithm::HS256, &second, &claims("seals", &tenant.issuer));
    let _ = ask(&tenant, &stays).await.expect(200);
    // What is known by its digest alone is no key, and FAPI 2.0 takes none of them.
    for (client, change) in [
        ("backend", json!({"token_endpoint_auth_method": "client_secret_jwt"})),
        ("seals", json!({"fapi": "2.0"})),
        ("seals", json!({"token_endpoint_auth_signing_alg": "ES256"})),
    ] {
        let refused = tenant.admin.patch(&format!("/tenants/{}/clients/{client}", tenant.slug), &change).await;
        assert_eq!(refused.status, 422, "{change}: {}", refused.text);
    }
    // Who went on to keys is not known by the secret any more, though it is kept.
    let key = Key::new("a");
    let change = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [key.jwk]}});
    tenant.patch_client("seals", &change).await;
    let sealed = seal(Algorithm::HS256, &second, &claims("seals", &tenant.issuer));
    assert_eq!(ask(&tenant, &sealed).await.expect(401).text_of("error"), "invalid_client");
    assert_eq!(ask(&tenant, &key.assertion("seals", &tenant.issuer, &json!({}))).await.status, 200);
}
