//! npm's `jose`.

use serde_json::{Value, json};
use tests::browser::Browser;
use tests::relying_party::parameters;
use tests::tenant::Tenant;
use tests::tokens::Jwt;
use tests::world;
use url::Url;

use super::script;

#[tokio::test]
async fn npms_jose_verifies_our_tokens_against_the_served_keys() {
    let world = world::shared().await;
    for algorithm in ["ES256", "EdDSA", "RS256", "PS256", "ES384"] {
        let tenant = Tenant::create_with(&world, "jose", json!({ "signing_algorithm": algorithm })).await;
        let tokens = tenant.backend.sign_in(&tenant.user("alice").await).await;
        let claims = Jwt::parse(&tokens.access).claims;
        let audience = claims["aud"].as_str().or(claims["aud"][0].as_str()).expect("an audience").to_owned();
        let args = [tenant.issuer.as_str(), &tokens.access, &audience, tokens.id(), "backend"];
        let output = script::node("jose-verify.mjs", &args).output().await.expect("node runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{algorithm}: {errors}");
        let verified: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(verified["alg"], algorithm);
        assert_eq!(verified["access"], claims);
        assert_eq!(verified["id"]["sub"], claims["sub"]);
    }
}

/// What the script says when it is given these arguments.
async fn says(file: &str, args: &[&str]) -> Value {
    let output = script::node(file, args).output().await.expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn npms_jose_decrypts_what_is_encrypted_to_its_key() {
    let world = world::shared().await;
    let tenant = Tenant::create(&world, "jwe").await;
    let (alice, backend) = (tenant.user("alice").await, &tenant.backend);
    let metadata = backend.discovery().await.json;
    for (alg, crv) in [("RSA-OAEP-256", ""), ("ECDH-ES", "P-256"), ("ECDH-ES", "X25519"), ("ECDH-ES+A256KW", "P-384")] {
        for what in ["id_token", "userinfo"] {
            let advertised = metadata[format!("{what}_encryption_alg_values_supported")].to_string();
            assert!(advertised.contains(alg), "{what}: {advertised}");
            assert_eq!(metadata[format!("{what}_encryption_enc_values_supported")], json!(["A256GCM"]));
        }
        let pair = says("jose-decrypt.mjs", &["keys", alg, crv]).await;
        for signed in [json!("ES256"), Value::Null] {
            let patch = json!({
                "jwks": {"keys": [pair["public"]]},
                "id_token_encrypted_response_alg": alg, "id_token_encrypted_response_enc": "A256GCM",
                "userinfo_encrypted_response_alg": alg, "userinfo_encrypted_response_enc": "A256GCM",
                "userinfo_signed_response_alg": signed,
            });
            tenant.patch_client("backend", &patch).await;
            let tokens = backend.sign_in(&alice).await;
            let userinfo = backend.userinfo(&tokens.access).await.expect(200);
            assert_eq!(userinfo.header("content-type"), Some("application/jwt"));
            let key = pair["private"].to_string();
            let args = ["open", &tenant.issuer, "backend", &key, tokens.id(), &userinfo.text];
            let opened = says("jose-decrypt.mjs", &args).await;
            for at in 0..2 {
                let (header, claims) = (&opened[at]["header"], &opened[at]["claims"]);
                assert_eq!(
                    (&header["alg"], &header["enc"], &header["kid"]),
                    (&json!(alg), &json!("A256GCM"), &json!("e"))
                );
                assert_eq!(claims["sub"], alice.id.as_str());
            }
            assert_eq!(opened[1]["claims"]["email"], alice.email.as_str());
            assert_eq!(opened[0]["header"]["cty"], "JWT");
            assert_eq!(opened[1]["header"].get("cty").is_some(), !signed.is_null());
            // The next one is encrypted, too.
            let refreshed = backend.refresh(tokens.refresh()).await.expect(200).text_of("id_token");
            assert_eq!(refreshed.split('.').count(), 5, "{refreshed}");
            assert!(!refreshed.contains(tokens.id()));
        }
    }
}

#[tokio::test]
async fn npms_jose_encrypts_requests_to_our_keys() {
    let world = world::shared().await;
    let tenant = Tenant::create(&world, "jar").await;
    let (alice, backend) = (tenant.user("alice").await, &tenant.backend);
    let pair = says("jose-encrypt.mjs", &["keys"]).await;
    for alg in ["RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW"] {
        let patch = json!({
            "jwks": {"keys": [pair["public"]]}, "require_signed_request_object": true,
            "request_object_encryption_alg": alg, "request_object_encryption_enc": "A256GCM",
        });
        tenant.patch_client("backend", &patch).await;
        let attempt = backend.attempt();
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is past 1970");
        let mut claims = json!({"iss": "backend", "aud": tenant.issuer, "exp": since.as_secs() + 60});
        for (name, value) in attempt.url.query_pairs() {
            claims[&*name] = json!(value);
        }
        let args = ["seal", &tenant.issuer, alg, &pair["private"].to_string(), &claims.to_string()];
        let sealed = says("jose-encrypt.mjs", &args).await;
        let object = sealed.as_str().expect("a JWT");
        assert_eq!(object.split('.').count(), 5);
        let query = [("client_id", "backend"), ("request", object)];
        let url = Url::parse_with_params(&backend.endpoint("authorize"), query).expect("a URL");
        let answer = parameters(&Browser::new().authorize(&url, &alice).await);
        assert_eq!(answer["state"], attempt.state, "{alg}");
        let _ = backend.redeem(&answer["code"], &attempt.verifier).await.expect(200);
    }
}
