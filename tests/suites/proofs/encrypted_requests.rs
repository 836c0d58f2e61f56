//! Authorization requests that clients sign and then encrypt to the tenant (RFC 9101 §6.1): by value, pushed and by
//! reference, while the tenant's keys are replaced.

use std::time::Duration;

use picky::jose::jwe::{Jwe, JweAlg, JweEnc};
use picky::jose::jwk::Jwk;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::{Attempt, RelyingParty, parameters};
use tests::table::Table;
use tests::tenant::{Tenant, User};
use tests::wait::until;
use tests::web;

use super::assertions::document::Document;
use super::keys::Key;
use super::request_objects::{claims, naming, sign};
use super::shared;

/// The keys that are published for encryption.
async fn published(tenant: &Tenant) -> Vec<Value> {
    let url = format!("{}/.well-known/jwks.json", tenant.issuer);
    let set = web::send(web::client().get(url)).await.expect(200).json;
    let keys = set["keys"].as_array().expect("a list").clone();
    keys.into_iter().filter(|key| key["use"] == "enc").collect()
}

/// The one of this kind.
async fn key_of(tenant: &Tenant, kty: &str) -> Value {
    let keys: Vec<_> = published(tenant).await.into_iter().filter(|key| key["kty"] == kty).collect();
    let [key] = keys.as_slice() else { panic!("{keys:?}") };
    assert!(["d", "p", "q"].iter().all(|private| key.get(private).is_none()), "{key}");
    key.clone()
}

fn encrypt(alg: JweAlg, key: &Value, content: &str, cty: Option<&str>) -> String {
    let mut jwe = Jwe::new(alg, JweEnc::Aes256Gcm, content.as_bytes().to_vec());
    jwe.header.kid = key["kid"].as_str().map(ToOwned::to_owned);
    jwe.header.cty = cty.map(ToOwned::to_owned);
    // The library would write null.
    jwe.header.apu = Some("QQ".to_owned());
    jwe.header.apv = Some("Qg".to_owned());
    let mut bare = key.clone();
    bare.as_object_mut().expect("a key").retain(|name, _| ["kty", "crv", "x", "y", "n", "e"].contains(&name.as_str()));
    let public = Jwk::from_json(&bare.to_string()).expect("a JWK").to_public_key().expect("a public key");
    jwe.encode(&public).expect("it encrypts")
}

fn signed(key: &Key, tenant: &Tenant, attempt: &Attempt) -> String {
    sign(key, &claims(&tenant.backend, &tenant.issuer, attempt, &json!({})))
}

async fn goes_through(backend: &RelyingParty, alice: &User, attempt: &Attempt, more: &[(&str, &str)]) {
    let answer = parameters(&Browser::new().authorize(&naming(backend, more), alice).await);
    assert_eq!(answer["state"], attempt.state);
    let _ = backend.redeem(&answer["code"], &attempt.verifier).await.expect(200);
}

async fn registered(tenant: &Tenant, key: &Key, alg: &str, more: Value) {
    let mut patch = json!({
        "jwks": {"keys": [key.jwk]}, "request_object_encryption_alg": alg, "request_object_encryption_enc": "A256GCM",
    });
    for (name, value) in more.as_object().expect("members") {
        patch[name] = value.clone();
    }
    tenant.patch_client("backend", &patch).await;
}

#[tokio::test]
async fn what_is_encrypted_to_the_tenant_is_opened_wherever_it_is() {
    let setting = shared().await;
    let tenant = setting.tenant("encrypted").await;
    let (alice, key, backend) = (tenant.user("alice").await, Key::new("r"), &tenant.backend);
    assert!(published(&tenant).await.is_empty(), "no client has asked for one");
    let metadata = backend.discovery().await.json;
    for (name, word) in [("alg", "ECDH-ES"), ("alg", "RSA-OAEP-256"), ("enc", "A256GCM")] {
        let values = metadata[format!("request_object_encryption_{name}_values_supported")].to_string();
        assert!(values.contains(&format!("\"{word}\"")), "{values}");
    }
    let object = Document::serve("nothing yet").await;
    for (alg, name, kty) in [
        (JweAlg::RsaOaep256, "RSA-OAEP-256", "RSA"),
        (JweAlg::EcdhEs, "ECDH-ES", "EC"),
        (JweAlg::EcdhEsAesKeyWrap256, "ECDH-ES+A256KW", "EC"),
    ] {
        registered(&tenant, &key, name, json!({"request_uris": [object.url]})).await;
        let to = key_of(&tenant, kty).await;
        // By value; and at the other pod.
        let attempt = backend.attempt();
        let sealed = encrypt(alg, &to, &signed(&key, &tenant, &attempt), Some("JWT"));
        goes_through(backend, &alice, &attempt, &[("request", &sealed)]).await;
        let told = [("request", sealed.as_str()), ("redirect_uri", &backend.redirect_uri), ("state", "s")];
        let elsewhere = backend.at(&format!("{}/t/{}", setting.pods[1].url(), tenant.slug));
        let told = parameters(&Browser::new().open(&naming(&elsewhere, &told)).await.expect_callback());
        assert_eq!(told["error"], "invalid_request_object", "the jti inside is used up: it was opened there, too");
        // Pushed, without saying what is inside.
        let attempt = backend.attempt();
        let sealed = encrypt(alg, &to, &signed(&key, &tenant, &attempt), None);
        let pushed = web::send(backend.back_channel("par", &[("request", &sealed)])).await.expect(201);
        goes_through(backend, &alice, &attempt, &[("request_uri", &pushed.text_of("request_uri"))]).await;
        // By reference.
        let attempt = backend.attempt();
        object.set(&encrypt(alg, &to, &signed(&key, &tenant, &attempt), Some("JWT")));
        goes_through(backend, &alice, &attempt, &[("request_uri", &object.url)]).await;
    }
}

#[tokio::test]
async fn what_is_not_signed_within_or_encrypted_otherwise_is_refused() {
    let setting = shared().await;
    let (tenant, other) = (setting.tenant("unopened").await, setting.tenant("unopened-other").await);
    let (key, stranger, backend) = (Key::new("r"), Key::new("r"), &tenant.backend);
    for tenant in [&tenant, &other] {
        registered(tenant, &key, "RSA-OAEP-256", json!({})).await;
        registered(tenant, &key, "ECDH-ES", json!({})).await;
    }
    let (ec, rsa, theirs) = (key_of(&tenant, "EC").await, key_of(&tenant, "RSA").await, key_of(&other, "EC").await);
    let attempt = backend.attempt();
    let good = signed(&key, &tenant, &attempt);
    let seal = |content: &str| encrypt(JweAlg::EcdhEs, &ec, content, Some("JWT"));
    let plain = claims(backend, &tenant.issuer, &attempt, &json!({})).to_string();
    let none = {
        let (message, _) = good.rsplit_once('.').expect("three parts");
        let (_, payload) = message.split_once('.').expect("two parts");
        format!("eyJhbGciOiJub25lIn0.{payload}.")
    };
    let spoilt = |part: usize| {
        let sealed = seal(&good);
        let mut parts: Vec<String> = sealed.split('.').map(str::to_owned).collect();
        let with = if parts[part].starts_with('A') { "B" } else { "A" };
        parts[part].replace_range(..1, with);
        parts.join(".")
    };
    let mut table = Table::new();
    for (what, object) in [
        ("claims that nobody signed", seal(&plain)),
        ("alg none within", seal(&none)),
        ("signed by a stranger", seal(&sign(&stranger, &claims(backend, &tenant.issuer, &attempt, &json!({}))))),
        ("encrypted twice", seal(&seal(&good))),
        ("K: to another tenant's key", encrypt(JweAlg::EcdhEs, &theirs, &good, Some("JWT"))),
        ("by another alg than registered", encrypt(JweAlg::RsaOaep256, &rsa, &good, Some("JWT"))),
        ("of another content", encrypt(JweAlg::EcdhEs, &ec, &good, Some("text/plain"))),
        ("another nonce", spoilt(2)),
        ("another content", spoilt(3)),
        ("another tag", spoilt(4)),
        ("five parts of nothing", "a.b.c.d.e".to_owned()),
    ] {
        let pushed = backend.back_channel("par", &[("request", object.as_str())]);
        table.oauth(what, pushed, &[400], &["invalid_request_object"]).await;
    }
    // RFC 7516 §11.5: nobody learns at which step an object of RSA failed.
    registered(&tenant, &key, "RSA-OAEP-256", json!({})).await;
    let sealed = encrypt(JweAlg::RsaOaep256, &rsa, &good, Some("JWT"));
    let mut told = Vec::new();
    for part in [1, 4] {
        let mut parts: Vec<String> = sealed.split('.').map(str::to_owned).collect();
        let with = if parts[part].starts_with('A') { "B" } else { "A" };
        parts[part].replace_range(..1, with);
        told.push(web::send(backend.back_channel("par", &[("request", &parts.join("."))])).await.expect(400).text);
    }
    table.check("the same words", told[0] == told[1], || format!("{told:?}"));
    // What is not registered could not work.
    let path = format!("/tenants/{}/clients/backend", tenant.slug);
    for wrong in [
        json!({"request_object_encryption_enc": null}),
        json!({"request_object_encryption_alg": "RSA1_5"}),
        json!({"request_object_encryption_alg": "dir"}),
        json!({"request_object_encryption_enc": "A128CBC-HS256"}),
        json!({"jwks": null}),
    ] {
        let refused = tenant.admin.patch(&path, &wrong).await;
        table.check("registered", [400, 422].contains(&refused.status), || format!("{wrong}: {}", refused.text));
    }
    table.finish(&setting.world).await;
}

#[tokio::test]
async fn a_key_is_replaced_and_what_was_encrypted_to_it_still_opens_until_it_is_revoked() {
    let setting = shared().await;
    let tenant = setting.tenant("replaced").await;
    let (alice, key, backend) = (tenant.user("alice").await, Key::new("r"), &tenant.backend);
    registered(&tenant, &key, "ECDH-ES", json!({})).await;
    let old = key_of(&tenant, "EC").await;
    let keys = format!("/tenants/{}/keys", tenant.slug);
    let step = async |step: &str| {
        let body = json!({"algorithm": "ECDH-ES", "step": step});
        tenant.admin.post(&format!("{keys}/rotate?wait=fleet&timeout=15s"), &body).await.expect(200)
    };
    let _ = step("publish").await;
    assert_eq!(key_of(&tenant, "EC").await["kid"], old["kid"], "every pod has it before clients use it");
    let _ = step("activate").await;
    let new = key_of(&tenant, "EC").await;
    assert_ne!(new["kid"], old["kid"]);
    for to in [&old, &new] {
        let attempt = backend.attempt();
        let sealed = encrypt(JweAlg::EcdhEs, to, &signed(&key, &tenant, &attempt), Some("JWT"));
        goes_through(backend, &alice, &attempt, &[("request", &sealed)]).await;
    }
    let kid = |key: &Value| key["kid"].as_str().expect("a kid").to_owned();
    let needed = tenant.admin.post(&format!("{keys}/{}/revoke", kid(&new)), &json!({})).await;
    assert_eq!(needed.status, 409, "{}", needed.text);
    let revoke = format!("{keys}/{}/revoke?wait=fleet&timeout=15s", kid(&old));
    let _ = tenant.admin.post(&revoke, &json!({})).await.expect(200);
    let sealed = encrypt(JweAlg::EcdhEs, &old, &signed(&key, &tenant, &backend.attempt()), Some("JWT"));
    let refused = web::send(backend.back_channel("par", &[("request", &sealed)])).await.expect(400);
    assert_eq!(refused.text_of("error"), "invalid_request_object");
    let shown = tenant.admin.get(&keys).await.expect(200);
    assert!(!shown.text.contains("hjs1."), "{}", shown.text);
}

/// By the tenant's policy, at nobody's command: who encrypted to the old key a moment ago is understood for the hour that
/// it retires.
#[tokio::test]
async fn keys_for_encryption_rotate_by_themselves_and_the_old_one_still_opens() {
    let setting = shared().await;
    let settings = json!({ "lifetimes": { "jwks_cache_secs": 1 } });
    let tenant = Tenant::create_with(&setting, "rotates", settings).await;
    let (alice, key, backend) = (tenant.user("alice").await, Key::new("r"), &tenant.backend);
    registered(&tenant, &key, "ECDH-ES", json!({})).await;
    let old = key_of(&tenant, "EC").await;
    tenant.patch(&json!({ "settings": { "key_rotation": { "max_age_secs": 1, "clock_skew_secs": 0 } } })).await;
    let new = until("another key is published", Duration::from_mins(2), async || {
        let key = key_of(&tenant, "EC").await;
        if key["kid"] == old["kid"] { Err(key.to_string()) } else { Ok(key) }
    })
    .await;
    let keys = tenant.admin.get(&format!("/tenants/{}/keys", tenant.slug)).await.expect(200).json;
    let status = |of: &Value| {
        let mut all = keys["items"].as_array().into_iter().flatten();
        all.find(|key| key["kid"] == of["kid"]).map(|key| key["status"].clone())
    };
    assert_eq!((status(&old), status(&new)), (Some(json!("retiring")), Some(json!("active"))), "{keys}");
    for to in [&old, &new] {
        let attempt = backend.attempt();
        let sealed = encrypt(JweAlg::EcdhEs, to, &signed(&key, &tenant, &attempt), Some("JWT"));
        goes_through(backend, &alice, &attempt, &[("request", &sealed)]).await;
    }
}
