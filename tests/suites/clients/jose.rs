//! npm's `jose`.

use serde_json::{Value, json};
use tests::tenant::Tenant;
use tests::tokens::Jwt;
use tests::world;

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
