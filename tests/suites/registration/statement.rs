//! Software statements: what somebody the tenant trusts says of a client wins.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tests::web;
use tests::world;

use super::{REDIRECT, post, tenant};

fn key() -> (Value, EncodingKey) {
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref()).expect("the same");
    let point = pair.public_key().as_ref();
    let half = |range| URL_SAFE_NO_PAD.encode(&point[range]);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "v1", "x": half(1..33), "y": half(33..65) });
    (jwk, EncodingKey::from_ec_der(der.as_ref()))
}

fn sign(claims: &Value, key: &EncodingKey) -> String {
    let header = Header { kid: Some("v1".to_owned()), ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, claims, key).expect("signed")
}

#[tokio::test]
async fn who_is_vouched_for_is_what_the_statement_says() {
    let world = world::shared().await;
    let ((jwk, private), (_, stranger)) = (key(), key());
    let trusted = json!([{ "issuer": "https://vouch.example", "jwks": { "keys": [jwk] } }]);
    let policy = json!({ "mode": "open", "require_statement": true, "statement_issuers": trusted });
    let tenant = tenant(&world, "dcr-vouched", policy).await;
    let claims = json!({ "iss": "https://vouch.example", "client_name": "Vouched", "software_id": "s-1" });
    let with = |statement: &str| {
        json!({
            "redirect_uris": [REDIRECT], "client_name": "Mine", "software_statement": statement,
        })
    };
    let statement = sign(&claims, &private);
    let client = web::send(post(&tenant, &with(&statement))).await.expect(201);
    assert_eq!((&client.json["client_name"], &client.json["software_id"]), (&json!("Vouched"), &json!("s-1")));
    assert_eq!(client.json["software_statement"], statement);
    let shown = tenant.admin.get(&format!("/tenants/{}/clients/{}", tenant.slug, client.text_of("client_id"))).await;
    assert_eq!(shown.expect(200).json["registered"]["statement_issuer"], "https://vouch.example");

    let foreign = json!({ "iss": "https://other.example", "client_name": "Vouched" });
    for (what, metadata, error) in [
        ("signed by another", with(&sign(&claims, &stranger)), "invalid_software_statement"),
        ("garbage", with("a.b.c"), "invalid_software_statement"),
        ("of an issuer nobody trusts", with(&sign(&foreign, &private)), "unapproved_software_statement"),
        ("none", json!({ "redirect_uris": [REDIRECT] }), "unapproved_software_statement"),
    ] {
        let refused = web::send(post(&tenant, &metadata)).await.expect(400);
        assert_eq!(refused.json["error"], error, "{what}");
    }
}
